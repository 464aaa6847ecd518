//! Sends originals in batches: each transaction holds a batch and the progress after it.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::client::c_string;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{self, GroupMetadata, Headers, Offsets, Outgoing};
use crate::kafka::client::producer::{OutputProducer, ProducerSettings, Sent};
use crate::kafka::client::refusal::is_permanent;
use crate::kafka::dlq::dead_letter::{self, REPLAYS};
use crate::kafka::dlq::error::DlqError;
use crate::kafka::dlq::originals::OriginalRecord;
use crate::kafka::dlq::progress::{Choice, Cursor, Progress};
use crate::kafka::dlq::scan::DeadLetterTopic;
use crate::pipeline::Position;

/// The most that one transaction holds.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 8 << 20;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An original to send, and the progress once it is sent.
pub struct Ready {
    pub position: Position,
    /// The partition that the request was in.
    pub partition: i32,
    pub original: OriginalRecord,
    pub cursor: Cursor,
}

#[derive(Default)]
pub struct Batch {
    pub ready: Vec<Ready>,
    bytes: usize,
}

impl Batch {
    pub fn add(&mut self, ready: Ready) {
        self.bytes += ready.original.value.as_ref().map_or(0, Vec::len);
        self.ready.push(ready);
    }

    pub fn is_full(&self, records: usize) -> bool {
        self.ready.len() >= records || self.bytes >= BATCH_BYTES
    }
}

/// What a run does with one partition of the failures topic.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub partition: i32,
    /// What earlier runs have dealt with.
    pub progress: &'a Progress,
    /// The offset at which the run starts.
    pub start: i64,
    pub choice: &'a Choice,
}

/// Sends originals at a limited rate.
pub struct Sender {
    producer: OutputProducer,
    requests: CString,
    failures: String,
    group: CString,
    /// How many partitions the requests topic has.
    partitions: i32,
    /// How many records a transaction holds at most.
    pub batch_records: usize,
    rate: u32,
    /// When the next batch may be sent.
    due: Instant,
}

impl Sender {
    /// Connects. The requests topic has `partitions` partitions.
    pub fn connect(topic: &DeadLetterTopic, rate: u32, partitions: i32) -> Result<Self, DlqError> {
        let clients = &topic.clients;
        let name = clients.replay_name();
        let requests = c_string(&topic.requests)?;
        let reach =
            Box::new(move || Some((0..partitions).map(|it| (requests.clone(), it)).collect()));
        let (config, access) = (clients.replay_producer(), &clients.access);
        let settings = ProducerSettings::of_command(config, access, name.clone(), reach);
        let producer =
            OutputProducer::connect(settings, || false).map_err(|fault| match fault {
                Fault::Abort(why) | Fault::Restart(why) | Fault::Fatal(why) => {
                    CommandError::Brokers {
                        action: format!("start the producer with the transactional id {name}"),
                        why: why.to_string(),
                    }
                    .into()
                }
                fault @ (Fault::Denied(_) | Fault::Fenced(_)) => DlqError::from(fault),
            })?;
        Ok(Self {
            producer,
            requests: c_string(&topic.requests)?,
            failures: topic.name.clone(),
            group: c_string(&name)?,
            partitions,
            batch_records: match rate {
                0 => BATCH_RECORDS,
                rate => BATCH_RECORDS.min(rate as usize),
            },
            rate,
            due: Instant::now(),
        })
    }

    /// Sends these originals. If the brokers refuse one, everything before it is sent and the error
    /// names it.
    pub fn deliver(&mut self, batch: &[Ready], task: Task<'_>) -> Result<(), DlqError> {
        self.send(batch, task).map_err(|error| {
            // A missing ACL shows as one of several transaction errors; the recorded denial names
            // it.
            let denied = self.producer.latest_denial();
            denied.map_or(error, |denied| CommandError::Rejected(denied).into())
        })
    }

    /// Halves a batch that the brokers refuse until the refused record is found.
    fn send(&mut self, batch: &[Ready], task: Task<'_>) -> Result<(), DlqError> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        self.wait_until_due(batch.len());
        self.producer.begin()?;
        let mut refused = None;
        for (tag, ready) in batch.iter().enumerate() {
            let record = outgoing(&self.requests, self.partitions, ready, tag);
            if let Sent::Refused(code) = self.producer.send(record)? {
                refused = Some(code);
                break;
            }
        }
        if refused.is_none() {
            // The list also has records that were only aborted together with the refused one.
            let codes = self.producer.flush()?.into_iter().map(|it| it.code);
            refused = codes.reduce(|first, code| if is_permanent(code) { code } else { first });
        }
        let Some(code) = refused else {
            self.commit(task, last.cursor)?;
            return Ok(());
        };
        self.producer.abort()?;
        if batch.len() > 1 {
            let (first, second) = batch.split_at(batch.len() / 2);
            self.send(first, task)?;
            return self.send(second, task);
        }
        Err(if is_permanent(code) {
            DlqError::Refused { position: last.position, code }
        } else {
            DlqError::Stopped(Cause::Kafka(KafkaError::MessageProduction(code)))
        })
    }

    /// Commits what was sent, and the progress at `cursor`.
    pub fn commit(&mut self, task: Task<'_>, cursor: Cursor) -> Result<(), DlqError> {
        self.producer.begin()?;
        let progress = task.progress.advanced(task.start, cursor, task.choice);
        let mut list = TopicPartitionList::new();
        let mut position = list.add_partition(&self.failures, task.partition);
        position
            .set_offset(Offset::Offset(progress.committed))
            .map_err(|error| DlqError::Stopped(error.into()))?;
        position.set_metadata(progress.metadata());
        let group = Arc::new(GroupMetadata::without_members(&self.group));
        Ok(self.producer.commit(Offsets::copy_of(&list), group)?)
    }

    pub fn close(mut self) {
        self.producer.settle_before_close();
        self.producer.close(CLOSE_TIMEOUT);
    }

    /// Keeps to the rate by waiting between transactions, since an open one delays the readers of
    /// the topic.
    fn wait_until_due(&mut self, records: usize) {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        if self.rate > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a duration")]
            let seconds = records as f64 / f64::from(self.rate);
            self.due = Instant::now() + Duration::from_secs_f64(seconds);
        }
    }
}

/// The original with its number of replays, for its old partition if that still exists, otherwise
/// for that of its key.
fn outgoing<'a>(topic: &'a CString, partitions: i32, ready: &'a Ready, tag: usize) -> Outgoing<'a> {
    let OriginalRecord { key, value, headers, timestamp } = &ready.original;
    let mut copied = Headers::with_capacity(headers.len() + 1);
    for (name, value) in headers.iter().filter(|(name, _)| name != REPLAYS) {
        copied.push(name, value.as_deref());
    }
    let replays = dead_letter::replays(headers).saturating_add(1);
    copied.push(REPLAYS, Some(replays.to_string().as_bytes()));
    let key = key.as_deref();
    let partition = match key {
        _ if (0..partitions).contains(&ready.partition) => ready.partition,
        Some(key) => native::partition_of_key(key, partitions),
        None => ready.partition.rem_euclid(partitions.max(1)),
    };
    Outgoing {
        topic,
        partition,
        key,
        value: value.as_deref(),
        timestamp: timestamp.filter(|&at| at > 0),
        headers: Some(copied),
        tag,
    }
}
