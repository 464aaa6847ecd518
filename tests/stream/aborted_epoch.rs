//! An epoch turns out to be aborted while a further record is added to it: that record is read
//! again, too.

use crate::cluster::{NewRecord, Record, shared};
use crate::traffic::load::{Requests, number};
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_until};

#[test]
fn a_record_that_finds_its_transaction_aborted_by_another_partition_is_not_skipped() {
    let stage = Stage::named(shared(), "broken");
    let small = [TOPIC[1], TOPIC[2], ("max.message.bytes", "1000")];
    for (topic, settings) in stage.topics().into_iter().zip([&TOPIC, &small, &TOPIC]) {
        shared().create_topic(topic, 2, settings);
    }
    // One worker and a long epoch: the worker knows that the broker refused the first outcome when
    // it reads the next request.
    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        .set("kafka.producer.compression_type", "none")
        .set("kafka.producer.debug", "msg")
        .set("log.level", "debug")
        .set("kafka.producer.transaction_timeout_ms", "10000")
        .set("delivery.commit_interval_ms", "6000")
        .set("delivery.commit_min_interval_ms", "6000");
    let program = ready(&settings);
    let mut requests = Requests::new(0, 2);
    let mut next = |list: &str| NewRecord {
        value: Some(format!(r#"{{"nik":[{list}],"process":"full"}}"#).into_bytes()),
        ..requests.next().expect("without end")
    };
    // After a commit, the next commit is six seconds away.
    let (before, _) = (next(""), next(""));
    let producer = shared().producer();
    let send = |requests: &[NewRecord]| {
        for request in requests {
            producer.send(&stage.requests, request);
        }
        producer.flush();
    };
    send(&[before]);
    stage.wait_for_outcomes(shared(), 1);
    let refused = next(&format!("\"{}\"", "x".repeat(2_000)));
    send(&[refused]);
    wait_until("the broker refuses its result", || {
        program.stderr().contains("Message size too large")
    });
    let (first, _, second) = (next(""), next(""), next(""));
    assert_eq!((first.partition, second.partition), (Some(1), Some(1)));
    send(&[first, second]);

    let numbers = |records: &[Record]| -> Vec<_> {
        let keys = records.iter().map(|it| number(it.key.as_deref()));
        keys.collect()
    };
    wait_until("each has its outcome", || {
        let (results, failures) = stage.outcomes(shared());
        let mut answered = numbers(&results);
        answered.sort_unstable();
        (answered, numbers(&failures)) == (vec![Some(0), Some(3), Some(5)], vec![Some(2)])
    });
    assert!(program.metrics()["nik_stream_aborts_total"] > 0.5);
    stop(program);
}
