//! Finds the latest committed entry of a group in partitions of the ledger.
//!
//! Compaction keeps more than the latest entry: the segment that is being written, and the entries
//! of other groups. The reader therefore begins near the end, and goes back in growing steps until
//! it has found one.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Entry;
use crate::kafka::client::callbacks::BasicContext;
use crate::kafka::client::config::Clients;
use crate::kafka::client::deadline::close_in_background;
use crate::kafka::client::native::fetched_high_watermark;
use crate::telemetry::metrics::Metrics;

/// How many offsets before the end the first step begins.
const FIRST_STEP: i64 = 64;
/// By which factor each next step begins further before the end.
const STEP_FACTOR: i64 = 16;
/// How far before the end [`LedgerReader::recent`] looks: some minutes of one writer, which are
/// read within a second.
const RECENT: i64 = FIRST_STEP * STEP_FACTOR * STEP_FACTOR;
/// The longest wait for one record, so that the deadline is noticed.
const POLL: Duration = Duration::from_millis(20);

/// What a partition of the ledger says about the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The latest committed entry.
    pub entry: Option<Entry>,
    /// Whether records follow what was read, and may hold an entry of the group: their transaction
    /// is open, or was a moment ago.
    pub is_hidden: bool,
}

/// A client that reads the ledger. It joins no group.
pub struct LedgerReader {
    client: BaseConsumer<BasicContext>,
    topic: String,
    topic_c: CString,
    group: String,
}

/// The part of a partition that is read in one step.
struct Step {
    from: i64,
    /// No step begins before this offset.
    low: i64,
    /// The last stable offset.
    end: i64,
    latest: Option<Entry>,
    /// Whether it was read up to `end`.
    done: bool,
}

impl LedgerReader {
    pub fn connect(clients: &Clients, topic: &str, group: &str) -> Result<Self, KafkaError> {
        Self::with(&clients.reader(), clients, topic, group)
    }

    /// A reader of all entries, those of open and aborted transactions included.
    pub fn of_all(clients: &Clients, topic: &str, group: &str) -> Result<Self, KafkaError> {
        let mut config = clients.reader();
        config.set("isolation.level", "read_uncommitted");
        Self::with(&config, clients, topic, group)
    }

    fn with(
        config: &ClientConfig,
        clients: &Clients,
        topic: &str,
        group: &str,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            client: BasicContext::consumer(config, &clients.access)?,
            topic: topic.to_owned(),
            // A name with a NUL byte is as unknown to the brokers as an empty one.
            topic_c: CString::new(topic).unwrap_or_default(),
            group: group.to_owned(),
        })
    }

    /// The latest entry in each of `partitions`, which must exist.
    pub fn latest(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<BTreeMap<i32, Found>, KafkaError> {
        self.find(partitions, i64::MAX, |_| true, timeout)
    }

    /// The latest entry that `is_wanted` accepts among those at the end of a partition.
    pub fn recent(
        &self,
        partition: i32,
        is_wanted: impl Fn(&Entry) -> bool,
        timeout: Duration,
    ) -> Result<Option<Entry>, KafkaError> {
        let found = self.find(&[partition], RECENT, is_wanted, timeout)?;
        Ok(found.into_values().next().and_then(|it| it.entry))
    }

    /// The latest entry that `is_wanted` accepts among the last `most` offsets of each partition.
    fn find(
        &self,
        partitions: &[i32],
        most: i64,
        is_wanted: impl Fn(&Entry) -> bool,
        timeout: Duration,
    ) -> Result<BTreeMap<i32, Found>, KafkaError> {
        let deadline = Instant::now() + timeout;
        let mut found = BTreeMap::new();
        let mut steps = BTreeMap::new();
        for &partition in partitions {
            let (low, end) = self.watermarks(partition, deadline)?;
            let low = low.max(end.saturating_sub(most));
            let from = (end - FIRST_STEP).max(low);
            steps.insert(partition, Step { from, low, end, latest: None, done: false });
        }
        while !steps.is_empty() {
            let read = self.read(&mut steps, &is_wanted, deadline);
            // So that nothing that this step fetched counts as the next one's.
            self.client.unassign()?;
            read?;
            for (partition, mut step) in std::mem::take(&mut steps) {
                if step.latest.is_none() && step.from > step.low {
                    let back = (step.end - step.from).saturating_mul(STEP_FACTOR);
                    step.from = (step.end - back).max(step.low);
                    step.done = false;
                    steps.insert(partition, step);
                    continue;
                }
                let high = fetched_high_watermark(self.client.client(), &self.topic_c, partition);
                let is_hidden = high.is_none_or(|high| high > step.end);
                found.insert(partition, Found { entry: step.latest, is_hidden });
            }
        }
        Ok(found)
    }

    /// Reads all steps at once, each to its end.
    fn read(
        &self,
        steps: &mut BTreeMap<i32, Step>,
        is_wanted: impl Fn(&Entry) -> bool,
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (&partition, step) in steps.iter() {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(step.from))?;
        }
        self.client.assign(&list)?;
        while steps.values().any(|step| !step.done) {
            if Instant::now() > deadline {
                return Err(KafkaError::MessageConsumption(Code::OperationTimedOut));
            }
            match self.client.poll(POLL) {
                Some(Ok(record)) => {
                    let Some(step) = steps.get_mut(&record.partition()) else { continue };
                    step.done |= record.offset() >= step.end - 1;
                    if record.key() != Some(self.group.as_bytes()) {
                        continue;
                    }
                    match record.payload().and_then(Entry::read) {
                        Some(entry) if is_wanted(&entry) => step.latest = Some(entry),
                        Some(_) => {}
                        None => tracing::warn!(
                            topic = self.topic,
                            partition = record.partition(),
                            offset = record.offset(),
                            "a record of the ledger is not an entry and is passed over"
                        ),
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(step) = steps.get_mut(&partition) {
                        step.done = true;
                    }
                }
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(_)) | None => {} // librdkafka retries by itself
            }
        }
        Ok(())
    }

    /// The first offset and the last stable one.
    fn watermarks(&self, partition: i32, deadline: Instant) -> Result<(i64, i64), KafkaError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(KafkaError::MetadataFetch(Code::OperationTimedOut));
        }
        self.client.fetch_watermarks(&self.topic, partition, left)
    }

    /// The end of a partition of any topic, as far as this reader sees it: the last stable offset,
    /// or the end of all records.
    pub fn end(&self, topic: &str, partition: i32, timeout: Duration) -> Result<i64, KafkaError> {
        Ok(self.client.fetch_watermarks(topic, partition, timeout)?.1)
    }

    /// Closes the client in the background, since closing waits for the brokers.
    pub fn close(self, metrics: &Arc<Metrics>) {
        close_in_background("reader of the ledger", self, Some(Arc::clone(metrics)));
    }
}

/// Whether librdkafka's retries do not help.
fn is_final(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition))
}
