//! How long requests wait, measured on a real broker. `script/timings` runs these; they print figures, and assert only that every
//! request was answered once.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, NewRecord, Program};
use crate::traffic::load::{Load, key, now_ms};
use crate::traffic::reader::{Reader, Seen};
use crate::traffic::stage::{Stage, ready};

const REQUEST: &[u8] =
    br#"{"nik":["3273010101900001","3273014101900002","9999990101900003"],"process":"limited"}"#;
const PARTITIONS: usize = 6;

/// A broker with the JVM options of a small production one, warmed up: while its compiler works it takes the cores from the
/// program.
static CLUSTER: LazyLock<KafkaCluster> = LazyLock::new(|| {
    let cluster = KafkaCluster::start_on("-Xmx1g");
    let stage = Stage::new(&cluster, "warm-up", PARTITIONS);
    let _program = ready(&stage.default_settings());
    measure(&cluster, &stage, 2000, |elapsed| elapsed < Duration::from_secs(40));
    cluster
});

/// Sends `rate` requests a second while `during` returns true; returns the answers to all of them.
fn measure(
    cluster: &KafkaCluster,
    stage: &Stage,
    rate: u32,
    mut during: impl FnMut(Duration) -> bool,
) -> Vec<Seen> {
    let reader = Reader::start(cluster, stage);
    let requests = (0..).map(|number| NewRecord {
        partition: Some(i32::try_from(number % PARTITIONS).expect("a few partitions")),
        key: Some(key(number)),
        value: Some(REQUEST.to_vec()),
        timestamp: Some(now_ms()),
        ..NewRecord::default()
    });
    let load = Load::of(cluster, &stage.requests, requests, rate);
    let started = Instant::now();
    while during(started.elapsed()) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = load.finish().len();
    reader.wait_for(sent);
    std::thread::sleep(Duration::from_millis(500)); // duplicates would arrive now
    let answers = reader.seen();
    let mut numbers: Vec<_> = answers.iter().filter_map(|answer| answer.number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..sent), "{} answers to {sent} requests", answers.len());
    answers
}

fn percentiles(name: &str, answers: &[Seen]) {
    let mut waits: Vec<i64> = answers.iter().map(|it| it.read_ms - it.sent_ms).collect();
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 1000];
    println!(
        "{name}: {} requests, p50 {} ms, p90 {} ms, p99 {} ms, p99.9 {} ms, longest {} ms",
        waits.len(),
        at(500),
        at(900),
        at(990),
        at(999),
        at(1000)
    );
}

#[test]
#[ignore = "a measurement: script/timings"]
fn latency_at_2000_requests_a_second() {
    for (guarantee, min_interval, ledger) in [
        ("exactly_once", "10", ""),
        ("exactly_once", "10", "latency.positions"),
        ("exactly_once", "50", ""),
        ("exactly_once", "100", ""),
        ("at_least_once", "10", ""),
    ] {
        let stage = Stage::new(&CLUSTER, "latency", PARTITIONS);
        if !ledger.is_empty() {
            CLUSTER.create_topic(ledger, PARTITIONS, &[("cleanup.policy", "compact")]);
        }
        let settings = stage
            .default_settings()
            .set("topics.positions", ledger)
            .set("delivery.guarantee", guarantee)
            .set("delivery.commit_min_interval_ms", min_interval);
        let program = ready(&settings);
        let cpu = |program: &Program| program.metrics()["process_cpu_seconds_total"];
        let mut before = cpu(&program);
        let answers = measure(&CLUSTER, &stage, 2000, |elapsed| elapsed < Duration::from_secs(10));
        before = cpu(&program) - before;
        // Without the first ones, which waited for the workers to start.
        let mut warm = answers;
        warm.retain(|answer| answer.number >= Some(6000));
        percentiles(
            &format!(
                "{guarantee}, commits at least {min_interval} ms apart, ledger {:?}, {before:.1} s CPU",
                !ledger.is_empty()
            ),
            &warm,
        );
    }
}

#[test]
#[ignore = "a measurement: script/timings"]
fn takeover_when_one_of_two_instances_ends() {
    for (signal, count) in [("TERM", 3), ("KILL", 1)] {
        for _ in 0..count {
            let stage = Stage::new(&CLUSTER, "takeover", PARTITIONS);
            let settings = stage.default_settings();
            let (first, _second) = (ready(&settings), ready(&settings));
            let mut sent = false;
            let answers = measure(&CLUSTER, &stage, 200, |elapsed| {
                if elapsed > Duration::from_secs(6) && !sent {
                    first.signal(signal);
                    sent = true;
                }
                elapsed < Duration::from_secs(if signal == "TERM" { 12 } else { 24 })
            });
            percentiles(&format!("takeover after SIG{signal}"), &answers);
        }
    }
}

#[test]
#[ignore = "a measurement: script/timings"]
fn recovery_of_a_killed_instance() {
    for instance in ["", "pod-0"] {
        let stage = Stage::new(&CLUSTER, "recovery", PARTITIONS);
        let settings = stage.default_settings().set("kafka.instance_id", instance);
        let mut program = Some(ready(&settings));
        let mut killed_at = 0;
        let answers = measure(&CLUSTER, &stage, 200, |elapsed| {
            if elapsed > Duration::from_secs(6) && killed_at == 0 {
                program.take().unwrap().kill9();
                killed_at = now_ms();
                program = Some(settings.run());
            }
            elapsed < Duration::from_secs(25)
        });
        let first = answers
            .iter()
            .filter(|answer| answer.read_ms > killed_at + 20)
            .map(|answer| answer.read_ms)
            .min();
        let name = if instance.is_empty() { "dynamic member" } else { "static member" };
        println!(
            "{name}: first new outcome {} ms after the kill and restart",
            first.unwrap() - killed_at
        );
        percentiles(name, &answers);
    }
}
