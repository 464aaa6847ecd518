//! Brokers that throttle the program by a quota: it continues at the rate that is given.

use std::time::{Duration, Instant};

use crate::cluster::{NewRecord, Program, ProgramSettings, shared, unique};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::{Requests, now_ms};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, ready, stop, wait_until};

/// A request whose result has some 35 KB.
fn large(request: NewRecord) -> NewRecord {
    let niks: Vec<_> = (1..=100).map(|serial| format!("\"327301010190{serial:04}\"")).collect();
    let value = format!(r#"{{"nik":[{}],"process":"full"}}"#, niks.join(","));
    NewRecord { value: Some(value.into_bytes()), timestamp: Some(now_ms()), ..request }
}

fn throttled(program: &Program, client: &str) -> f64 {
    program.metrics()[&format!("nik_stream_throttle_seconds_total{{client=\"{client}\"}}")]
}

/// Answers a backlog under a quota, and returns the instance.
fn under_quota(quota: &str, settings: impl FnOnce(ProgramSettings) -> ProgramSettings) -> Program {
    let stage = Stage::new(shared(), "quota", 2);
    let client_id = unique("limited");
    shared().set_quota(&client_id, quota);
    let sent: Vec<_> = Requests::new(0, 2).take(150).map(large).collect();
    shared().produce(&stage.requests, &sent);
    let reader = Reader::start(shared(), &stage);
    let program = stage
        .settings()
        .set("kafka.librdkafka.client_id", &client_id)
        .set("kafka.librdkafka.statistics_interval_ms", "500")
        .set("kafka.producer.compression_type", "none");
    let mut program = ready(&settings(program));
    let deadline = Instant::now() + Duration::from_mins(3);
    while reader.count() < sent.len() {
        assert_eq!(program.wait(Duration::from_millis(200)), None, "it keeps running");
        let metrics = program.metrics();
        assert!(Instant::now() < deadline, "{} outcomes: {metrics:?}", reader.count());
    }
    assert_eq!(differences(&sent, &stage.outcomes(shared())), Differences::default());
    program
}

#[test]
fn a_producer_quota_makes_epochs_smaller_until_they_are_committed_in_time() {
    let program = under_quota("producer_byte_rate=300000", |settings| settings);
    assert!(throttled(&program, "producer") > 1.0);
    let log = program.stderr();
    assert!(log.contains("throttles the producer"), "{log}");
    assert!(!log.contains(r#""cause":"producer_fenced""#), "{log}");
    stop(program);
}

#[test]
fn a_named_instance_that_is_slow_is_not_mistaken_for_one_with_a_rival() {
    let program = under_quota("producer_byte_rate=300000", |settings| {
        settings.set("kafka.instance_id", "slow").set("kafka.session_timeout_ms", "10000")
    });
    assert!(throttled(&program, "producer") > 1.0);
    stop(program);
}

#[test]
fn consumer_and_request_quotas_only_slow_it_down() {
    let program = under_quota("consumer_byte_rate=1000,request_percentage=5", |settings| settings);
    // The last answers that were delayed may be counted after the last outcome.
    wait_until("the delays are counted", || throttled(&program, "consumer") > 0.1);
    stop(program);
}
