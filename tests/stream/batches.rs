//! Records arrive in batches: an interruption in the middle of a batch loses nothing and doubles
//! nothing.
//!
//! The requests are sent before the program starts, so that each batch is full. With ten requests
//! an epoch, many epochs end inside a batch, and an interruption comes before the batch is finished.

use super::breaker::{dead_letters, is_open};
use crate::cluster::{NewRecord, ProgramSettings, shared};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, TOPIC, assigned, ready, stop, wait_until};

const MIB: usize = 1024 * 1024;

/// One worker, and several epochs a batch.
fn small_epochs(stage: &Stage) -> ProgramSettings {
    stage.settings().set("kafka.workers", "1").set("delivery.commit_records", "10")
}

/// Waits for the outcomes of all that was sent: the right ones, in order.
fn assert_answered(stage: &Stage, sent: &[NewRecord]) {
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(sent, &outcomes), Differences::default());
}

#[test]
fn a_rebalance_while_records_are_left_waits_for_the_end_of_the_batch() {
    let stage = Stage::new(shared(), "left-over", 2);
    let sent: Vec<_> = Requests::new(0, 2).take(4_000).collect();
    shared().produce(&stage.requests, &sent);
    let settings = small_epochs(&stage);
    let first = ready(&settings);
    let second = ready(&settings);
    wait_until("each has a partition", || assigned(&first) == 1 && assigned(&second) == 1);
    // The partition comes back while the first one still processes its own.
    stop(second);
    wait_until("the partition has come back", || assigned(&first) == 2);
    assert_answered(&stage, &sent);
    stop(first);
}

#[test]
fn an_outcome_that_the_broker_refuses_rewinds_from_the_middle_of_a_batch() {
    let stage = Stage::named(shared(), "rewound");
    for (topic, largest) in stage.topics().into_iter().zip(["6000000", "100000", "6000000"]) {
        shared().create_topic(topic, 2, &[&TOPIC[1..], &[("max.message.bytes", largest)]].concat());
    }
    // One request in two hundred has a result that is too large for its topic.
    let long = format!(r#"{{"nik":["{}"],"process":"full"}}"#, "x".repeat(150_000));
    let is_refused = |number: &usize| number % 200 == 150;
    let sent: Vec<_> = Requests::new(0, 2)
        .take(1_000)
        .enumerate()
        .map(|(number, request)| match number {
            number if is_refused(&number) => {
                NewRecord { value: Some(long.clone().into_bytes()), ..request }
            }
            _ => request,
        })
        .collect();
    shared().produce(&stage.requests, &sent);
    // Without compression, so that the broker sees the real sizes.
    let settings = small_epochs(&stage).set("kafka.producer.compression_type", "none");
    let program = ready(&settings);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    assert!(program.metrics()["nik_stream_aborts_total"] >= 1.0);
    stop(program);
    // Each refused result is replaced by a failure; all other outcomes are the usual ones.
    let is_long = |it: &&NewRecord| it.value.as_deref() == Some(long.as_bytes());
    let refused: Vec<_> = sent.iter().filter(is_long).collect();
    let is_ordinary = |key: &Option<Vec<u8>>| refused.iter().all(|it| it.key != *key);
    let ordinary: Vec<_> = sent.iter().filter(|it| is_ordinary(&it.key)).cloned().collect();
    let failed = failures.len();
    let [results, failures] =
        [results, failures].map(|all| all.into_iter().filter(|it| is_ordinary(&it.key)).collect());
    let outcomes: (Vec<_>, Vec<_>) = (results, failures);
    assert_eq!(failed - outcomes.1.len(), refused.len());
    assert_eq!(differences(&ordinary, &outcomes), Differences::default());
}

#[test]
fn the_breaker_opens_in_the_middle_of_a_batch_and_the_rest_is_read_again() {
    const LIMIT: usize = 20;
    let stage = Stage::new(shared(), "opened", 1);
    let broken = |request| NewRecord { value: Some(b"{".to_vec()), ..request };
    let mut sent: Vec<_> = Requests::new(0, 1).take(100).map(broken).collect();
    sent.extend(Requests::new(100, 1).take(900));
    shared().produce(&stage.requests, &sent);
    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        .set("delivery.max_failure_ratio", "0.5")
        .set("delivery.failure_window", "40")
        .set("delivery.failure_cool_down_ms", "600000");
    let program = settings.run(); // never ready: the breaker opens at once
    wait_until("the breaker opens", || is_open(&program));
    wait_until("what went out is committed", || dead_letters(&stage) == LIMIT);
    let (results, failures) = stage.outcomes(shared());
    assert_eq!((results.len(), failures.len()), (0, LIMIT));
    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 200);
    assert_answered(&stage, &sent);
    stop(program);
}

#[test]
fn a_record_larger_than_a_batch_is_processed_in_order() {
    let stage = Stage::new(shared(), "giants", 1);
    let giant = vec![b' '; 2 * MIB];
    let sent: Vec<_> = Requests::new(0, 1)
        .take(300)
        .enumerate()
        .map(|(number, request)| match number % 100 {
            50 => NewRecord { value: Some(giant.clone()), ..request },
            _ => request,
        })
        .collect();
    shared().produce(&stage.requests, &sent);
    let program = ready(&stage.settings());
    assert_answered(&stage, &sent);
    stop(program);
}
