//! The ledger of positions beside the stream: what it says at an assignment, and the entries of
//! each epoch.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::shared::Shared;
use super::start::{Committed, Ledger, TopicId};
use crate::kafka::client::config::Clients;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::Outgoing;
use crate::kafka::client::producer::{OutputProducer, Sent};
use crate::kafka::ledger::{Entry, Found, LedgerReader};
use crate::kafka::security::acl::{Operation, Right};
use crate::telemetry::now_ms;

/// Longer than any transaction lasts that the brokers end: what is hidden after this time stays so
/// until someone ends its transaction.
const HIDDEN_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the client stays open after its last use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The tag of entries in delivery reports. No record has it.
const TAG: usize = usize::MAX;

/// Asks the ledger for the latest entries. It has a client only while partitions are starting.
pub struct LedgerLookup {
    shared: Arc<Shared>,
    /// The client, and when it was last used.
    reader: Used,
    /// The same for all entries, those of open and aborted transactions included.
    reader_of_all: Used,
    /// Since when the end of a partition has been hidden.
    hidden: RefCell<BTreeMap<i32, Instant>>,
}

type Used = RefCell<Option<(LedgerReader, Instant)>>;

/// What the ledger says about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerAnswer {
    pub ledger: Ledger,
    /// Something is hidden that may be a later entry.
    pub is_hidden: bool,
}

impl LedgerAnswer {
    /// Whether this answer decides where the partition starts. An entry that is hidden may be the
    /// group's latest even if the visible one agrees with the group: a coordinator that answers with
    /// old positions knows nothing of the open transaction.
    pub fn is_final(&self) -> bool {
        !self.is_hidden
    }
}

impl LedgerLookup {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            reader: RefCell::default(),
            reader_of_all: RefCell::default(),
            hidden: RefCell::default(),
        }
    }

    /// Whether a ledger is to be kept and was never seen.
    pub fn is_missing(&self) -> bool {
        self.shared.outputs.ledger.as_ref().is_some_and(|topic| topic.partitions() == 0)
    }

    /// The latest entry for each of `partitions`; `None` if the brokers do not answer, or the
    /// ledger is missing.
    pub fn answers(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Option<BTreeMap<i32, LedgerAnswer>> {
        let outputs = &self.shared.outputs;
        let not_kept = LedgerAnswer { ledger: Ledger::NotKept, is_hidden: false };
        let mut answers: BTreeMap<_, _> =
            partitions.iter().map(|&it| (it, not_kept.clone())).collect();
        let Some(topic) = &outputs.ledger else {
            return Some(answers);
        };
        if self.is_missing() {
            return None;
        }
        let kept: Vec<_> =
            partitions.iter().copied().filter(|&it| outputs.ledger_of(it).is_some()).collect();
        let found =
            self.read(&topic.name, &kept, timeout).map_err(|error| self.note(&error)).ok()?;
        for (partition, Found { entry, is_hidden }) in found {
            let is_hidden = is_hidden && self.is_still_hidden(partition);
            if !is_hidden {
                self.hidden.borrow_mut().remove(&partition);
            }
            let ledger = entry.map_or(Ledger::NoEntry, |entry| Ledger::Entry(entry.into()));
            answers.insert(partition, LedgerAnswer { ledger, is_hidden });
        }
        Some(answers)
    }

    fn read(
        &self,
        topic: &str,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<BTreeMap<i32, Found>, KafkaError> {
        self.with(&self.reader, LedgerReader::connect, topic, |it| it.latest(partitions, timeout))
    }

    fn with<T>(
        &self,
        used: &Used,
        connect: impl FnOnce(&Clients, &str, &str) -> Result<LedgerReader, KafkaError>,
        topic: &str,
        read: impl FnOnce(&LedgerReader) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let (shared, now) = (&self.shared, Instant::now());
        let reader = match used.take() {
            Some((reader, _)) => reader,
            None => connect(&shared.clients, topic, &shared.group)?,
        };
        let found = read(&reader);
        used.replace(Some((reader, now)));
        found
    }

    /// The latest transactional id that wrote an entry for a partition, committed or not, and that
    /// `is_wanted`.
    pub fn writer(
        &self,
        partition: i32,
        is_wanted: impl Fn(&str) -> bool,
        timeout: Duration,
    ) -> Result<Option<String>, KafkaError> {
        let Some(topic) = self.shared.outputs.ledger_of(partition) else {
            return Ok(None);
        };
        let written = self.with(&self.reader_of_all, LedgerReader::of_all, &topic.name, |it| {
            let is_wanted = |it: &Entry| is_wanted(&it.transactional_id);
            it.recent(partition, is_wanted, timeout)
        })?;
        Ok(written.map(|entry| entry.transactional_id))
    }

    /// The last stable offsets of those partitions of `reach` that have records after it.
    pub fn open_ends(
        &self,
        reach: impl Iterator<Item = (CString, i32)>,
        timeout: Duration,
    ) -> Result<BTreeMap<(CString, i32), i64>, KafkaError> {
        let mut open = BTreeMap::new();
        let Some(ledger) = &self.shared.outputs.ledger else {
            return Ok(open);
        };
        for (name, partition) in reach {
            let topic = name.to_string_lossy();
            let end = |it: &LedgerReader| it.end(&topic, partition, timeout);
            // The last stable offset first: it only grows.
            let stable = self.with(&self.reader, LedgerReader::connect, &ledger.name, end)?;
            let all = self.with(&self.reader_of_all, LedgerReader::of_all, &ledger.name, end)?;
            if stable < all {
                open.insert((name, partition), stable);
            }
        }
        Ok(open)
    }

    /// Whether to wait for what is hidden.
    fn is_still_hidden(&self, partition: i32) -> bool {
        let since = *self.hidden.borrow_mut().entry(partition).or_insert_with(Instant::now);
        if since.elapsed() <= HIDDEN_TIMEOUT {
            return true;
        }
        tracing::warn!(
            partition,
            "an open transaction hides the end of the ledger: it is read up to there"
        );
        false
    }

    fn note(&self, error: &KafkaError) {
        if let Some(Code::TopicAuthorizationFailed) = error.rdkafka_error_code() {
            let topic = self.shared.outputs.ledger.iter();
            for topic in topic {
                let right = Right::on_topic(Operation::Read, &topic.name);
                self.shared.clients.access.record_denied(right);
            }
        }
        tracing::debug!(%error, "the ledger of positions cannot be read yet");
    }

    /// Closes the clients if no partition has started for a while.
    pub fn close_idle(&self) {
        for used in [&self.reader, &self.reader_of_all] {
            let mut reader = used.borrow_mut();
            let is_idle = |used: Instant| used.elapsed() > IDLE_TIMEOUT;
            if reader.as_ref().is_some_and(|(_, used)| is_idle(*used))
                && let Some((reader, _)) = reader.take()
            {
                reader.close();
            }
        }
    }
}

impl Drop for LedgerLookup {
    fn drop(&mut self) {
        for used in [&self.reader, &self.reader_of_all] {
            if let Some((reader, _)) = used.take() {
                reader.close();
            }
        }
    }
}

impl From<Entry> for Committed {
    fn from(entry: Entry) -> Self {
        let Entry { next, topic_id, leader_epoch, reset_ms, .. } = entry;
        Self { offset: next, leader_epoch, topic_id: topic_id.map(TopicId), reset_ms }
    }
}

/// Hands an entry for each of `positions` to the producer.
pub fn send_entries(
    shared: &Shared,
    producer: &mut OutputProducer,
    positions: Vec<(i32, Committed)>,
    value: &mut Vec<u8>,
) -> Result<(), Fault> {
    for entry in positions {
        if let Some(topic) = shared.outputs.ledger_of(entry.0) {
            send_entry(producer, topic.c_name(), &shared.group, entry, value)?;
        }
    }
    Ok(())
}

/// Hands one entry to the producer. `value` is a buffer.
pub fn send_entry(
    producer: &mut OutputProducer,
    topic: &CStr,
    group: &str,
    (partition, position): (i32, Committed),
    value: &mut Vec<u8>,
) -> Result<(), Fault> {
    let entry = Entry {
        next: position.offset,
        topic_id: position.topic_id.map(|TopicId(id)| id),
        leader_epoch: position.leader_epoch,
        reset_ms: position.reset_ms,
        transactional_id: producer.transactional_id().to_owned(),
        time: now_ms(),
    };
    entry.write(value);
    let sent = producer.send(Outgoing {
        topic,
        partition: Some(partition),
        key: Some(group.as_bytes()),
        value: Some(value),
        timestamp: None,
        headers: None,
        tag: TAG,
    })?;
    match sent {
        Sent::Queued => Ok(()),
        Sent::Refused(code) => Err(Cause::EntryRefused(code).into()),
    }
}
