//! The consumer's callbacks, and the calls that change its assignment.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;

use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::client::native::Offsets;
use crate::kafka::client::native::consumer::{ConsumerCallbacks, GroupClient, Rebalance};
use crate::kafka::client::native::offsets::NO_OFFSET;
use crate::kafka::security::access::Access;
use crate::pipeline::Position;
use crate::telemetry::lag::LogOffsets;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::now_ms;

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
    /// Whether the worker has fetched records that it may not have processed yet.
    pub has_fetched: AtomicBool,
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
            has_fetched: AtomicBool::new(false),
        }
    }

    /// Takes the oldest rebalance event that was not answered.
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        self.rebalances.lock().pop_front()
    }
}

impl ClientContext for ConsumerEvents {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
        self.client.report_throttle("consumer", &statistics, &self.metrics);
        // Without fetches these numbers are stale.
        let fetches = !self.paused.load(Ordering::Relaxed);
        let Some(topic) = statistics.topics.get(&self.topic).filter(|_| fetches) else {
            return;
        };
        let has_fetched = self.has_fetched.load(Ordering::Relaxed);
        // librdkafka's own lag ignores transactional commits, so we compute it from our positions.
        for partition in topic.partitions.values().filter(|it| it.desired) {
            let end =
                if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
            let (begin, next) = (partition.lo_offset, partition.next_offset);
            if end >= 0 && begin >= 0 {
                let is_read = partition.fetchq_cnt == 0 && !has_fetched;
                let next = is_read.then_some(next);
                let high = Some(partition.hi_offset.max(end));
                let offsets = LogOffsets { begin, end, high, next };
                let lag = &self.metrics.lag;
                lag.observed(Some(self.worker), partition.partition, offsets, now_ms());
            }
        }
    }
}

impl ConsumerCallbacks for ConsumerEvents {
    fn note_rebalance(&self, rebalance: Rebalance) {
        self.rebalances.lock().push_back(rebalance);
    }
}

type Consumer = GroupClient<ConsumerEvents>;

/// Adds `list` to the assignment, by the call that the group's protocol requires.
pub fn assign(consumer: &Consumer, list: &Offsets) -> Result<(), KafkaError> {
    if consumer.is_incremental() {
        consumer.add_to_assignment(list)
    } else {
        consumer.replace_assignment(Some(list))
    }
}

/// Removes `list` from the assignment, by the call that the group's protocol requires. Partitions
/// that are not in the assignment are skipped, because librdkafka would reject the whole list.
pub fn unassign(consumer: &Consumer, topic: &CStr, list: &Offsets) {
    let done = if consumer.is_incremental() {
        let assigned: Vec<_> = consumer
            .assignment()
            .iter()
            .flat_map(Offsets::entries)
            .map(|it| it.partition)
            .collect();
        let removed = list.entries().filter(|it| assigned.contains(&it.partition));
        consumer.remove_from_assignment(&Offsets::new(topic, removed))
    } else {
        consumer.replace_assignment(None)
    };
    if let Err(error) = done {
        tracing::warn!(%error, "partitions could not be unassigned");
    }
}

/// Leaves the group. Revocations are answered at once: there is nothing left to commit.
pub fn close(consumer: &Consumer, topic: &CStr) {
    consumer.close(|consumer| {
        while let Some(rebalance) = consumer.context().next_rebalance() {
            let (Rebalance::Assigned(partitions) | Rebalance::Revoked(partitions)) = rebalance;
            unassign(consumer, topic, &partition_list(topic, &partitions));
        }
    });
}

/// A list of partitions without offsets.
pub fn partition_list(topic: &CStr, partitions: &[i32]) -> Offsets {
    let positions = partitions.iter().map(|&partition| Position { partition, offset: NO_OFFSET });
    Offsets::new(topic, positions)
}
