//! Judges the requests of a span again and compares what the topics hold: the commands `audit` and
//! `compare`. They join no group and write nothing.
//!
//! An audit reads requests and outcomes in step, partition by partition. Outcomes are in the order
//! of their requests and carry their timestamps, so that few records wait for their counterpart. If
//! too many wait, the audit starts over with half of the keys, and then audits the other half:
//! memory is bounded, whatever the span and the faults.

mod auditor;
pub mod compare;
mod leftovers;
mod matching;
mod output;
mod pace;
mod span;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use nik_wire::process::Processor;

use self::auditor::{Auditor, Sample};
use self::leftovers::{Leftovers, Rules};
use self::matching::{Left, Matcher, Place};
use self::output::{Filter, Output};
use self::pace::Pace;
use self::span::Topics;
use crate::config::Settings;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::scanner::Scanner;
use crate::kafka::stream::shutdown::Stop;
use crate::pipeline::Position;

pub use self::span::Span;
pub use self::tally::{Fault, Tally};

/// The index of the failures topic among the topics of outcomes (results, failures, replies).
const FAILURES: usize = 1;

/// The most records that wait for their counterpart: seven eighths of 2^20, since with more of them
/// a hash map doubles its memory. They take 40 MB.
const MOST_WAITING: usize = 7 << 17;

/// What is audited, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct AuditOptions {
    pub span: Span,
    /// One in this many keys is looked at.
    pub sample: u64,
    /// Records a second at most; 0: unlimited.
    pub rate: u32,
}

/// What the requests are judged by.
pub struct Rulebook {
    /// The first one gives the outcomes that are expected. The others write tokens with further
    /// keys, and their outcomes are right, too.
    pub processors: Vec<Processor>,
    /// The value of `nik-judged-by`.
    pub judged_by: String,
}

/// The place of a fault.
#[derive(Clone, Debug)]
pub struct Example {
    pub fault: Fault,
    pub topic: String,
    pub position: Position,
}

/// What an audit found.
#[derive(Clone, Debug)]
pub struct Report {
    pub counts: Tally,
    /// Whether the group has positions. Without them, requests after the last outcome of their
    /// partition count as in flight.
    pub has_positions: bool,
    /// The first faults.
    pub examples: Vec<Example>,
    /// Records whose counterpart was not read yet when the audit was stopped; `None` if it was not.
    pub undecided: Option<u64>,
    /// How many records were read.
    pub read: u64,
    pub duration: Duration,
}

/// Is called with the number of records that were read, and how many there are to read.
pub type Progress<'a> = dyn FnMut(u64, u64) + 'a;

/// Audits a span, until `stop` is requested.
pub fn audit(
    settings: &Settings,
    rulebook: Rulebook,
    options: &AuditOptions,
    stop: &Stop,
    progress: &mut Progress<'_>,
) -> Result<Report, CommandError> {
    let clients = Clients::new(settings);
    let auditor = Auditor::new(settings, &clients, rulebook)?;
    let topics = Topics::look_up(&clients, &auditor.outputs, options.span.since)?;
    let outputs = topics.outputs.iter().enumerate();
    let outputs = outputs.map(|(number, it)| Output::connect(&clients, number, &it.name));
    let mut audit = Audit {
        requests: Scanner::connect(&clients, &clients.scanner(), &topics.requests.name)?,
        outputs: outputs.collect::<Result<_, _>>()?,
        auditor,
        options,
        pace: Pace::new(options.rate, stop, progress),
        topics,
    };
    let (counts, undecided) = audit.run()?;
    let example = |(fault, place): (Fault, Place)| {
        let (topic, position) = audit.topics.locate(place);
        Example { fault, topic: topic.to_owned(), position }
    };
    let examples = counts.examples().into_iter().map(example).collect();
    let (read, duration) = audit.pace.finish();
    let has_positions = audit.topics.has_positions();
    Ok(Report { counts, has_positions, examples, undecided, read, duration })
}

/// Records of a slice this thin have the same key, so halving it does not help.
const MOST_SLICE_BITS: u32 = 24;

/// The keys whose hashes end with these bits.
#[derive(Clone, Copy, Debug)]
struct Slice {
    bits: u32,
    value: u64,
}

impl Slice {
    const ALL: Self = Self { bits: 0, value: 0 };

    fn contains(self, who: u64) -> bool {
        who & ((1 << self.bits) - 1) == self.value
    }

    fn halves(self) -> [Self; 2] {
        let bits = self.bits + 1;
        [self.value, self.value | 1 << self.bits].map(|value| Self { bits, value })
    }
}

/// How reading a slice ended.
enum End {
    Done,
    /// Too many records wait.
    Full,
    Stopped,
}

struct Audit<'a> {
    auditor: Auditor,
    topics: Topics,
    requests: Scanner,
    outputs: Vec<Output>,
    options: &'a AuditOptions,
    pace: Pace<'a>,
}

impl Audit<'_> {
    fn run(&mut self) -> Result<(Tally, Option<u64>), CommandError> {
        let mut counts = Tally::default();
        let mut slices = vec![Slice::ALL];
        while let Some(slice) = slices.pop() {
            let (mut tally, mut matcher) = (Tally::default(), Matcher::new(self.topics.streams()));
            self.pace.plan(self.topics.total());
            match self.read(slice, &mut matcher, &mut tally)? {
                End::Done => {}
                End::Full if slice.bits == MOST_SLICE_BITS => {
                    return Err(CommandError::Brokers {
                        action: format!("audit topic {}", self.topics.requests.name),
                        why: "too many records of one key, or without a key, wait for each other: audit shorter spans"
                            .to_owned(),
                    });
                }
                End::Full => {
                    slices.extend(slice.halves());
                    continue;
                }
                End::Stopped => {
                    counts.merge(&tally);
                    return Ok((counts, Some(matcher.waiting() as u64)));
                }
            }
            let mut leftovers = matcher.leftovers();
            let timestamps = self.auditor.timestamps();
            let is_replaced = |requested: i64, written: i64| {
                let requested = Some(requested).filter(|requested| *requested >= 0);
                timestamps.time(requested, written).replaced.is_some()
            };
            let rules =
                Rules { are_days_known: self.auditor.are_days_known(), is_replaced: &is_replaced };
            if leftovers.need_second_look() {
                self.pace.plan(self.topics.requests.total());
                if let End::Stopped = self.look_again(slice, &mut leftovers, &rules)? {
                    counts.merge(&tally);
                    return Ok((counts, Some(leftovers.count())));
                }
            }
            leftovers.settle(&rules, &mut tally);
            counts.merge(&tally);
        }
        Ok((counts, None))
    }

    /// Reads the records of a slice.
    fn read(
        &mut self,
        slice: Slice,
        matcher: &mut Matcher,
        tally: &mut Tally,
    ) -> Result<End, CommandError> {
        for round in 0..self.topics.rounds() {
            match self.read_partition(round, slice, matcher, tally)? {
                End::Done => {}
                end => return Ok(end),
            }
        }
        Ok(End::Done)
    }

    /// Reads one partition of every topic, in step.
    fn read_partition(
        &mut self,
        number: usize,
        slice: Slice,
        matcher: &mut Matcher,
        tally: &mut Tally,
    ) -> Result<End, CommandError> {
        let Self { auditor, topics, requests, outputs, options, pace } = self;
        let filter = Filter { span: options.span, sample: Sample { of: options.sample }, slice };
        let firsts = topics.first_streams();
        for ((output, topic), first) in outputs.iter_mut().zip(&topics.outputs).zip(&firsts[1..]) {
            output.start(topic.parts.get(number), first + number)?;
        }
        let mut clock = i64::MIN;
        if let Some(part) = topics.requests.parts.get(number) {
            requests.start(part.partition, part.offsets.clone())?;
            while let Some(record) = requests.next()? {
                if !pace.next() {
                    return Ok(End::Stopped);
                }
                let traits = auditor.traits(&record);
                if !filter.is_of_part(&traits) {
                    continue;
                }
                if !filter.sample.contains(&record) {
                    tally.sampled_out += 1;
                    continue;
                }
                tally.requests += 1;
                let expected = auditor.expected(&record, &traits);
                let place = Place::new(number, record.offset() - part.offsets.start);
                matcher.add(traits.identity, expected.content, place);
                clock = clock.max(traits.identity.when);
                outputs[expected.topic].expect_one();
                for output in outputs.iter_mut() {
                    while output.is_due(clock, auditor, &filter, pace)? {
                        output.hand_over(matcher, tally);
                    }
                }
                if matcher.waiting() > MOST_WAITING {
                    return Ok(End::Full);
                }
            }
        }
        for output in outputs.iter_mut() {
            while output.has_next(auditor, &filter, pace)? {
                output.hand_over(matcher, tally);
                if matcher.waiting() > MOST_WAITING {
                    return Ok(End::Full);
                }
            }
        }
        Ok(if pace.is_stopped() { End::Stopped } else { End::Done })
    }

    /// Reads the requests again, for what is left.
    fn look_again(
        &mut self,
        slice: Slice,
        leftovers: &mut Leftovers,
        rules: &Rules<'_>,
    ) -> Result<End, CommandError> {
        let Self { auditor, topics, requests, options, pace, .. } = self;
        let filter = Filter { span: options.span, sample: Sample { of: options.sample }, slice };
        for (number, part) in topics.requests.parts.iter().enumerate() {
            requests.start(part.partition, part.offsets.clone())?;
            while let Some(record) = requests.next()? {
                if !pace.next() {
                    return Ok(End::Stopped);
                }
                let traits = auditor.traits(&record);
                let identity = traits.identity;
                if !slice.contains(identity.who) {
                    continue;
                }
                if !options.span.contains(identity.when) {
                    leftovers.look_outside(identity, rules);
                } else if leftovers.concern(identity) && filter.sample.contains(&record) {
                    let content = auditor.expected(&record, &traits).content;
                    let place = Place::new(number, record.offset() - part.offsets.start);
                    let others = auditor.others(&record, &traits);
                    leftovers.look_at(Left { identity, content, place }, &others);
                }
            }
        }
        Ok(End::Done)
    }
}
