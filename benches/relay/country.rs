//! The population of Indonesia, once: 100 NIKs a request, exactly once, then read back and counted.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, unique};
use crate::load::{self, Load, Pool};
use crate::meter::Progress;
use crate::{JVM, bare, settings, stop};

const PARTITIONS: usize = 6;
/// How long the whole population should take.
const GOAL: Duration = Duration::from_secs(90);
const LIMIT: Duration = Duration::from_mins(5);

/// Runs `niks` through the program.
pub fn run(niks: u64) -> ExitCode {
    let cluster = KafkaCluster::start_on(JVM);
    let [requests, results, failures, group] =
        ["requests", "results", "failures", "country"].map(unique);
    let each = u64::try_from(Load::W2.niks()).expect("small");
    let records = niks.div_ceil(each);
    let (began, share) = (Instant::now(), niks.min(285_000_000));
    let mut pool = Pool::of(Load::W2, 0);
    load::fill(&cluster, &requests, PARTITIONS, records, &mut pool);
    println!(
        "{records} requests of {each} NIKs, all different, made and sent in {:.0?}",
        began.elapsed()
    );
    for topic in [&results, &failures] {
        cluster.create_topic(topic, PARTITIONS, &load::TOPIC);
    }
    let progress = Progress::of(&cluster, &group, &requests, PARTITIONS);
    let settings = settings(&cluster, [&requests, &results, &failures], &group);
    let began = Instant::now();
    let mut program = settings.run();
    let figures = progress.measure(&cluster, program.pid(), records, LIMIT);
    let took = began.elapsed();
    let counted = program.metrics()["nik_summary_number_total"];
    stop(&mut program);
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (wanted, goal) = ((records * each) as f64, GOAL.as_secs_f64() * share as f64 / 285e6);
    println!(
        "{wanted:.0} NIKs in {took:.1?}, from the program's start to its last commit: {:.2} million NIKs/s (goal: {goal:.0} s)\n\
         {figures:.2?}",
        wanted / took.as_secs_f64() / 1e6
    );

    // Every request has one outcome, which is a result; the key of a request is its number.
    let mut seen = vec![0u8; usize::try_from(records).expect("fits")];
    let [mut of_requests, mut strange] = [0u64; 2];
    for topic in [&results, &failures] {
        let mut reader = bare::Reader::new(
            &cluster.bootstrap(),
            "reader",
            topic,
            i32::try_from(PARTITIONS).expect("small"),
        );
        let mut last = Instant::now();
        while last.elapsed() < Duration::from_secs(3) {
            reader.visit(|key, _| {
                last = Instant::now();
                let number = key.try_into().map(u64::from_be_bytes).ok();
                let number = number.and_then(|it| usize::try_from(it).ok());
                match number.and_then(|it| seen.get_mut(it)) {
                    Some(count) if topic == &results => {
                        *count = count.saturating_add(1);
                        of_requests += 1;
                    }
                    _ => strange += 1,
                }
            });
        }
    }
    let missing = seen.iter().filter(|count| **count < 1).count();
    let doubled = seen.iter().filter(|count| **count > 1).count();
    println!(
        "read back: {of_requests} results, {missing} requests without one, {doubled} with more than one, {strange} other records; \
         the program counted {counted:.0} NIKs"
    );
    let sound = of_requests == records && missing + doubled == 0 && strange == 0;
    if sound && (counted - wanted).abs() < 0.5 {
        ExitCode::SUCCESS
    } else {
        println!("the counts do not agree");
        ExitCode::FAILURE
    }
}
