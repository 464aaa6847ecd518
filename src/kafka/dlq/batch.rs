//! Sends originals again, so many a second: a batch of them, and what was replayed by then, in one transaction.

use std::ffi::CString;
use std::time::{Duration, Instant};

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::client::c_string;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native::{GroupMetadata, Headers, Offsets, Outgoing};
use crate::kafka::client::producer::OutputProducer;
use crate::kafka::client::refusal::is_for_good;
use crate::kafka::dlq::letter::{Choice, Place};
use crate::kafka::dlq::originals::Request;
use crate::kafka::dlq::progress::{Cursor, Progress};
use crate::kafka::dlq::scan::DeadLetterTopic;

/// The most that one transaction holds.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 8 << 20;
/// How long the producer may take to go.
const CLOSE_BUDGET: Duration = Duration::from_secs(5);

/// An original on its way, and what is known once it is sent.
pub struct Ready {
    /// Of the failure.
    pub place: Place,
    /// Where the request stood.
    pub partition: i32,
    pub request: Request,
    pub cursor: Cursor,
}

/// What the next transaction holds.
#[derive(Default)]
pub struct Batch {
    pub ready: Vec<Ready>,
    bytes: usize,
}

impl Batch {
    pub fn add(&mut self, ready: Ready) {
        self.bytes += ready.request.value.as_ref().map_or(0, Vec::len);
        self.ready.push(ready);
    }

    pub fn is_full(&self, records: usize) -> bool {
        self.ready.len() >= records || self.bytes >= BATCH_BYTES
    }
}

/// A partition, what was replayed of it before, and the choice of this run.
pub type Note<'a> = (i32, &'a Progress, &'a Choice);

/// Sends originals, so many a second.
pub struct Sender {
    sink: OutputProducer,
    requests: CString,
    failures: String,
    group: CString,
    /// How many partitions the topic of requests has.
    takes: i32,
    /// How many records a transaction holds.
    pub batch: usize,
    rate: u32,
    /// When the next may go.
    due: Instant,
    pub sent: u64,
}

impl Sender {
    /// `takes`: how many partitions the topic of requests has.
    pub fn connect(letters: &DeadLetterTopic, rate: u32, takes: i32) -> Result<Self, CommandError> {
        let clients = &letters.clients;
        let name = clients.replay_name();
        let sink = OutputProducer::connect(&clients.replayer(), &clients.access, &name, 0, None);
        let sink = sink.map_err(|fault| match fault {
            Fault::Abort(why) | Fault::Restart(why) | Fault::Fatal(why) => CommandError::Brokers {
                doing: format!("begin to send, by the transactional id {name}"),
                why: why.to_string(),
            },
            fault @ (Fault::Denied(_) | Fault::Fenced(_)) => fault.into(),
        })?;
        Ok(Self {
            sink,
            requests: c_string(&letters.requests)?,
            failures: letters.topic.clone(),
            group: c_string(&name)?,
            takes,
            batch: match rate {
                0 => BATCH_RECORDS,
                rate => BATCH_RECORDS.min(rate as usize),
            },
            rate,
            due: Instant::now(),
            sent: 0,
        })
    }

    /// Sends these originals. One that the brokers refuse is looked for by halves: what stands before it goes.
    pub fn deliver(&mut self, batch: &[Ready], note: Note<'_>) -> Result<(), CommandError> {
        // A right that is missing breaks a transaction in ways of its own; it is known by its name.
        self.send(batch, note).map_err(|trouble| {
            let missing = self.sink.missing();
            missing.map_or(trouble, CommandError::Refusal)
        })
    }

    fn send(&mut self, batch: &[Ready], note: Note<'_>) -> Result<(), CommandError> {
        let Some(last) = batch.last() else {
            return Ok(());
        };
        self.pause(batch.len());
        self.sink.begin()?;
        let mut refused = None;
        for (tag, ready) in batch.iter().enumerate() {
            if let Err(code) = self.sink.send(outgoing(&self.requests, self.takes, ready, tag))? {
                refused = Some(code);
                break;
            }
        }
        if refused.is_none() {
            // (What the abort takes along with the one that was refused is here, too.)
            let codes = self.sink.settle()?.into_iter().map(|one| one.code);
            refused = codes.reduce(|first, code| if is_for_good(code) { code } else { first });
        }
        let Some(code) = refused else {
            self.commit(note, last.cursor)?;
            self.sent += batch.len() as u64;
            return Ok(());
        };
        self.sink.abort()?;
        if batch.len() > 1 {
            let (first, second) = batch.split_at(batch.len() / 2);
            self.send(first, note)?;
            return self.send(second, note);
        }
        Err(if is_for_good(code) {
            CommandError::Refused { place: last.place, code }
        } else {
            CommandError::Stopped(code.to_string())
        })
    }

    /// Commits what was sent, and that the run has come to `cursor`.
    pub fn commit(
        &mut self,
        (partition, progress, choice): Note<'_>,
        cursor: Cursor,
    ) -> Result<(), CommandError> {
        self.sink.begin()?;
        let progress = progress.after(cursor, choice);
        let mut list = TopicPartitionList::new();
        let mut position = list.add_partition(&self.failures, partition);
        position
            .set_offset(Offset::Offset(progress.mark))
            .map_err(|error| CommandError::Stopped(error.to_string()))?;
        position.set_metadata(progress.note());
        let membership = GroupMetadata::without_members(&self.group);
        Ok(self.sink.commit(Offsets::copy_of(&list), membership)?)
    }

    /// Lets the producer go.
    pub fn close(self) {
        self.sink.close(CLOSE_BUDGET);
    }

    /// Waits until these may go: between two transactions, so that none stands open for it.
    fn pause(&mut self, records: usize) {
        std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
        if self.rate > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a duration")]
            let takes = Duration::from_secs_f64(records as f64 / f64::from(self.rate));
            self.due = Instant::now() + takes;
        }
    }
}

/// An original as it is sent: to the partition it stood in, if that is still there.
fn outgoing<'a>(topic: &'a CString, takes: i32, ready: &'a Ready, tag: usize) -> Outgoing<'a> {
    let Request { key, value, headers, timestamp } = &ready.request;
    let mut own = Headers::with_capacity(headers.len());
    for (name, value) in headers {
        own.push(name, value.as_deref());
    }
    Outgoing {
        topic,
        partition: Some(ready.partition).filter(|it| (0..takes).contains(it)),
        key: key.as_deref(),
        value: value.as_deref(),
        timestamp: timestamp.filter(|&at| at > 0),
        headers: (!headers.is_empty()).then_some(own),
        tag,
    }
}
