//! The positions of the group, as operators see and set them while the service runs.
//!
//! A group with members refuses ordinary offset commits of others. A transaction without group
//! membership may commit them, and only the partition's own worker would overwrite them: one whose
//! partition is standing does not.

use std::sync::Arc;
use std::time::Duration;

use super::CLOSE_BUDGET;
use super::start::{Committed, TopicId};
use crate::config::Settings;
use crate::kafka::client::c_string;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native::{self, GroupMetadata, Offsets};
use crate::kafka::client::producer::{IfUnanswered, OutputProducer, ProducerSettings};
use crate::kafka::client::reader::Reader;
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use crate::telemetry::now_ms;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

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
    pub low: i64,
    pub high: i64,
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
    Ok(read(&Reader::of_service(&clients)?, &settings.topics.requests)?.1)
}

/// Sets the position of a partition. With `to`, it must be `position` before and is `to` then.
/// Returns what it was.
pub fn set(
    settings: &Settings,
    position: Position,
    to: Option<i64>,
) -> Result<Shown, PositionsError> {
    let clients = Clients::new(settings);
    let topic = &settings.topics.requests;
    let (topic_id, all) = read(&Reader::of_service(&clients)?, topic)?;
    let Position { partition, offset } = position;
    let shown = all.into_iter().find(|shown| shown.partition == partition);
    let shown =
        shown.ok_or_else(|| PositionsError::NoPartition { topic: topic.clone(), partition })?;
    if to.is_some() && shown.position() != offset {
        let actual = shown.position();
        return Err(PositionsError::OtherPosition { partition, expected: offset, actual });
    }
    let (low, high) = (shown.low, shown.high);
    let offset = to.unwrap_or(offset);
    if !(low..=high).contains(&offset) {
        return Err(PositionsError::OutOfRange { partition, offset, low, high });
    }
    let committed = Committed { offset, leader_epoch: None, topic_id, reset_ms: now_ms() };
    commit(settings, &clients, &committed, partition)?;
    Ok(shown)
}

fn commit(
    settings: &Settings,
    clients: &Clients,
    committed: &Committed,
    partition: i32,
) -> Result<(), PositionsError> {
    let group = &settings.kafka.group_id;
    let producer = ProducerSettings {
        config: clients.positions_producer(),
        access: Arc::clone(&clients.access),
        group: group.clone(),
        worker: 0,
        metrics: None,
        if_unanswered: IfUnanswered::Fail,
    };
    let mut producer = OutputProducer::connect(producer, || false)?;
    producer.begin()?;
    let topic = c_string(&settings.topics.requests)?;
    let group = c_string(group)?;
    let offsets = Offsets::new(&topic, [committed.entry(partition)].into_iter());
    let done = producer.commit(offsets, GroupMetadata::without_members(&group));
    producer.close(CLOSE_BUDGET);
    Ok(done?)
}

fn read(reader: &Reader, topic: &str) -> Result<(Option<TopicId>, Vec<Shown>), PositionsError> {
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
    let shown = watermarks.into_iter().map(|(partition, low, high)| {
        let entry = committed.entries().find(|entry| entry.partition == partition);
        let committed = entry.map(|entry| entry.offset).filter(|&offset| offset >= 0);
        Shown { partition, committed, low, high }
    });
    Ok((id.map(TopicId), shown.collect()))
}
