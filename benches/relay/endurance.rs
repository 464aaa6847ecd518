//! Half an hour at full load: does the memory grow?

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, unique};
use crate::load::{self, Load, Pool};
use crate::meter::{self, Progress};
use crate::{DISTINCT, JVM, settings, stop};

const PARTITIONS: usize = 6;
/// The retention of each partition: the outcomes of half an hour would fill a small disk.
const TOPIC: [(&str, &str); 3] =
    [("retention.ms", "-1"), ("retention.bytes", "268435456"), ("segment.bytes", "67108864")];
/// The backlog of requests never falls below this, so that the load is full.
const BACKLOG: u64 = 1_000_000;
const LOOK: Duration = Duration::from_secs(10);
/// The memory of the last third may be this many times that of the first.
const GROWTH: f64 = 1.1;
/// The most that two workers may hold by docs/performance.md, 70 MiB each.
const BOUND_MB: f64 = 147.0;

/// Runs the program, exactly once, at full load of W1 for this long.
pub fn run(minutes: u64) -> ExitCode {
    let cluster = KafkaCluster::start_on(JVM);
    let [requests, results, failures, group] =
        ["requests", "results", "failures", "endurance"].map(unique);
    for topic in [&requests, &results, &failures] {
        cluster.create_topic(topic, PARTITIONS, &TOPIC);
    }
    let progress = Progress::of(&cluster, &group, &requests, PARTITIONS);
    let mut program = settings(&cluster, [&requests, &results, &failures], &group).run();
    let pid = program.pid();
    let over = AtomicBool::new(false);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pool = Pool::of(Load::W1, DISTINCT);
            let mut sent = 0;
            while !over.load(Ordering::Relaxed) {
                if sent < progress.committed().cast_unsigned() + BACKLOG {
                    let numbers = sent..sent + BACKLOG;
                    load::send_all(&cluster, &requests, PARTITIONS, numbers, &mut pool);
                    sent += BACKLOG;
                } else {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let began = Instant::now();
        let (mut before, mut at) = (0, began);
        while began.elapsed() < Duration::from_secs(60 * minutes) {
            std::thread::sleep(LOOK);
            let (resident, done) = (meter::resident_mb(pid), progress.committed());
            #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
            let rate = (done - before) as f64 / at.elapsed().as_secs_f64();
            (before, at) = (done, Instant::now());
            println!(
                "{:5} s {done:>12} requests {rate:>9.0}/s {resident:6.1} MB",
                began.elapsed().as_secs()
            );
            seen.push(resident);
        }
        over.store(true, Ordering::Relaxed);
    });
    let peak = meter::peak_mb(pid);
    stop(&mut program);
    let third = seen.len().div_ceil(3);
    let [first, last] = [&seen[..third], &seen[seen.len() - third..]].map(meter::median);
    println!(
        "resident, median of the first third {first:.1} MB, of the last {last:.1} MB; peak {peak:.1} MB"
    );
    if last <= first * GROWTH && peak <= BOUND_MB {
        ExitCode::SUCCESS
    } else {
        println!("it grew by more than {GROWTH} times, or beyond {BOUND_MB} MB");
        ExitCode::FAILURE
    }
}
