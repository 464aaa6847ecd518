//! The consumer's callbacks: statistics, and changes of the assignment, which the worker follows between two polls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use crate::kafka::client::callbacks::{client_callbacks, knows_none};
use crate::kafka::security::access::Access;
use crate::telemetry::lag::Watermarks;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::now_ms;

/// A change of the assignment that the worker has yet to follow.
#[derive(Debug)]
pub enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// The consumer's ear. It only notes changes of the assignment: the worker follows them between two polls, where it can
/// first commit what it has done. (librdkafka waits with the group's next step until the worker has answered.)
pub struct ConsumerEvents {
    access: Arc<Access>,
    topic: String,
    worker: usize,
    metrics: Arc<Metrics>,
    changes: Mutex<VecDeque<Change>>,
    /// Nothing is read, for now.
    pub paused: AtomicBool,
    closing: AtomicBool,
    /// The client knows no broker any more.
    lost: AtomicBool,
}

impl ConsumerEvents {
    pub fn new(access: &Arc<Access>, topic: &str, worker: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            access: Arc::clone(access),
            topic: topic.to_owned(),
            worker,
            metrics,
            changes: Mutex::default(),
            paused: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        }
    }

    /// Whether the client was last seen to know no broker any more; says so once.
    pub fn take_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }

    /// The oldest change not yet followed.
    pub fn next_change(&self) -> Option<Change> {
        self.changes.lock().pop_front()
    }

    /// From now on changes are followed at once: what was to be committed has been.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for ConsumerEvents {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.lost.store(knows_none(&statistics), Ordering::Relaxed);
        // A pause stops what these numbers come from.
        let reads = !self.paused.load(Ordering::Relaxed);
        let Some(topic) = statistics.topics.get(&self.topic).filter(|_| reads) else {
            return;
        };
        // librdkafka's own lag ignores transactional commits, so it is counted from our own positions.
        for partition in topic.partitions.values().filter(|it| it.desired) {
            let end =
                if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
            let (begin, next) = (partition.lo_offset, partition.next_offset);
            if end >= 0 && begin >= 0 {
                let watermarks =
                    Watermarks { begin, end, next: (partition.fetchq_cnt == 0).then_some(next) };
                let lag = &self.metrics.lag;
                lag.observed(Some(self.worker), partition.partition, watermarks, now_ms());
            }
        }
    }
}

impl ConsumerContext for ConsumerEvents {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::SeqCst) {
            unassign(consumer, list);
            return;
        }
        let partitions = list.elements().iter().map(TopicPartitionListElem::partition).collect();
        self.changes.lock().push_back(match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(partitions),
            _ => Change::Revoked(partitions),
        });
    }
}

/// Takes `list` into the assignment, as the group's protocol wants it.
pub fn assign(
    consumer: &BaseConsumer<ConsumerEvents>,
    list: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Whether the group's protocol lets partitions be added to the assignment one after the other.
pub fn takes_more(consumer: &BaseConsumer<ConsumerEvents>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Gives `list` up, as the group's protocol wants it. Partitions of it that were never taken are passed over: librdkafka
/// would refuse the whole list.
pub fn unassign(consumer: &BaseConsumer<ConsumerEvents>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.assignment().and_then(|taken| {
            let mut given_up = TopicPartitionList::new();
            for element in list.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                if taken.find_partition(topic, partition).is_some() {
                    given_up.add_partition(topic, partition);
                }
            }
            consumer.incremental_unassign(&given_up)
        }),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    if let Err(error) = done {
        tracing::warn!(%error, "partitions could not be given up");
    }
}
