//! What operators see and decide about positions: the group's committed offsets and the ledger's
//! entries.

use std::ffi::CString;
use std::time::Duration;

use super::client::c_string;
use super::client::config::Clients;
use super::client::error::CommandError;
use super::client::fault::{Cause, Fault};
use super::client::native::{GroupMetadata, Offsets, Outgoing};
use super::client::producer::{OutputProducer, Sent};
use super::client::reader::Reader;
use super::ledger::{Entry, Found, LedgerReader};
use super::security::acl::{Operation, Right};
use super::stream::Committed;
use crate::config::Settings;
use crate::pipeline::Position;
use crate::telemetry::now_ms;

/// How long reading the ledger may take.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("topic {topic} has no partition {partition}: its {count} partitions start at 0")]
    NoPartition { topic: String, partition: i32, count: i32 },
    #[error("partition {partition} holds offsets from {low} to {high}, not {offset}")]
    OutOfRange { partition: i32, offset: i64, low: i64, high: i64 },
    #[error("the group has no position in partition {0}: `nik-stream positions set` sets one")]
    NothingToAccept(i32),
    #[error("the positions could not be set: {0}")]
    Fault(Cause),
}

impl From<Fault> for PositionsError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Denied(right) => CommandError::NotAllowed(right).into(),
            Fault::Abort(cause)
            | Fault::Restart(cause)
            | Fault::Fenced(cause)
            | Fault::Fatal(cause) => Self::Fault(cause),
        }
    }
}

/// What is known about one partition of the requests.
#[derive(Debug)]
pub struct PartitionPositions {
    pub partition: i32,
    /// The first offset and the one after the last committed record.
    pub low: i64,
    pub high: i64,
    /// The group's committed offset.
    pub group: Option<i64>,
    /// The ledger's latest entry.
    pub ledger: Option<i64>,
}

/// Reads and sets the positions of the group.
pub struct Positions {
    clients: Clients,
    settings: Settings,
    reader: Reader,
    topic: CString,
    group: CString,
    pub count: i32,
    ledger: Option<(LedgerReader, i32)>,
}

impl Positions {
    pub fn connect(settings: &Settings) -> Result<Self, PositionsError> {
        let clients = Clients::new(settings);
        let (topics, group) = (&settings.topics, &settings.kafka.group_id);
        let reader = Reader::with_group(&clients, group)?;
        let count = reader.partitions(&topics.requests, Operation::Read)?;
        let ledger = topics.positions.as_ref().map(|name| {
            let count = reader.partitions(name, Operation::Read)?;
            let reader = LedgerReader::connect(&clients, name, group);
            Ok::<_, CommandError>((reader.map_err(|it| CommandError::no_client(&it))?, count))
        });
        Ok(Self {
            topic: c_string(&topics.requests)?,
            group: c_string(group)?,
            ledger: ledger.transpose()?,
            settings: settings.clone(),
            clients,
            reader,
            count,
        })
    }

    /// The positions of these partitions.
    pub fn read(&self, partitions: &[i32]) -> Result<Vec<PartitionPositions>, PositionsError> {
        let requests = &self.settings.topics.requests;
        for &partition in partitions.iter().filter(|it| !(0..self.count).contains(it)) {
            let (topic, count) = (requests.clone(), self.count);
            return Err(PositionsError::NoPartition { topic, partition, count });
        }
        let committed = self.reader.committed(requests, partitions)?;
        let mut all = Vec::new();
        for committed in Offsets::copy_of(&committed).entries() {
            let partition = committed.partition;
            let right = Right::on_topic(Operation::Read, requests);
            let log = self.reader.offsets(requests, partition);
            let log = log.map_err(|error| CommandError::new(&right, &error))?;
            let ledger = match &self.ledger {
                Some((reader, count)) if partition < *count => {
                    let found = reader.latest(&[partition], LEDGER_TIMEOUT);
                    let name = self.settings.topics.positions.as_deref().unwrap_or_default();
                    let right = Right::on_topic(Operation::Read, name);
                    let mut found = found.map_err(|error| CommandError::new(&right, &error))?;
                    let Found { entry, .. } = found.remove(&partition).unwrap_or_default();
                    entry.map(|entry| entry.next)
                }
                _ => None,
            };
            let group = Committed::of(&committed).map(|it| it.offset);
            all.push(PartitionPositions {
                partition,
                low: log.start,
                high: log.end,
                group,
                ledger,
            });
        }
        Ok(all)
    }

    /// Sets both positions of each partition, in one transaction. A partition that is standing
    /// continues there; one that is being read does not notice.
    pub fn set(&self, positions: &[Position]) -> Result<(), PositionsError> {
        let config = self.clients.positions_producer();
        let (group, access) = (&self.settings.kafka.group_id, &self.clients.access);
        let mut producer = OutputProducer::connect(&config, access, group, 0, None, || false)?;
        let result = self.set_by(&mut producer, positions);
        producer.close(CLOSE_TIMEOUT);
        result
    }

    fn set_by(
        &self,
        producer: &mut OutputProducer,
        positions: &[Position],
    ) -> Result<(), PositionsError> {
        let reset_ms = now_ms();
        producer.begin()?;
        let name = self.settings.topics.positions.as_deref().unwrap_or_default();
        let ledger = c_string(name)?;
        for &Position { partition, offset } in positions {
            if self.ledger.as_ref().is_none_or(|(_, count)| partition >= *count) {
                continue;
            }
            let entry = Entry {
                next: offset,
                topic_id: None,
                leader_epoch: None,
                reset_ms,
                transactional_id: producer.transactional_id().to_owned(),
                time: reset_ms,
            };
            let mut value = Vec::new();
            entry.write(&mut value);
            let sent = producer.send(Outgoing {
                topic: &ledger,
                partition: Some(partition),
                key: Some(self.settings.kafka.group_id.as_bytes()),
                value: Some(&value),
                timestamp: None,
                headers: None,
                tag: 0,
            })?;
            if let Sent::Refused(code) = sent {
                return Err(PositionsError::Fault(Cause::EntryRefused(code)));
            }
        }
        if let Some(refused) = producer.flush()?.first() {
            return Err(PositionsError::Fault(Cause::EntryRefused(refused.code)));
        }
        let entries = positions.iter().map(|&Position { partition, offset }| {
            Committed { offset, leader_epoch: None, topic_id: None, reset_ms }.entry(partition)
        });
        let offsets = Offsets::new(&self.topic, entries);
        Ok(producer.commit(offsets, GroupMetadata::without_members(&self.group))?)
    }

    /// Accepts the group's position in each of these partitions. Returns them.
    pub fn accept(&self, partitions: &[i32]) -> Result<Vec<Position>, PositionsError> {
        let mut accepted = Vec::new();
        for PartitionPositions { partition, group, .. } in self.read(partitions)? {
            let offset = group.ok_or(PositionsError::NothingToAccept(partition))?;
            accepted.push(Position { partition, offset });
        }
        self.set(&accepted)?;
        Ok(accepted)
    }

    /// Checks that these positions are in their partitions.
    pub fn check(&self, positions: &[Position]) -> Result<(), PositionsError> {
        let partitions: Vec<_> = positions.iter().map(|it| it.partition).collect();
        for found in self.read(&partitions)? {
            let PartitionPositions { partition, low, high, .. } = found;
            let wanted = positions.iter().filter(|it| it.partition == partition);
            for &Position { offset, .. } in wanted {
                if !(low..=high).contains(&offset) {
                    return Err(PositionsError::OutOfRange { partition, offset, low, high });
                }
            }
        }
        Ok(())
    }
}
