//! Offsets that an open transaction holds back: the next member of the group waits for them.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList, producer::DefaultProducerContext};

use crate::cluster::shared;
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, stop, wait_until};

/// The open transaction of an instance that crashed after it sent its offsets and before it
/// committed them.
fn crash_before_commit(stage: &Stage) -> ThreadedProducer<DefaultProducerContext> {
    let producer: ThreadedProducer<_> = shared()
        .client()
        .set("transactional.id", format!("{}-crashed", stage.group))
        .create()
        .expect("a producer");
    producer.init_transactions(WAIT_TIMEOUT).expect("begins");
    producer.begin_transaction().expect("begins");
    let member: BaseConsumer =
        shared().client().set("group.id", &stage.group).create().expect("a consumer");
    let mut positions = TopicPartitionList::new();
    for partition in 0..2 {
        positions
            .add_partition_offset(&stage.requests, partition, Offset::Offset(1))
            .expect("a position");
    }
    let metadata = member.group_metadata().expect("of the group");
    producer
        .send_offsets_to_transaction(&positions, &metadata, WAIT_TIMEOUT)
        .expect("offsets are sent");
    producer
}

#[test]
fn a_rebalance_during_a_crashed_members_transaction_resets_no_offset() {
    let stage = Stage::new(shared(), "held-back", 2);
    let mut sent: Vec<_> = Requests::new(0, 2).take(200).collect();
    shared().produce(&stage.requests, &sent);
    let program = stage.run();
    stage.wait_for_outcomes(shared(), sent.len());
    stop(program);

    let crashed = crash_before_commit(&stage);
    let first = stage.settings().run();
    let changes = |count| first.stderr().matches("Assigned(").count() >= count;
    wait_until("each worker has its partition", || changes(2));
    std::thread::sleep(Duration::from_secs(1));
    let second = stage.settings().run();
    wait_until("the group has changed", || changes(4));
    std::thread::sleep(Duration::from_secs(2));
    crashed.abort_transaction(WAIT_TIMEOUT).expect("aborts");

    let more: Vec<_> = Requests::new(1_000, 2).take(100).collect();
    shared().produce(&stage.requests, &more);
    sent.extend(more);
    stage.wait_for_outcomes(shared(), sent.len());
    stop(first);
    stop(second);
    let found = differences(&sent, &stage.outcomes(shared()));
    assert_eq!(found, Differences::default());
}
