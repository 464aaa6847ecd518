//! The requests behind dead letters, read from the requests topic or restored from the dead
//! letter.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::{each_header, is_unknown};
use crate::kafka::client::reader::Reader;
use crate::kafka::client::scanner::Scanner;
use crate::kafka::dlq::dead_letter::{DeadLetter, Header, TopicPosition};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use crate::pipeline::timestamps::TimestampLimits;
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
    scanner: Scanner,
    /// The requests topic, the only one that is read.
    topic: String,
    timestamps: TimestampLimits,
    /// The offsets that each partition holds; `None` if it was deleted.
    offsets: HashMap<i32, Option<Range<i64>>>,
}

impl Originals {
    pub(super) fn connect(
        clients: &Clients,
        topic: &str,
        timestamps: TimestampLimits,
    ) -> Result<Self, CommandError> {
        Ok(Self {
            reader: Reader::connect(clients)?,
            scanner: Scanner::connect(clients, &clients.reader(), topic)?,
            topic: topic.to_owned(),
            timestamps,
            offsets: HashMap::new(),
        })
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
                    Some(record) if self.is_original(&record, dead_letter) => {
                        return Ok((OriginalLocation::RequestTopic, Some(record)));
                    }
                    _ => self.scanner.forget_fetched(),
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

    /// Whether the record is the request of the dead letter: a topic that was deleted and created
    /// again has other records at the same offsets.
    fn is_original(&self, record: &OriginalRecord, dead_letter: &DeadLetter) -> bool {
        // The dead letter has the clock's time if that of the request is wrong.
        let is_replaced = |clock| self.timestamps.time(record.timestamp, clock).replaced.is_some();
        let same = match &dead_letter.original {
            // It has another timestamp, too, if its topic refused that of the request.
            Some(original) => record.value.as_ref() == Some(original),
            None => {
                record.timestamp == dead_letter.timestamp
                    || dead_letter.timestamp.is_some_and(is_replaced)
            }
        };
        same && record.key == dead_letter.key
    }

    fn read(&mut self, position: Position) -> Result<Option<OriginalRecord>, CommandError> {
        let (partition, offset) = position.into();
        self.scanner.start(partition, offset..offset + 1)?;
        Ok(self.scanner.next()?.as_ref().map(OriginalRecord::of))
    }
}

impl OriginalRecord {
    fn of(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        each_header(record, |name, value| {
            headers.push((name.to_vec(), value.map(<[u8]>::to_vec)));
        });
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers,
            timestamp: record.timestamp(),
        }
    }
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
