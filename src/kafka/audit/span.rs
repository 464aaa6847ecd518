//! What an audit reads: the span, and the offsets of every partition.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::FAILURES;
use super::matching::{Place, Stream};
use crate::kafka::client::c_string;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::{self, Offsets};
use crate::kafka::client::reader::Reader;
use crate::kafka::security::acl::{Operation, Right};
use crate::kafka::stream::outputs::Outputs;
use crate::pipeline::Position;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a transaction may hide outcomes that were written before the audit began: the
/// transaction timeout of an instance that crashed, and the time until the brokers notice.
const OPEN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(40);
const OPEN_TRANSACTION_INTERVAL: Duration = Duration::from_millis(200);

/// The timestamps of the requests that are looked at, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub since: i64,
    /// Exclusive.
    pub until: Option<i64>,
}

impl Span {
    pub fn contains(self, when: i64) -> bool {
        when >= self.since && self.until.is_none_or(|until| when < until)
    }
}

/// The part of a partition that is read.
#[derive(Clone, Debug)]
pub struct Part {
    pub partition: i32,
    pub offsets: Range<i64>,
    /// Whether retention may have deleted records of the span.
    is_cut: bool,
}

/// A topic, and what is read of each of its partitions.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub parts: Vec<Part>,
}

impl Topic {
    /// How many offsets are read.
    pub fn total(&self) -> u64 {
        let count = |part: &Part| part.offsets.end.abs_diff(part.offsets.start);
        self.parts.iter().map(count).sum()
    }

    fn is_cut(&self) -> bool {
        self.parts.iter().any(|part| part.is_cut)
    }

    /// Reads which offsets hold records from `since` on, up to the last stable one.
    pub fn look_up(reader: &Reader, name: &str, since: i64) -> Result<Self, CommandError> {
        let count = reader.partitions(name, Operation::Read)?;
        let right = Right::on_topic(Operation::Read, name);
        let starts = reader.offsets_since(name, count, since)?;
        let mut parts = Vec::new();
        for (partition, start) in starts {
            let offsets = reader.offsets(name, partition);
            let Range { start: low, end } =
                offsets.map_err(|error| CommandError::new(&right, &error))?;
            let start = start.map_or(end, |start| start.clamp(low, end));
            if end - start >= Place::MAX_OFFSETS {
                return Err(CommandError::Brokers {
                    action: format!("audit partition {partition} of topic {name}"),
                    why: format!("it holds more than {} offsets of the span", Place::MAX_OFFSETS),
                });
            }
            let is_cut = low > 0 && start == low;
            parts.push(Part { partition, offsets: start..end, is_cut });
        }
        Ok(Self { name: name.to_owned(), parts })
    }
}

/// The topics of an audit. Every request whose outcome is in `outputs` is in `requests`, and every
/// request before the group's position has its outcome there unless it is lost.
pub struct Topics {
    pub requests: Topic,
    /// Results, failures, then those of replies.
    pub outputs: Vec<Topic>,
    positions: Vec<Option<i64>>,
}

impl Topics {
    /// Looks everything up, and tells `outputs` the numbers of partitions.
    pub fn look_up(clients: &Clients, outputs: &Outputs, since: i64) -> Result<Self, CommandError> {
        let reader = Reader::of_service(clients)?;
        let (requests, replies) = (&outputs.topics.requests, &outputs.replies);
        requests.set_partitions(reader.partitions(&requests.name, Operation::Read)?);
        let mut topics = vec![&outputs.topics.results, &outputs.topics.failures];
        topics.extend(replies);
        for (index, topic) in topics.iter().enumerate() {
            match reader.partitions(&topic.name, Operation::Read) {
                Ok(count) => topic.set_partitions(count),
                // The service works without a reply topic, too.
                Err(CommandError::NoTopic(_)) if index > FAILURES => {}
                Err(error) => return Err(error),
            }
        }
        // The positions first, so that every request before them has its outcome in the topics; the
        // requests last, so that every outcome has its request.
        let positions = committed(&reader, &requests.name, requests.partitions())?;
        let mut found = Vec::new();
        for topic in topics {
            let topic = if topic.partitions() > 0 {
                await_transactions(&reader, &topic.name, topic.partitions())?;
                Topic::look_up(&reader, &topic.name, since)?
            } else {
                Topic { name: topic.name.clone(), parts: Vec::new() }
            };
            found.push(topic);
        }
        let requests = Topic::look_up(&reader, &requests.name, since)?;
        let position = |partition: usize| {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            positions.get(&partition).copied()
        };
        let parts = requests.parts.iter().enumerate();
        let positions = parts.map(|(at, part)| Some(position(at)? - part.offsets.start)).collect();
        Ok(Self { requests, outputs: found, positions })
    }

    /// Whether the group has a position in one of the partitions.
    pub fn has_positions(&self) -> bool {
        self.positions.iter().any(Option::is_some)
    }

    /// How many offsets are read.
    pub fn total(&self) -> u64 {
        self.requests.total() + self.outputs.iter().map(Topic::total).sum::<u64>()
    }

    /// How many rounds of one partition of every topic it takes to read them all.
    pub fn rounds(&self) -> usize {
        self.all().map(|topic| topic.parts.len()).max().unwrap_or(0)
    }

    /// The topics: requests, then outputs.
    pub fn all(&self) -> impl Iterator<Item = &Topic> {
        std::iter::once(&self.requests).chain(&self.outputs)
    }

    /// The number of the first stream of each topic of [`Self::all`].
    pub fn first_streams(&self) -> Vec<usize> {
        let firsts = self.all().scan(0, |next, topic| {
            let first = *next;
            *next += topic.parts.len();
            Some(first)
        });
        firsts.collect()
    }

    /// The topic and the position of a record.
    pub fn locate(&self, place: Place) -> (&str, Position) {
        let mut rest = place.stream();
        for topic in self.all() {
            if let Some(part) = topic.parts.get(rest) {
                let partition = i32::try_from(rest).unwrap_or(i32::MAX);
                let offset = part.offsets.start + place.offset();
                return (&topic.name, Position { partition, offset });
            }
            rest -= topic.parts.len();
        }
        unreachable!("places are made from these topics")
    }

    /// The partitions of all topics.
    pub fn streams(&self) -> Vec<Stream> {
        // If the numbers of partitions differ, an outcome may be in any of them; replies may
        // anyway.
        let is_cut = |topic: &Topic, partition: usize| {
            if topic.parts.len() == self.requests.parts.len() {
                topic.parts[partition].is_cut
            } else {
                topic.is_cut()
            }
        };
        let [results, failures, replies @ ..] = &self.outputs[..] else { return Vec::new() };
        let replies_cut = replies.iter().any(Topic::is_cut);
        let mut streams = Vec::new();
        for (partition, position) in self.positions.iter().enumerate() {
            streams.push(Stream::Requests {
                position: *position,
                results_deleted: replies_cut || is_cut(results, partition),
                failures_deleted: is_cut(failures, partition),
            });
        }
        for (index, topic) in self.outputs.iter().enumerate() {
            let aligned = index <= FAILURES && topic.parts.len() == self.requests.parts.len();
            streams.extend((0..topic.parts.len()).map(|partition| Stream::Outcomes {
                requests_deleted: if aligned {
                    self.requests.parts[partition].is_cut
                } else {
                    self.requests.is_cut()
                },
            }));
        }
        streams
    }
}

/// The group's committed offsets.
fn committed(reader: &Reader, topic: &str, count: i32) -> Result<BTreeMap<i32, i64>, CommandError> {
    let committed = reader.committed(topic, &(0..count).collect::<Vec<_>>());
    let committed = committed.map_err(|error| match error {
        // Reading them needs a lesser right than committing them, which the error names.
        CommandError::NotAllowed(right) => {
            CommandError::NotAllowed(Right { operation: Operation::Describe, ..right })
        }
        error => error,
    })?;
    let committed = Offsets::copy_of(&committed);
    let known = committed.entries().filter(|entry| entry.offset >= 0);
    Ok(known.map(|entry| (entry.partition, entry.offset)).collect())
}

/// Waits until the transactions have ended that wrote what a topic holds now.
fn await_transactions(reader: &Reader, topic: &str, count: i32) -> Result<(), CommandError> {
    let right = Right::on_topic(Operation::Describe, topic);
    let name = c_string(topic).map_err(|fault| CommandError::Brokers {
        action: right.action(),
        why: fault.to_string(),
    })?;
    let wanted = (0..count).map(|partition| Position { partition, offset: 0 });
    let wanted = Offsets::new(&name, wanted);
    let ends = native::watermarks(reader.client(), &wanted, REQUEST_TIMEOUT);
    let ends = ends.map_err(|code| CommandError::from_code(&right, code))?;
    let deadline = Instant::now() + OPEN_TRANSACTION_TIMEOUT;
    for (partition, _, high) in ends {
        loop {
            let stable = reader.offsets(topic, partition);
            let stable = stable.map_err(|error| CommandError::new(&right, &error))?.end;
            if stable >= high {
                break;
            }
            if Instant::now() > deadline {
                let action = format!("read partition {partition} of topic {topic} to its end");
                let why = format!(
                    "a transaction has been open at offset {stable} for {} s",
                    OPEN_TRANSACTION_TIMEOUT.as_secs()
                );
                return Err(CommandError::Brokers { action, why });
            }
            std::thread::sleep(OPEN_TRANSACTION_INTERVAL);
        }
    }
    Ok(())
}
