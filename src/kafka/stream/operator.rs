//! The positions of the group, as operators see and set them while the service runs.
//!
//! A group with members refuses the offset commits of anyone else, except those in a transaction
//! without group membership. The worker of the partition would overwrite such a position with its
//! next commit, but it commits nothing for a partition that is standing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CLOSE_BUDGET;
use super::ledger;
use super::start::{Committed, TopicId};
use super::unassigned::partitions;
use crate::config::Settings;
use crate::kafka::client::c_string;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::groups::{self, Group};
use crate::kafka::client::native::{self, GroupMetadata, Offsets};
use crate::kafka::client::producer::{OutputProducer, ProducerSettings};
use crate::kafka::client::reader::Reader;
use crate::kafka::ledger::{Entry, LedgerReader};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use crate::telemetry::now_ms;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look whether a rebalance is over.
const REBALANCE_INTERVAL: Duration = Duration::from_millis(200);
/// A commit of an instance that reads takes no longer, unless the brokers are slow.
const COMMIT_TIME: Duration = Duration::from_secs(3);
/// How long reading the ledger may take.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("topic {topic} has no partition {partition}")]
    NoPartition { topic: String, partition: i32 },
    #[error("offset {offset} is not in partition {partition}, which holds {low} to before {high}")]
    OutOfRange { partition: i32, offset: i64, low: i64, high: i64 },
    #[error(
        "the position of partition {partition} is {actual}, not {expected}: see `nik-stream positions show`"
    )]
    OtherPosition { partition: i32, expected: i64, actual: i64 },
    #[error("the group has no position in partition {0}: `nik-stream positions set` sets one")]
    NothingToAccept(i32),
    #[error("no ledger of positions is kept (topics.positions): no position differs from it")]
    NoLedger,
    #[error(
        "an instance reads partition {0}, and would continue from where it is: stop the instances of the group first (--force sets the position nevertheless)"
    )]
    IsRead(i32),
    #[error("the position could not be committed: {0}")]
    NotCommitted(String),
}

impl From<Fault> for PositionsError {
    fn from(fault: Fault) -> Self {
        Self::NotCommitted(fault.to_string())
    }
}

/// What is known of one partition.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub partition: i32,
    pub committed: Option<i64>,
    /// The ledger's latest entry.
    pub ledger: Option<i64>,
    pub low: i64,
    pub high: i64,
    /// When an operator last set the position, see [`Committed::reset_ms`].
    reset_ms: i64,
}

impl Shown {
    /// The next offset that the service reads, as far as the group knows.
    pub fn position(&self) -> i64 {
        self.committed.unwrap_or(self.low).max(self.low)
    }

    /// The records that are not read yet.
    pub fn lag(&self) -> i64 {
        (self.high - self.position()).max(0)
    }
}

/// The positions of all partitions of the requests.
pub fn show(settings: &Settings) -> Result<Vec<Shown>, PositionsError> {
    let clients = Clients::new(settings);
    Ok(read(settings, &clients)?.1)
}

/// Sets where a partition continues, and returns what was known before. Without `to` it continues
/// at `position`. With `to` it continues there, and `position` must be its position now. A partition
/// that an instance reads is refused without `force`: the instance would not notice it.
pub fn set(
    settings: &Settings,
    position: Position,
    to: Option<i64>,
    force: bool,
) -> Result<Shown, PositionsError> {
    let Position { partition, offset } = position;
    change(settings, partition, |clients, shown| {
        let actual = shown.position();
        if to.is_some() && actual != offset {
            return Err(PositionsError::OtherPosition { partition, expected: offset, actual });
        }
        let (low, high) = (shown.low, shown.high);
        let offset = to.unwrap_or(offset);
        if !(low..=high).contains(&offset) {
            return Err(PositionsError::OutOfRange { partition, offset, low, high });
        }
        if !force && is_read(settings, clients, shown)? {
            return Err(PositionsError::IsRead(partition));
        }
        Ok(offset)
    })
}

/// Accepts the group's position, which differs from the ledger's. Returns what was known before.
pub fn accept(settings: &Settings, partition: i32) -> Result<Shown, PositionsError> {
    if settings.topics.positions.is_none() {
        return Err(PositionsError::NoLedger);
    }
    change(settings, partition, |_, shown| {
        shown.committed.ok_or(PositionsError::NothingToAccept(partition))
    })
}

/// Whether an instance reads the partition: a member of the group has it, and its position moves or
/// is at the end. That of a standing partition does neither, unless it differs from the ledger's.
///
/// Nothing is known of the members in the group protocol "consumer": they are taken not to read.
fn is_read(settings: &Settings, clients: &Clients, shown: &Shown) -> Result<bool, PositionsError> {
    let reader = Reader::of_service(clients)?;
    let group = c_string(&settings.kafka.group_id)?;
    let right = Right::of_group(&settings.kafka.group_id);
    let deadline = Instant::now() + REQUEST_TIMEOUT;
    let assignments = loop {
        let found = groups::assignments(reader.client(), &group, REQUEST_TIMEOUT);
        match found.map_err(|code| CommandError::from_code(&right, code))? {
            Group::Stable(assignments) => break assignments,
            Group::NoMembers => return Ok(false),
            // It may go on for as long as a member that died has its session.
            Group::Rebalances if Instant::now() > deadline => return Ok(true),
            Group::Rebalances => std::thread::sleep(REBALANCE_INTERVAL),
        }
    };
    let topic = settings.topics.requests.as_bytes();
    let is_assigned = assignments.iter().any(|assignment| {
        partitions(assignment, topic).is_some_and(|those| those.contains(&shown.partition))
    });
    if !is_assigned {
        return Ok(false);
    }
    if shown.position() == shown.high && shown.ledger.is_none_or(|it| Some(it) == shown.committed) {
        return Ok(true);
    }
    let interval = Duration::from_millis(settings.delivery.commit_interval_ms);
    std::thread::sleep(interval + COMMIT_TIME);
    let now = Offsets::copy_of(&reader.committed(&settings.topics.requests, &[shown.partition])?);
    let now = now.entries().next().and_then(|entry| Committed::of(&entry));
    Ok(now.map(|it| it.offset) != shown.committed)
}

/// Sets the position of a partition to the offset that `choose` returns.
fn change(
    settings: &Settings,
    partition: i32,
    choose: impl FnOnce(&Clients, &Shown) -> Result<i64, PositionsError>,
) -> Result<Shown, PositionsError> {
    let clients = Clients::new(settings);
    let (topic_id, all) = read(settings, &clients)?;
    let Some(shown) = all.into_iter().find(|shown| shown.partition == partition) else {
        let topic = settings.topics.requests.clone();
        return Err(PositionsError::NoPartition { topic, partition });
    };
    let chosen = Committed::at(choose(&clients, &shown)?);
    // Later than the last one, even if that was made by a clock ahead of this one.
    let reset_ms = now_ms().max(shown.reset_ms + 1);
    let committed = Committed { topic_id, reset_ms, ..chosen };
    commit(settings, &clients, &committed, partition)?;
    Ok(shown)
}

/// Commits a position to the group and to the ledger, in one transaction.
fn commit(
    settings: &Settings,
    clients: &Clients,
    committed: &Committed,
    partition: i32,
) -> Result<(), PositionsError> {
    let group = &settings.kafka.group_id;
    let ledger = settings.topics.positions.as_ref();
    let ledger_partitions = ledger
        .map_or(Ok(0), |name| Reader::of_service(clients)?.partitions(name, Operation::Write))?;
    let reach = {
        let ledger = ledger.map(|name| c_string(name)).transpose()?;
        let reach = move |it| Some((ledger.clone()?, it));
        Box::new(move || Some((0..ledger_partitions).filter_map(&reach).collect()))
    };
    let (config, access) = (clients.positions_producer(), &clients.access);
    let producer = ProducerSettings::of_command(config, access, group.clone(), reach);
    let mut producer = OutputProducer::connect(producer, || false)?;
    producer.begin()?;
    if let Some(name) = ledger.filter(|_| partition < ledger_partitions) {
        let topic = c_string(name)?;
        ledger::send_entry(
            &mut producer,
            &topic,
            group,
            (partition, committed.clone()),
            &mut Vec::new(),
        )?;
        if let Some(refused) = producer.flush()?.first() {
            return Err(Fault::from(Cause::EntryRefused(refused.code)).into());
        }
    }
    let topic = c_string(&settings.topics.requests)?;
    let group = c_string(group)?;
    let offsets = Offsets::new(&topic, [committed.entry(partition)].into_iter());
    let membership = Arc::new(GroupMetadata::without_members(&group));
    let done = producer.commit(offsets, membership);
    producer.settle_before_close();
    producer.close(CLOSE_BUDGET);
    Ok(done?)
}

fn read(
    settings: &Settings,
    clients: &Clients,
) -> Result<(Option<TopicId>, Vec<Shown>), PositionsError> {
    let (reader, topic) = (&Reader::of_service(clients)?, &settings.topics.requests);
    let count = reader.partitions(topic, Operation::Read)?;
    let partitions: Vec<_> = (0..count).collect();
    let committed = Offsets::copy_of(&reader.committed(topic, &partitions)?);
    let right = Right::on_topic(Operation::Read, topic);
    let failed = |code| CommandError::from_code(&right, code);
    let name = c_string(topic)?;
    let id = native::topic_id(reader.client(), &name, REQUEST_TIMEOUT).map_err(failed)?;
    let wanted = partitions.iter().map(|&partition| Position { partition, offset: 0 });
    let wanted = Offsets::new(&name, wanted);
    let watermarks =
        native::watermarks(reader.client(), &wanted, REQUEST_TIMEOUT).map_err(failed)?;
    let entries = ledger_entries(settings, clients, reader, count)?;
    let shown = watermarks.into_iter().map(|(partition, low, high)| {
        let entry = committed.entries().find(|entry| entry.partition == partition);
        let group = entry.and_then(|entry| Committed::of(&entry));
        let entry = entries.get(&partition);
        let resets = [group.as_ref().map(|it| it.reset_ms), entry.map(|it| it.reset_ms)];
        Shown {
            partition,
            committed: group.map(|it| it.offset),
            ledger: entry.map(|it| it.next),
            low,
            high,
            reset_ms: resets.into_iter().flatten().max().unwrap_or(0),
        }
    });
    Ok((id.map(TopicId), shown.collect()))
}

/// The latest entries of the ledger by partition, of at most `count`.
fn ledger_entries(
    settings: &Settings,
    clients: &Clients,
    reader: &Reader,
    count: i32,
) -> Result<BTreeMap<i32, Entry>, PositionsError> {
    let Some(topic) = &settings.topics.positions else {
        return Ok(BTreeMap::new());
    };
    let count = count.min(reader.partitions(topic, Operation::Read)?);
    let group = &settings.kafka.group_id;
    let ledger = LedgerReader::connect(clients, topic, group);
    let ledger = ledger.map_err(|error| CommandError::no_client(&error))?;
    let found = ledger.latest(&(0..count).collect::<Vec<_>>(), LEDGER_TIMEOUT);
    let right = Right::on_topic(Operation::Read, topic);
    let found = found.map_err(|error| CommandError::new(&right, &error))?;
    Ok(found.into_iter().filter_map(|(partition, it)| Some((partition, it.entry?))).collect())
}
