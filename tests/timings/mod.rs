//! How long requests wait, measured on a real broker: figures for people, so these are run by `script/timings` and assert
//! nothing but that every request was answered.

mod tail;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, NewRecord, Program, ProgramSettings, unique};
use crate::traffic::load::now_ms;
use crate::traffic::stage::ready;
use tail::{Answer, Tail};

const REQUEST: &[u8] =
    br#"{"nik":["3273010101900001","3273014101900002","9999990101900003"],"process":"limited"}"#;
const PARTITIONS: usize = 6;

/// A broker as in production, and warm: those of the other tests must start fast and need not be, and a JVM that still compiles
/// takes the cores from everybody.
static CLUSTER: LazyLock<KafkaCluster> = LazyLock::new(|| {
    let cluster = KafkaCluster::start_on("-Xmx1g");
    let stage = Stage::on(&cluster);
    let _program = ready(&stage.settings);
    stage.load(2000, |elapsed| elapsed < Duration::from_secs(40));
    cluster
});

/// Topics, settings and a reader of their own.
struct Stage<'a> {
    cluster: &'a KafkaCluster,
    requests: String,
    settings: ProgramSettings,
    tail: Tail,
}

impl Stage<'_> {
    fn on(cluster: &KafkaCluster) -> Stage<'_> {
        let [requests, results, failures] = ["requests", "results", "failures"].map(unique);
        for topic in [&requests, &results, &failures] {
            cluster.create_topic(topic, PARTITIONS, &[]);
        }
        let settings = ProgramSettings::new(cluster)
            .set("topics.requests", &requests)
            .set("topics.results", &results)
            .set("topics.failures", &failures)
            .set("kafka.group_id", &unique("timings"));
        let tail = Tail::of(cluster, &results, PARTITIONS);
        Stage { cluster, requests, settings, tail }
    }

    /// Sends `rate` requests a second for as long as `during` says so, then collects the answers to all.
    fn load(&self, rate: u32, mut during: impl FnMut(Duration) -> bool) -> Vec<Answer> {
        let producer = self.cluster.producer();
        let started = Instant::now();
        let mut sent: u32 = 0;
        while during(started.elapsed()) {
            let due = started.elapsed().as_secs_f64() * f64::from(rate);
            while f64::from(sent) < due {
                let record = NewRecord {
                    partition: Some(i32::try_from(sent as usize % PARTITIONS).unwrap()),
                    key: Some(sent.to_string().into_bytes()),
                    value: Some(REQUEST.to_vec()),
                    timestamp: Some(now_ms()),
                    ..NewRecord::default()
                };
                producer.send(&self.requests, &record);
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        producer.flush();
        self.tail.wait_for(sent as usize, Duration::from_mins(2))
    }
}

fn percentiles(name: &str, answers: &[Answer]) {
    let mut waits: Vec<i64> = answers.iter().map(Answer::wait_ms).collect();
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
    for (guarantee, min_interval) in [
        ("exactly_once", "10"),
        ("exactly_once", "50"),
        ("exactly_once", "100"),
        ("at_least_once", "10"),
    ] {
        let stage = Stage::on(&CLUSTER);
        let settings = stage
            .settings
            .set("delivery.guarantee", guarantee)
            .set("delivery.commit_min_interval_ms", min_interval);
        let program = ready(&settings);
        let stage = Stage { settings, ..stage };
        let cpu = |program: &Program| program.metrics()["process_cpu_seconds_total"];
        let mut before = cpu(&program);
        let answers = stage.load(2000, |elapsed| elapsed < Duration::from_secs(10));
        before = cpu(&program) - before;
        // Without those that waited for the workers' beginning.
        let warm =
            answers.iter().filter(|answer| answer.number >= 6000).copied().collect::<Vec<_>>();
        percentiles(
            &format!("{guarantee}, commits at least {min_interval} ms apart, {before:.0} s CPU"),
            &warm,
        );
    }
}

#[test]
#[ignore = "a measurement: script/timings"]
fn takeover_when_one_of_two_instances_ends() {
    for (signal, count) in [("TERM", 3), ("KILL", 1)] {
        for _ in 0..count {
            let stage = Stage::on(&CLUSTER);
            let (first, _second) = (ready(&stage.settings), ready(&stage.settings));
            let mut sent = false;
            let answers = stage.load(200, |elapsed| {
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
        let stage = Stage::on(&CLUSTER);
        let settings = stage.settings.clone().set("kafka.instance_id", instance);
        let mut program = Some(ready(&settings));
        let mut killed_at = 0;
        let answers = stage.load(200, |elapsed| {
            if elapsed > Duration::from_secs(6) && killed_at == 0 {
                program.take().unwrap().kill9();
                killed_at = now_ms();
                program = Some(settings.run());
            }
            elapsed < Duration::from_secs(25)
        });
        let first = answers
            .iter()
            .filter(|answer| answer.seen_ms > killed_at + 20)
            .map(|answer| answer.seen_ms)
            .min();
        let name = if instance.is_empty() { "dynamic member" } else { "static member" };
        println!(
            "{name}: first new outcome {} ms after the kill and restart",
            first.unwrap() - killed_at
        );
        percentiles(name, &answers);
    }
}
