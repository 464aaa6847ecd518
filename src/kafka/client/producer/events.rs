//! The producer's callbacks: what was not delivered, what was not answered, how much is queued.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::statistics::Statistics;

use super::unsettled::Place;
use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::client::native::producer::{ProducerCallbacks, Undelivered};
use crate::kafka::client::refusal::{Refused, is_permanent};
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::telemetry::metrics::Metrics;

/// How many records of a partition were not delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    /// No broker has stored these.
    pub surely: usize,
    /// They were sent, and the answer is missing.
    pub perhaps: usize,
}

/// The context of one producer client.
pub(super) struct ProducerEvents {
    pub client: ClientState,
    refused: Mutex<Vec<Refused>>,
    /// How many records of the transaction were not delivered, by topic and partition.
    pub undelivered: Mutex<BTreeMap<Place, Lost>>,
    /// When the first batch of the transaction was sent.
    pub first_batch: Mutex<Option<Instant>>,
    /// Whether a broker refused a batch of the transaction for good.
    gap: AtomicBool,
    /// Whether a transactional request may still be under way.
    unanswered: AtomicBool,
    /// This producer's share of the queue metrics: records and bytes.
    queued: Mutex<[i64; 2]>,
    /// `None` for the producers of commands, which export no metrics.
    metrics: Option<Arc<Metrics>>,
}

impl ProducerEvents {
    pub fn new(access: &Arc<Access>, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            client: ClientState::new(access),
            refused: Mutex::default(),
            undelivered: Mutex::default(),
            first_batch: Mutex::default(),
            gap: AtomicBool::new(false),
            unanswered: AtomicBool::new(false),
            queued: Mutex::default(),
            metrics,
        }
    }

    fn set_queued(&self, now: [i64; 2]) {
        let [records, bytes] = mem::replace(&mut *self.queued.lock(), now);
        if let Some(metrics) = &self.metrics {
            metrics.queue_records.add(now[0] - records);
            metrics.queue_bytes.add(now[1] - bytes);
        }
    }

    /// Whether records were refused since the last call of [`Self::take_refused`].
    pub fn has_refused(&self) -> bool {
        !self.refused.lock().is_empty()
    }

    /// The records that were refused since the last call.
    pub fn take_refused(&self) -> Vec<Refused> {
        mem::take(&mut *self.refused.lock())
    }

    /// Whether a batch was refused for good since the last call, which leaves a gap in the sequence
    /// numbers.
    pub fn take_gap(&self) -> bool {
        self.gap.swap(false, Ordering::Relaxed)
    }

    /// Whether a transactional request of this client was not answered. Once true, it stays so.
    pub fn has_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst)
    }

    /// Records that a transactional request may still be under way.
    pub fn note_unanswered(&self) {
        self.unanswered.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for ProducerEvents {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
        if let Some(metrics) = &self.metrics {
            self.client.report_throttle("producer", &statistics, metrics);
        }
        let part = |count: u64| i64::try_from(count).unwrap_or(0);
        self.set_queued([statistics.msg_cnt, statistics.msg_size].map(part));
    }
}

impl ProducerCallbacks for ProducerEvents {
    fn undelivered(&self, record: Undelivered<'_>) {
        let Undelivered { topic, partition, code, tag, may_be_stored } = record;
        {
            let mut undelivered = self.undelivered.lock();
            let lost = undelivered.entry((topic.to_owned(), partition)).or_default();
            *(if may_be_stored { &mut lost.perhaps } else { &mut lost.surely }) += 1;
        }
        if code == Code::TopicAuthorizationFailed {
            self.client
                .access
                .record_denied(Right::on_topic(Operation::Write, &topic.to_string_lossy()));
        }
        if is_permanent(code) {
            self.gap.store(true, Ordering::Relaxed);
        }
        self.refused.lock().push(Refused { tag, code });
    }

    fn batch_sent(&self) {
        self.first_batch.lock().get_or_insert_with(Instant::now);
    }

    fn unanswered(&self) {
        self.note_unanswered();
    }
}

impl Drop for ProducerEvents {
    fn drop(&mut self) {
        self.set_queued([0, 0]);
    }
}
