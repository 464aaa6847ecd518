//! Time from request bytes to result bytes, and time to load the region data.
//!
//! `script/bench transform` runs this.

mod cases;

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use cases::{Worker, all, regions};

fn transform(criterion: &mut Criterion) {
    let regions = regions();
    let mut worker = Worker::new(regions.clone());
    let mut group = criterion.benchmark_group("transform");
    for case in all(&regions) {
        group.throughput(Throughput::Elements(case.size as u64));
        let mut requests = case.requests.iter().cycle();
        group.bench_function(case.name, |bencher| {
            bencher.iter(|| worker.answer(requests.next().expect("the cycle never ends")));
        });
    }
}

fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start");
    group.bench_function("regions", |bencher| bencher.iter(regions));
    let regions = regions();
    group.bench_function("worker", |bencher| bencher.iter(|| Worker::new(regions.clone())));
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = transform, start
}
criterion_main!(benches);
