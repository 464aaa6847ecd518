//! Transactions left open by a process that is gone for good: the worker that gets the partition
//! ends them.

use std::time::Duration;

use crate::cluster::{NewRecord, shared, unique};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

const REQUESTS: usize = 20;
/// Longer than this test: the coordinator does not end the transaction.
const FOR_EVER: Duration = Duration::from_mins(10);

/// An entry of the ledger for position `next`, written by `id`.
fn entry(group: &str, id: &str, next: i64) -> NewRecord {
    let value = format!(
        r#"{{"next":{next},"topic_id":null,"leader_epoch":null,"transactional_id":"{id}","time":1}}"#
    );
    NewRecord {
        partition: Some(0),
        key: Some(group.as_bytes().to_vec()),
        value: Some(value.into_bytes()),
        ..NewRecord::default()
    }
}

/// The outcome in an open transaction.
fn outcome() -> NewRecord {
    NewRecord { partition: Some(0), key: Some(b"open".to_vec()), ..NewRecord::default() }
}

#[test]
fn an_open_transaction_of_a_dead_process_is_ended_by_the_owner_of_the_partition() {
    let stage = Stage::new(shared(), "leftover", 1).with_ledger(shared());
    let requests: Vec<_> = Requests::new(0, 1).take(REQUESTS).collect();
    shared().produce(&stage.requests, &requests);
    // The transaction contains the group's position, and hides its entry in the ledger and all
    // outcomes after its own.
    let id = format!("{}-dead-0", stage.group);
    let dead = shared().transactional_producer_for(&id, FOR_EVER);
    let records = [(&*stage.results, outcome()), (&*stage.ledger(), entry(&stage.group, &id, 1))];
    dead.leave_open(&records, &stage.group, &stage.requests, 1);

    let mut program = stage.settings().set("kafka.workers", "1").run();
    let outcomes = stage.wait_for_outcomes(shared(), REQUESTS);
    assert_eq!(differences(&requests, &outcomes), Differences::default());
    program.wait_ready(WAIT_TIMEOUT);
    let settled = program.metrics()[r#"nik_stream_transactions_settled_total{ending="abort"}"#];
    assert!(settled > 0.5, "{}", program.stderr());
    stop(program);
    drop(dead);
}

#[test]
fn outcomes_hidden_by_a_writer_before_the_latest_one_are_published() {
    let stage = Stage::new(shared(), "before", 1).with_ledger(shared());
    // The process wrote to the ledger once, and then left a transaction open that hides only
    // outcomes. So the service reads on, and its own entries follow in the ledger.
    let id = format!("{}-dead-0", stage.group);
    let dead = shared().transactional_producer_for(&id, FOR_EVER);
    dead.transaction(true, || dead.send(&stage.ledger(), &entry(&stage.group, &id, 0)));
    dead.leave_open(&[(&*stage.results, outcome())], &unique("another"), &stage.requests, 0);

    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        // Only the third look at the partition ends it; the looks are this and 12 seconds apart.
        .set("kafka.producer.transaction_timeout_ms", "4000");
    let mut program = settings.run();
    let requests: Vec<_> = Requests::new(0, 1).take(REQUESTS).collect();
    shared().produce(&stage.requests, &requests);
    program.wait_ready(WAIT_TIMEOUT);
    wait_until("the transaction is ended", || {
        program.metrics()[r#"nik_stream_transactions_settled_total{ending="abort"}"#] > 0.5
    });
    let outcomes = stage.wait_for_outcomes(shared(), REQUESTS);
    assert_eq!(differences(&requests, &outcomes), Differences::default());
    stop(program);
    drop(dead);
}

#[test]
fn an_open_transaction_that_nothing_explains_stops_its_partition_until_it_is_ended() {
    let stage = Stage::new(shared(), "unexplained", 1);
    let requests: Vec<_> = Requests::new(0, 1).take(REQUESTS).collect();
    shared().produce(&stage.requests, &requests);
    let unknown = shared().transactional_producer_for(&unique("unknown"), FOR_EVER);
    unknown.leave_open(&[(&*stage.results, outcome())], &stage.group, &stage.requests, 1);
    let program = stage.settings().set("kafka.workers", "1").run();
    wait_for_obstacle(&program, Obstacle::Hidden, "partition 0 is not read: a transaction is open");
    unknown.abort();
    let outcomes = stage.wait_for_outcomes(shared(), REQUESTS);
    assert_eq!(differences(&requests, &outcomes), Differences::default());
    stop(program);
}
