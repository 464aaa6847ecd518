//! The request behind a failure: fetched from where it stood, else taken from the failure, else lost.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Message;

use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::each_header;
use crate::kafka::client::reader::Reader;
use crate::kafka::dlq::letter::{DeadLetter, Header, Source};
use crate::kafka::security::acl::{Operation, Right};
use nik_wire::Reason;

/// So many records are read over rather than gone around.
const NEAR: i64 = 1000;

/// How often, and how long after each other, the brokers are asked for a partition before it counts as gone.
const LOOKS: usize = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// A request as it was sent.
#[derive(Clone)]
pub struct Request {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// What is left of a failure's request.
#[derive(Clone)]
pub enum Original {
    /// It stands where it stood.
    There(Request),
    /// It is gone from there, and the failure holds it.
    Kept(Request),
    /// It is nowhere any more.
    Lost,
}

/// How a failure's request could be had, without a look at the request itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OriginalLocation {
    /// Its topic still holds this offset.
    There,
    /// The failure holds it.
    Kept,
    /// Nobody holds it.
    Lost,
}

/// Fetches originals. In the order of their places it reads on; else it jumps.
pub struct Originals {
    reader: Reader,
    /// What the reader comes to next.
    at: Option<Source>,
    /// What each partition holds; none where the topic or the partition is gone.
    bounds: HashMap<(String, i32), Option<(i64, i64)>>,
}

impl Originals {
    pub fn connect(clients: &Clients) -> Result<Self, CommandError> {
        Ok(Self { reader: Reader::connect(clients)?, at: None, bounds: HashMap::new() })
    }

    /// Whether the topic still holds the offset that the failure names.
    fn is_held(&mut self, source: &Source) -> Result<bool, CommandError> {
        let place = (source.topic.clone(), source.place.partition);
        if !self.bounds.contains_key(&place) {
            let found = self.look(source)?;
            self.bounds.insert(place.clone(), found);
        }
        Ok(self.bounds[&place]
            .is_some_and(|(low, high)| (low..high).contains(&source.place.offset)))
    }

    /// What the partition holds; none if it is gone. A broker that has just started knows of none, so it is asked again.
    fn look(&self, source: &Source) -> Result<Option<(i64, i64)>, CommandError> {
        for _ in 0..LOOKS {
            match self.reader.bounds(&source.topic, source.place.partition) {
                Ok(bounds) => return Ok(Some(bounds)),
                Err(error) if error.rdkafka_error_code().is_some_and(is_absence) => {
                    std::thread::sleep(PAUSE);
                }
                Err(error) => {
                    let right = Right::on_topic(Operation::Read, &source.topic);
                    return Err(CommandError::of(&right, &error));
                }
            }
        }
        Ok(None)
    }

    /// Where the original is to be had.
    pub fn whereabouts(&mut self, letter: &DeadLetter) -> Result<OriginalLocation, CommandError> {
        Ok(if self.is_held(&letter.request)? {
            OriginalLocation::There
        } else if kept(letter).is_some() {
            OriginalLocation::Kept
        } else {
            OriginalLocation::Lost
        })
    }

    /// The original.
    pub fn fetch(&mut self, letter: &DeadLetter) -> Result<Original, CommandError> {
        if self.is_held(&letter.request)? {
            // Once more from a fresh place before it counts as gone: what is lost is passed over for good.
            for _ in 0..2 {
                match self.read(&letter.request)? {
                    Some(request) if is_of(&request, letter) => {
                        return Ok(Original::There(request));
                    }
                    _ => self.at = None,
                }
            }
        }
        Ok(kept(letter).map_or(Original::Lost, Original::Kept))
    }

    fn read(&mut self, source: &Source) -> Result<Option<Request>, CommandError> {
        let (topic, wanted) = (source.topic.as_str(), source.place);
        let near = self.at.take().is_some_and(|at| {
            at.topic == *topic
                && at.place.partition == wanted.partition
                && (0..NEAR).contains(&(wanted.offset - at.place.offset))
        });
        if !near {
            self.reader.go_to(topic, wanted.partition, wanted.offset)?;
        }
        while let Some(message) = self.reader.next(topic, wanted.partition)? {
            let offset = message.offset();
            if offset < wanted.offset {
                if near {
                    continue;
                }
                return Ok(None); // the topic was made anew: this is its beginning
            }
            let request = (offset == wanted.offset).then(|| {
                let mut headers = Vec::new();
                each_header(&message, |name, value| {
                    headers.push((name.to_vec(), value.map(<[u8]>::to_vec)));
                });
                Request {
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers,
                    timestamp: message.timestamp().to_millis(),
                }
            });
            let mut next = source.clone();
            next.place.offset = offset + 1;
            self.at = Some(next);
            return Ok(request);
        }
        Ok(None)
    }
}

/// Whether what stands at the failure's reference is its request: offsets begin anew when a topic is made anew.
fn is_of(request: &Request, letter: &DeadLetter) -> bool {
    let same = match &letter.original {
        // (The failure's timestamp is the clock's where the request's was none that its topic takes.)
        Some(original) => request.value.as_ref() == Some(original),
        None => request.timestamp == letter.timestamp,
    };
    same && request.key == letter.key
}

/// The request, from what the failure itself holds.
fn kept(letter: &DeadLetter) -> Option<Request> {
    let value = match &letter.original {
        Some(original) => Some(original.clone()),
        // Nothing is what there was.
        None if letter.reason == Reason::Tombstone.as_str() => None,
        None => return None,
    };
    Some(Request {
        key: letter.key.clone(),
        value,
        headers: letter.headers.clone(),
        timestamp: letter.timestamp,
    })
}

/// Whether the topic, or its partition, is gone.
fn is_absence(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic
    )
}
