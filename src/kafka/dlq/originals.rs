//! The requests behind dead letters, read from the requests topic or restored from the dead
//! letter.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{BorrowedMessage, Message};

use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::{each_header, is_unknown};
use crate::kafka::client::reader::Reader;
use crate::kafka::dlq::dead_letter::{DeadLetter, Header, TopicPosition};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use nik_wire::Reason;

/// How often the brokers are asked for a partition before it counts as deleted.
const LOOKUP_ATTEMPTS: usize = 3;
const LOOKUP_BACKOFF: Duration = Duration::from_millis(500);

/// A request as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct OriginalRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// Where the request behind a dead letter can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginalLocation {
    RequestTopic,
    DeadLetter,
    Gone,
    /// In a topic that is not `topics.requests`, which is never read: a record of the failures
    /// topic must not choose what is copied into the requests.
    OtherTopic,
}

/// Reads originals; fast if they are read in the order of their positions.
pub struct Originals {
    reader: Reader,
    /// The requests topic, the only one that is read.
    topic: String,
    /// The offsets that each partition holds; `None` if it was deleted.
    offsets: HashMap<i32, Option<Range<i64>>>,
}

impl Originals {
    pub(super) fn new(reader: Reader, topic: &str) -> Self {
        Self { reader, topic: topic.to_owned(), offsets: HashMap::new() }
    }

    /// Where the original is, judged by the offsets in its topic alone.
    pub fn locate(&mut self, dead_letter: &DeadLetter) -> Result<OriginalLocation, CommandError> {
        Ok(if self.is_retained(&dead_letter.request)? {
            OriginalLocation::RequestTopic
        } else if restore(dead_letter).is_some() {
            OriginalLocation::DeadLetter
        } else {
            self.unread(dead_letter)
        })
    }

    /// Whether an original that cannot be read is gone or in another topic.
    fn unread(&self, dead_letter: &DeadLetter) -> OriginalLocation {
        if dead_letter.request.topic == self.topic {
            OriginalLocation::Gone
        } else {
            OriginalLocation::OtherTopic
        }
    }

    /// Reads the original, unless it is gone.
    pub fn fetch(
        &mut self,
        dead_letter: &DeadLetter,
    ) -> Result<(OriginalLocation, Option<OriginalRecord>), CommandError> {
        if self.is_retained(&dead_letter.request)? {
            // Asks the brokers again before it counts as gone, since no later replay looks for it.
            for _ in 0..2 {
                match self.read(dead_letter.request.position)? {
                    Some(record) if is_original(&record, dead_letter) => {
                        return Ok((OriginalLocation::RequestTopic, Some(record)));
                    }
                    _ => self.reader.forget_fetched(),
                }
            }
        }
        Ok(match restore(dead_letter) {
            Some(record) => (OriginalLocation::DeadLetter, Some(record)),
            None => (self.unread(dead_letter), None),
        })
    }

    fn is_retained(&mut self, request: &TopicPosition) -> Result<bool, CommandError> {
        if request.topic != self.topic {
            return Ok(false);
        }
        let partition = request.position.partition;
        if !self.offsets.contains_key(&partition) {
            let offsets = self.look_up(partition)?;
            self.offsets.insert(partition, offsets);
        }
        let offsets = self.offsets[&partition].as_ref();
        Ok(offsets.is_some_and(|offsets| offsets.contains(&request.position.offset)))
    }

    /// The offsets that the partition holds. A broker that has just started does not know it yet,
    /// so there are several attempts.
    fn look_up(&self, partition: i32) -> Result<Option<Range<i64>>, CommandError> {
        for _ in 0..LOOKUP_ATTEMPTS {
            let error = match self.reader.offsets(&self.topic, partition) {
                Ok(offsets) => return Ok(Some(offsets)),
                Err(error) => error,
            };
            let code = error.rdkafka_error_code();
            if !code.is_some_and(|it| is_unknown(it) || it == Code::InvalidTopic) {
                let right = Right::on_topic(Operation::Read, &self.topic);
                return Err(CommandError::new(&right, &error));
            }
            std::thread::sleep(LOOKUP_BACKOFF);
        }
        Ok(None)
    }

    fn read(&mut self, position: Position) -> Result<Option<OriginalRecord>, CommandError> {
        let (partition, offset) = position.into();
        let mut records = self.reader.records(&self.topic, partition, offset..offset + 1);
        Ok(records.next().transpose()?.as_ref().map(OriginalRecord::of))
    }
}

impl OriginalRecord {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let mut headers = Vec::new();
        each_header(message, |name, value| {
            headers.push((name.to_vec(), value.map(<[u8]>::to_vec)));
        });
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
            timestamp: message.timestamp().to_millis(),
        }
    }
}

/// Whether the record is the request of the dead letter: a topic that was deleted and created again
/// has other records at the same offsets.
fn is_original(record: &OriginalRecord, dead_letter: &DeadLetter) -> bool {
    let same = match &dead_letter.original {
        // The dead letter has another timestamp if its topic refused that of the request.
        Some(original) => record.value.as_ref() == Some(original),
        None => record.timestamp == dead_letter.timestamp,
    };
    same && record.key == dead_letter.key
}

/// The request, as far as the dead letter contains it.
fn restore(dead_letter: &DeadLetter) -> Option<OriginalRecord> {
    let is_tombstone = dead_letter.reason == Reason::Tombstone.as_str();
    if dead_letter.original.is_none() && !is_tombstone {
        return None;
    }
    Some(OriginalRecord {
        key: dead_letter.key.clone(),
        value: dead_letter.original.clone(),
        headers: dead_letter.headers.clone(),
        timestamp: dead_letter.timestamp,
    })
}
