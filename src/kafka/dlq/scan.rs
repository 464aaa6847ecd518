//! The failures topic as the commands read it.

use std::collections::BTreeSet;
use std::iter;
use std::ops::Range;

use crate::config::Settings;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::reader::Reader;
use crate::kafka::client::scanner::Scanner;
use crate::kafka::dlq::dead_letter::DeadLetter;
use crate::kafka::dlq::error::DlqError;
use crate::kafka::dlq::headers;
use crate::kafka::dlq::originals::Originals;
use crate::kafka::dlq::progress::{self, Fate};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use crate::pipeline::timestamps::TimestampLimits;

/// A record of the failures topic.
pub enum Scanned {
    DeadLetter(Box<DeadLetter>),
    /// Written by another program.
    Foreign(Position),
}

impl Scanned {
    fn of(record: &Record<'_>) -> Self {
        match headers::read(record) {
            Some(dead_letter) => Self::DeadLetter(Box::new(dead_letter)),
            None => Self::Foreign(record.position()),
        }
    }
}

pub struct DeadLetterTopic {
    pub(super) clients: Clients,
    pub(super) reader: Reader,
    scanner: Scanner,
    pub(super) name: String,
    /// The requests topic, which may have been deleted.
    pub(super) requests: String,
    timestamps: TimestampLimits,
    partitions: i32,
}

impl DeadLetterTopic {
    /// Connects and looks the topic up. `needed` is what the caller is going to do with the
    /// requests topic.
    pub fn open(settings: &Settings, needed: Operation) -> Result<Self, CommandError> {
        let clients = Clients::new(settings);
        let reader = Reader::connect(&clients)?;
        let name = settings.topics.failures.clone();
        let partitions = reader.partitions(&name, Operation::Read)?;
        // Without this check, a topic that this user may not see would count as deleted.
        match reader.partitions(&settings.topics.requests, needed) {
            Ok(_) | Err(CommandError::NoTopic(_)) => {}
            Err(error) => return Err(error),
        }
        let scanner = Scanner::connect(&clients, &clients.reader(), &name)?;
        let requests = settings.topics.requests.clone();
        let timestamps = settings.rules.dating().timestamps;
        Ok(Self { clients, reader, scanner, name, requests, timestamps, partitions })
    }

    /// A reader of the requests behind dead letters.
    pub fn originals(&self) -> Result<Originals, CommandError> {
        Originals::connect(&self.clients, &self.requests, self.timestamps)
    }

    /// These partitions in ascending order, or all of them if none is given.
    fn select(&self, partitions: &[i32]) -> Result<Vec<i32>, DlqError> {
        let all = 0..self.partitions;
        if partitions.is_empty() {
            return Ok(all.collect());
        }
        if let Some(&partition) = partitions.iter().find(|it| !all.contains(it)) {
            let (topic, count) = (self.name.clone(), self.partitions);
            return Err(DlqError::NoPartition { topic, partition, count });
        }
        let mut selected = partitions.to_vec();
        selected.sort_unstable();
        selected.dedup();
        Ok(selected)
    }

    /// The partitions to read for these partitions and places. Each place must hold a dead letter.
    pub fn choose(
        &mut self,
        partitions: &[i32],
        places: &BTreeSet<Position>,
    ) -> Result<Vec<i32>, DlqError> {
        for &place in places {
            self.get(place)?;
        }
        if partitions.is_empty() && !places.is_empty() {
            let partitions: Vec<_> = places.iter().map(|place| place.partition).collect();
            return self.select(&partitions);
        }
        self.select(partitions)
    }

    /// What became of a dead letter, and why if it was dismissed.
    pub fn fate(&self, dead_letter: &DeadLetter) -> Result<Fate, DlqError> {
        let Position { partition, offset } = dead_letter.position;
        let progress = progress::load(&self.reader, &self.name, &[partition])?;
        let fate = progress.get(&partition).map(|it| it.fate(offset, dead_letter.traits()));
        Ok(fate.unwrap_or(Fate::Open))
    }

    /// The offsets that a partition holds, up to its last committed record.
    pub fn offsets(&self, partition: i32) -> Result<Range<i64>, CommandError> {
        let right = Right::on_topic(Operation::Read, &self.name);
        let offsets = self.reader.offsets(&self.name, partition);
        offsets.map_err(|error| CommandError::new(&right, &error))
    }

    /// The records of a partition in this range of offsets.
    pub fn records(
        &mut self,
        partition: i32,
        offsets: Range<i64>,
    ) -> Result<impl Iterator<Item = Result<Scanned, CommandError>>, CommandError> {
        self.scanner.start(partition, offsets)?;
        let next =
            || self.scanner.next().map(|record| record.as_ref().map(Scanned::of)).transpose();
        Ok(iter::from_fn(next))
    }

    pub fn get(&mut self, position: Position) -> Result<DeadLetter, DlqError> {
        let Position { partition, offset } = position;
        self.select(&[partition])?;
        let Range { start: low, end: high } = self.offsets(partition)?;
        let found = if (low..high).contains(&offset) {
            self.records(partition, offset..offset + 1)?.next().transpose()?
        } else {
            None
        };
        let topic = self.name.clone();
        match found {
            Some(Scanned::DeadLetter(dead_letter)) => Ok(*dead_letter),
            Some(Scanned::Foreign(_)) => Err(DlqError::Foreign { topic, position }),
            None => Err(DlqError::NoRecord { topic, position, low, high }),
        }
    }
}
