//! What librdkafka reports from inside: log lines, statistics, changes of the assignment, refused deliveries.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::{Broker, Statistics};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::access::{Access, lock};
use super::right::{Operation, Right};
use crate::telemetry::lag::Watermarks;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::now_ms;

/// How every client of this program hears errors and log lines, and gets its token.
macro_rules! hears {
    () => {
        const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

        fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
            self.access.log(level, facility, text);
        }

        fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
            self.access.report(&error, reason);
        }

        fn generate_oauth_token(
            &self,
            _: Option<&str>,
        ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
            self.access.token()
        }
    };
}
pub(super) use hears;

/// The ear of a client that nobody polls for long: of the watch, and of the commands.
pub(super) struct Ear {
    access: Arc<Access>,
    /// The client knows no broker any more.
    lost: AtomicBool,
}

impl Ear {
    pub(super) fn new(access: &Arc<Access>) -> Self {
        Self { access: Arc::clone(access), lost: AtomicBool::new(false) }
    }

    /// Whether the client was last seen to know no broker any more; says so once.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

impl ClientContext for Ear {
    hears!();

    fn stats(&self, statistics: Statistics) {
        self.lost.store(knows_none(&statistics), Ordering::Relaxed);
    }
}

impl ConsumerContext for Ear {}

/// More events than wait at a time.
pub(super) const EVENTS: usize = 100;

/// Serves the errors, log lines, statistics and tokens of a client to which no record can come.
pub(super) fn listen(client: &BaseConsumer<Ear>) {
    for _ in 0..EVENTS {
        let _ = client.poll(Duration::ZERO);
    }
}

/// A change of the assignment that the worker has yet to follow.
#[derive(Debug)]
pub(super) enum Change {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// The consumer's ear. It only notes changes of the assignment: the worker follows them between two polls, where it can
/// first commit what it has done. (librdkafka waits with the group's next step until the worker has answered.)
pub(super) struct ConsumerEvents {
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
    pub(super) fn new(
        access: &Arc<Access>,
        topic: &str,
        worker: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
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
    pub(super) fn take_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::Relaxed)
    }

    /// The oldest change not yet followed.
    pub(super) fn next_change(&self) -> Option<Change> {
        lock(&self.changes).pop_front()
    }

    /// From now on changes are followed at once: what was to be committed has been.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for ConsumerEvents {
    hears!();

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
                let watermarks = Watermarks { begin, end, next: (partition.fetchq_cnt == 0).then_some(next) };
                let lag = &self.metrics.lag;
                lag.observed(Some(self.worker), partition.partition, watermarks, now_ms());
            }
        }
    }
}

/// Whether a client knows no broker, neither from its settings nor from the cluster.
fn knows_none(statistics: &Statistics) -> bool {
    let known = |broker: &Broker| matches!(broker.source.as_str(), "configured" | "learned");
    !statistics.brokers.values().any(known)
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
        lock(&self.changes).push_back(match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(partitions),
            _ => Change::Revoked(partitions),
        });
    }
}

/// Takes `list` into the assignment, as the group's protocol wants it.
pub(super) fn assign(
    consumer: &BaseConsumer<ConsumerEvents>,
    list: &TopicPartitionList,
) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Whether the group's protocol lets partitions be added to the assignment one after the other.
pub(super) fn takes_more(consumer: &BaseConsumer<ConsumerEvents>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Gives `list` up, as the group's protocol wants it. Partitions of it that were never taken are passed over: librdkafka
/// would refuse the whole list.
pub(super) fn unassign(consumer: &BaseConsumer<ConsumerEvents>, list: &TopicPartitionList) {
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

/// A record of ours that the broker did not take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    /// What it was sent with.
    pub tag: usize,
    pub code: Code,
}

/// The producer's ear: it keeps what was not delivered.
pub(super) struct ProducerEvents {
    access: Arc<Access>,
    refused: Mutex<Vec<Refused>>,
    /// How many records were not delivered since this was last set to 0.
    pub lost: AtomicUsize,
    /// The part of this producer in the metrics of all queues: records and bytes.
    queued: Mutex<[i64; 2]>,
    /// None: a command's producer, of which nobody asks.
    metrics: Option<Arc<Metrics>>,
}

impl ProducerEvents {
    pub(super) fn new(access: &Arc<Access>, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            access: Arc::clone(access),
            refused: Mutex::default(),
            lost: AtomicUsize::new(0),
            queued: Mutex::default(),
            metrics,
        }
    }

    fn set_queued(&self, now: [i64; 2]) {
        let [records, bytes] = mem::replace(&mut *lock(&self.queued), now);
        if let Some(metrics) = &self.metrics {
            metrics.queue_records.add(now[0] - records);
            metrics.queue_bytes.add(now[1] - bytes);
        }
    }

    /// Whether anything was refused since the last call of [`Self::take_refused`].
    pub(super) fn has_refused(&self) -> bool {
        !lock(&self.refused).is_empty()
    }

    /// What was refused since the last call.
    pub(super) fn take_refused(&self) -> Vec<Refused> {
        mem::take(&mut *lock(&self.refused))
    }
}

impl ClientContext for ProducerEvents {
    hears!();

    fn stats(&self, statistics: Statistics) {
        let part = |count: u64| i64::try_from(count).unwrap_or(0);
        self.set_queued([statistics.msg_cnt, statistics.msg_size].map(part));
    }
}

impl Drop for ProducerEvents {
    fn drop(&mut self) {
        self.set_queued([0, 0]);
    }
}

impl ProducerContext for ProducerEvents {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if let Err((error, message)) = result {
            self.lost.fetch_add(1, Ordering::SeqCst);
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            if code == Code::TopicAuthorizationFailed {
                let right = Right::on_topic(Operation::Write, message.topic());
                self.access.miss(right);
            }
            lock(&self.refused).push(Refused { tag, code });
        }
    }
}
