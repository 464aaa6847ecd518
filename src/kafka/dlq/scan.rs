//! The topic of failures, as the commands read it.

use std::ops::ControlFlow;

use rdkafka::message::Message;

use crate::config::Settings;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::reader::Reader;
use crate::kafka::dlq::headers;
use crate::kafka::dlq::letter::{DeadLetter, Place};
use crate::kafka::dlq::originals::{Original, OriginalLocation, Originals};
use crate::kafka::security::acl::{Operation, Right};

/// A record of the topic of failures.
pub enum Seen {
    /// A failure.
    DeadLetter(Box<DeadLetter>),
    /// A record of somebody else's.
    Foreign(Place),
}

/// The topic of failures, to be read.
pub struct DeadLetterTopic {
    pub clients: Clients,
    pub reader: Reader,
    originals: Originals,
    pub topic: String,
    pub requests: String,
    partitions: i32,
}

impl DeadLetterTopic {
    /// Connects, and finds the topic. `need` is what the caller is about to do with the topic of requests.
    pub fn open(settings: &Settings, need: Operation) -> Result<Self, CommandError> {
        let clients = Clients::new(settings);
        let reader = Reader::connect(&clients)?;
        let topic = settings.topics.failures.clone();
        let partitions = reader.partitions(&topic, Operation::Read)?;
        // It may be gone; but what may not be seen must not be taken for gone.
        match reader.partitions(&settings.topics.requests, need) {
            Ok(_) | Err(CommandError::NoTopic(_)) => {}
            Err(trouble) => return Err(trouble),
        }
        Ok(Self {
            originals: Originals::connect(&clients)?,
            clients,
            reader,
            topic,
            requests: settings.topics.requests.clone(),
            partitions,
        })
    }

    /// These partitions, if the topic has them all; all of them, if none is named.
    pub fn chosen(&self, partitions: &[i32]) -> Result<Vec<i32>, CommandError> {
        if partitions.is_empty() {
            return Ok((0..self.partitions).collect());
        }
        for &partition in partitions {
            if !(0..self.partitions).contains(&partition) {
                return Err(CommandError::NoPartition {
                    topic: self.topic.clone(),
                    partition,
                    count: self.partitions,
                });
            }
        }
        let mut chosen = partitions.to_vec();
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen)
    }

    /// The partition's first offset, and the one behind its last that is committed.
    pub fn bounds(&self, partition: i32) -> Result<(i64, i64), CommandError> {
        let right = Right::on_topic(Operation::Read, &self.topic);
        let bounds = self.reader.bounds(&self.topic, partition);
        bounds.map_err(|error| CommandError::of(&right, &error))
    }

    /// Shows `visit` each record of these partitions (of all, if none is named), up to where they end now.
    pub fn each(
        &mut self,
        partitions: &[i32],
        mut visit: impl FnMut(Seen, &mut Self) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        for partition in self.chosen(partitions)? {
            let (low, end) = self.bounds(partition)?;
            let _all = self.read(partition, low, end, |seen, letters| {
                visit(seen, letters).map(|()| ControlFlow::Continue(()))
            })?;
        }
        Ok(())
    }

    /// Shows the records from `from` to before `end`, until it is told to stop.
    pub fn read(
        &mut self,
        partition: i32,
        from: i64,
        end: i64,
        mut visit: impl FnMut(Seen, &mut Self) -> Result<ControlFlow<()>, CommandError>,
    ) -> Result<ControlFlow<()>, CommandError> {
        let mut next = from;
        // An end counts when it is come to from the last record anew: none that is told late must pass for it.
        let (mut rounds, mut begun) = (0, from);
        while next < end && (rounds < 2 || next > begun) {
            (rounds, begun) = (rounds + 1, next);
            self.reader.go_to(&self.topic, partition, next)?;
            while let Some(message) = self.reader.next(&self.topic, partition)? {
                let offset = message.offset();
                if offset >= end {
                    return Ok(ControlFlow::Continue(()));
                }
                if offset < next {
                    continue;
                }
                let seen = match headers::read(&message) {
                    Some(letter) => Seen::DeadLetter(Box::new(letter)),
                    None => Seen::Foreign(Place { partition, offset }),
                };
                drop(message);
                if visit(seen, self)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                next = offset + 1;
                if next == end {
                    break;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The failure at `place`.
    pub fn at(&mut self, place: Place) -> Result<DeadLetter, CommandError> {
        self.chosen(&[place.partition])?;
        let (low, high) = self.bounds(place.partition)?;
        let mut found = None;
        if place.offset >= low {
            let _one = self.read(place.partition, place.offset, high, |seen, _| {
                found = Some(seen);
                Ok(ControlFlow::Break(()))
            })?;
        }
        let topic = self.topic.clone();
        match found {
            Some(Seen::DeadLetter(letter)) if letter.place == place => Ok(*letter),
            Some(Seen::Foreign(at)) if at == place => Err(CommandError::Foreign { topic, place }),
            _ => Err(CommandError::NoRecord { topic, place, low, high }),
        }
    }

    /// The request behind a failure.
    pub fn original(&mut self, letter: &DeadLetter) -> Result<Original, CommandError> {
        self.originals.fetch(letter)
    }

    /// Where the request behind a failure is to be had, as far as offsets tell.
    pub fn whereabouts(&mut self, letter: &DeadLetter) -> Result<OriginalLocation, CommandError> {
        self.originals.whereabouts(letter)
    }
}
