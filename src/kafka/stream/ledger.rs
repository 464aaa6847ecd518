//! How the stream uses the ledger of positions: it looks up the latest entries when partitions
//! start, and sends new ones with each epoch.

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

/// The brokers end an abandoned transaction within this time. What is hidden for longer stays
/// hidden until someone ends its transaction.
const HIDDEN_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the client stays open after its last use.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may fail until a new one replaces it: it may have dropped all brokers (see
/// [`ClientState::restore_brokers`](crate::kafka::client::callbacks::ClientState::restore_brokers)).
/// Not after its first failure: a read has about a second, and to connect may take longer.
const FAILING_TIMEOUT: Duration = Duration::from_secs(10);
/// The tag of entries in delivery reports. No record has it.
pub const TAG: usize = usize::MAX;

/// Asks the ledger for the latest entries.
pub struct LedgerLookup {
    shared: Arc<Shared>,
    reader: CachedReader,
    /// Reads also the entries of open and aborted transactions, which `reader` does not see.
    reader_of_all: CachedReader,
    /// Since when the end of a partition has been hidden.
    hidden: RefCell<BTreeMap<i32, Instant>>,
}

/// A client that is connected when it is needed, and closed when partitions have started.
struct CachedReader {
    shared: Arc<Shared>,
    connect: Connect,
    connected: RefCell<Option<Connected>>,
}

type Connect = fn(&Clients, &str, &str) -> Result<LedgerReader, KafkaError>;

struct Connected {
    reader: LedgerReader,
    last_used: Instant,
    /// Since when all reads have failed.
    failing_since: Option<Instant>,
}

impl CachedReader {
    fn new(shared: &Arc<Shared>, connect: Connect) -> Self {
        Self { shared: Arc::clone(shared), connect, connected: RefCell::default() }
    }

    fn with<T>(
        &self,
        topic: &str,
        read: impl FnOnce(&LedgerReader) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let now = Instant::now();
        let (reader, failing_since) = match self.connected.take() {
            Some(connected) => (connected.reader, connected.failing_since),
            None => ((self.connect)(&self.shared.clients, topic, &self.shared.group)?, None),
        };
        let found = read(&reader);
        let failing_since = found.is_err().then(|| failing_since.unwrap_or(now));
        self.connected.replace(Some(Connected { reader, last_used: now, failing_since }));
        if failing_since.is_some_and(|since| since.elapsed() > FAILING_TIMEOUT) {
            self.close();
        }
        found
    }

    fn close_idle(&self) {
        let is_idle = |it: &Connected| it.last_used.elapsed() > IDLE_TIMEOUT;
        if self.connected.borrow().as_ref().is_some_and(is_idle) {
            self.close();
        }
    }

    fn close(&self) {
        if let Some(Connected { reader, .. }) = self.connected.take() {
            reader.close(&self.shared.telemetry.metrics);
        }
    }
}

impl Drop for CachedReader {
    fn drop(&mut self) {
        self.close();
    }
}

impl LedgerLookup {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            reader: CachedReader::new(shared, LedgerReader::connect),
            reader_of_all: CachedReader::new(shared, LedgerReader::of_all),
            hidden: RefCell::default(),
        }
    }

    /// Whether a ledger is to be kept and was never seen.
    pub fn is_missing(&self) -> bool {
        self.shared.outputs.ledger.as_ref().is_some_and(|topic| topic.partitions() == 0)
    }

    /// What the ledger says about each of `partitions`; `None` if the brokers do not answer, or the
    /// ledger is missing. A partition is left out while an open transaction may hide its latest
    /// entry. That the visible entry agrees with the group's position proves nothing: both are old
    /// if the coordinator has lost its latest state, and then it does not know the transaction.
    pub fn answers(&self, partitions: &[i32], timeout: Duration) -> Option<BTreeMap<i32, Ledger>> {
        let outputs = &self.shared.outputs;
        let mut answers: BTreeMap<_, _> =
            partitions.iter().map(|&it| (it, Ledger::NotKept)).collect();
        let Some(topic) = &outputs.ledger else {
            return Some(answers);
        };
        if self.is_missing() {
            return None;
        }
        let kept: Vec<_> =
            partitions.iter().copied().filter(|&it| outputs.ledger_of(it).is_some()).collect();
        let found = self.reader.with(&topic.name, |it| it.latest(&kept, timeout));
        for (partition, Found { entry, is_hidden }) in found.map_err(|it| self.note(&it)).ok()? {
            if is_hidden && self.is_still_hidden(partition) {
                answers.remove(&partition);
                continue;
            }
            self.hidden.borrow_mut().remove(&partition);
            let ledger = entry.map_or(Ledger::NoEntry, |entry| Ledger::Entry(entry.into()));
            answers.insert(partition, ledger);
        }
        Some(answers)
    }

    /// These partitions were revoked: when they come back, what hides their entries is waited for
    /// again.
    pub fn forget(&self, partitions: &[i32]) {
        self.hidden.borrow_mut().retain(|it, _| !partitions.contains(it));
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
        let is_wanted = |it: &Entry| is_wanted(&it.transactional_id);
        let written =
            self.reader_of_all.with(&topic.name, |it| it.recent(partition, is_wanted, timeout))?;
        Ok(written.map(|entry| entry.transactional_id))
    }

    /// Those partitions of `reach` that have records after the last stable offset, with that
    /// offset.
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
            // The last stable offset is asked for first, because both grow: asked for second, it
            // may have reached the end that was asked for before, although a transaction is open.
            let stable = self.reader.with(&ledger.name, end)?;
            let all = self.reader_of_all.with(&ledger.name, end)?;
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
        if let Some(Code::TopicAuthorizationFailed) = error.rdkafka_error_code()
            && let Some(topic) = &self.shared.outputs.ledger
        {
            let right = Right::on_topic(Operation::Read, &topic.name);
            self.shared.clients.access.record_denied(right);
        }
        tracing::debug!(%error, "the ledger of positions cannot be read yet");
    }

    /// Closes the clients if no partition has started for a while.
    pub fn close_idle(&self) {
        self.reader.close_idle();
        self.reader_of_all.close_idle();
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
        partition,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::stream::tests::Service;

    #[test]
    fn a_reader_that_keeps_failing_is_replaced() {
        let service = Service::start("127.0.0.1:1", &[]);
        let cached = CachedReader::new(service.shared(), LedgerReader::connect);
        let fail = || cached.with("ledger", |_| Err::<(), _>(KafkaError::Canceled)).unwrap_err();
        let failing_since = || Some(cached.connected.borrow().as_ref()?.failing_since);
        let set_failing_since = |since| {
            cached.connected.borrow_mut().as_mut().unwrap().failing_since = Some(since);
        };
        fail();
        let first = failing_since().unwrap().unwrap();
        fail();
        assert_eq!(failing_since(), Some(Some(first)), "the same client");
        cached.with("ledger", |_| Ok(())).unwrap();
        assert_eq!(failing_since(), Some(None), "it works again");
        fail();
        set_failing_since(first.checked_sub(FAILING_TIMEOUT).unwrap());
        fail();
        assert_eq!(failing_since(), None, "it is closed");
        fail();
        assert!(failing_since().unwrap().unwrap() > first, "a new client");
    }
}
