//! The consumer's callbacks, and the calls that change its assignment.

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

use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::security::access::Access;
use crate::telemetry::lag::Watermarks;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::now_ms;

/// A rebalance event that the worker has yet to answer.
#[derive(Debug)]
pub enum Rebalance {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// The consumer's context. It only queues rebalance events: the worker answers them between two
/// polls, after it has committed its open epoch. (librdkafka continues the rebalance when the
/// worker has answered.)
pub struct ConsumerEvents {
    pub client: ClientState,
    topic: String,
    worker: usize,
    metrics: Arc<Metrics>,
    rebalances: Mutex<VecDeque<Rebalance>>,
    pub paused: AtomicBool,
    closing: AtomicBool,
}

impl ConsumerEvents {
    pub fn new(access: &Arc<Access>, topic: &str, worker: usize, metrics: Arc<Metrics>) -> Self {
        Self {
            client: ClientState::new(access),
            topic: topic.to_owned(),
            worker,
            metrics,
            rebalances: Mutex::default(),
            paused: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// Takes the oldest rebalance event that was not answered.
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().pop_front()
    }

    /// From now on revocations are answered at once: there is nothing left to commit.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for ConsumerEvents {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
        // Without fetches these numbers are stale.
        let fetches = !self.paused.load(Ordering::Relaxed);
        let Some(topic) = statistics.topics.get(&self.topic).filter(|_| fetches) else {
            return;
        };
        // librdkafka's own lag ignores transactional commits, so we compute it from our positions.
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
        self.rebalances.lock().push_back(match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assigned(partitions),
            _ => Rebalance::Revoked(partitions),
        });
    }
}

/// Adds `list` to the assignment, by the call that the group's protocol requires.
pub fn assign(
    consumer: &BaseConsumer<ConsumerEvents>,
    list: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Whether partitions can be added to the assignment one after the other.
pub fn is_incremental(consumer: &BaseConsumer<ConsumerEvents>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Removes `list` from the assignment, by the call that the group's protocol requires. Partitions
/// that are not in the assignment are skipped, because librdkafka would reject the whole list.
pub fn unassign(consumer: &BaseConsumer<ConsumerEvents>, list: &TopicPartitionList) {
    let done = match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.assignment().and_then(|assigned| {
            let mut removed = TopicPartitionList::new();
            for element in list.elements() {
                let (topic, partition) = (element.topic(), element.partition());
                if assigned.find_partition(topic, partition).is_some() {
                    removed.add_partition(topic, partition);
                }
            }
            consumer.incremental_unassign(&removed)
        }),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    };
    if let Err(error) = done {
        tracing::warn!(%error, "partitions could not be unassigned");
    }
}
