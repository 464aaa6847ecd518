//! Judges the requests of a span twice, and counts which answers change.

use std::collections::BTreeMap;

use nik::SectionReason;
use nik_wire::process::{Outcome, Processor};

use super::Progress;
use super::pace::Pace;
use super::span::{Span, Topic};
use super::tally::EXAMPLES;
use crate::config::Settings;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::reader::Reader;
use crate::kafka::client::scanner::Scanner;
use crate::kafka::stream::shutdown::Stop;
use crate::pipeline::Position;
use crate::pipeline::judge::Dating;
use crate::telemetry::now_ms;

/// The sections, in the order of their reasons.
pub const SECTIONS: [&str; 5] = ["length", "area", "dob", "gender", "computerized"];

/// How an element, or a whole request, is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Valid,
    Invalid,
    /// The element cannot be read as a NIK.
    Error,
    /// The request has a result.
    Result,
    /// The request has a failure.
    Failure,
}

impl Answer {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Error => "error",
            Self::Result => "result",
            Self::Failure => "failure",
        }
    }
}

/// A change, from and to.
pub type Change<T> = (T, T);

/// What changes.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub requests: u64,
    /// The elements of the lists of requests with two results.
    pub niks: u64,
    pub changed: BTreeMap<Change<Answer>, u64>,
    /// Sections whose verdict changes, in the order of [`SECTIONS`].
    pub by_section: [u64; SECTIONS.len()],
    /// Changes of the reason, by section or for a whole `request`; valid has the reason `none`.
    pub by_reason: BTreeMap<(&'static str, Change<&'static str>), u64>,
    /// The first requests of which something changes.
    pub examples: Vec<(Change<Answer>, Position)>,
    /// Whether the comparison reached its end before a stop.
    pub complete: bool,
}

/// The settings and rules of one of the two judgements.
pub struct Candidate<'a> {
    pub settings: &'a Settings,
    pub processor: Processor,
}

/// What one side makes of a request.
struct Side {
    processor: Processor,
    dating: Dating,
    payload: Vec<u8>,
    /// The reasons of each element's sections.
    elements: Vec<Option<[Option<SectionReason>; 5]>>,
}

impl Side {
    fn new(candidate: Candidate<'_>) -> Self {
        let dating = candidate.settings.rules.dating();
        Self { processor: candidate.processor, dating, payload: Vec::new(), elements: Vec::new() }
    }

    /// Judges a request; returns the reason of its failure.
    fn judge(&mut self, record: &Record<'_>, now: i64) -> Option<&'static str> {
        let date = self.dating.date(self.dating.timestamps.time(record.timestamp(), now));
        let value = record.payload();
        self.elements.clear();
        match self.processor.process(value, date, &mut self.payload) {
            Outcome::Failure { reason, .. } => Some(reason.as_str()),
            Outcome::Result { .. } => {
                let elements = &mut self.elements;
                let value = value.unwrap_or_default();
                self.processor.judge_each(value, date, |element| elements.push(element));
                None
            }
        }
    }
}

/// Compares two judgements of the requests of a span, until `stop` is requested.
pub fn compare(
    candidates: [Candidate<'_>; 2],
    span: Span,
    rate: u32,
    stop: &Stop,
    progress: &mut Progress<'_>,
) -> Result<Comparison, CommandError> {
    let clients = Clients::new(candidates[0].settings);
    let reader = Reader::connect(&clients)?;
    let name = &candidates[0].settings.topics.requests;
    let topic = Topic::look_up(&reader, name, span.since)?;
    let mut scanner = Scanner::connect(&clients, &clients.scanner(), name)?;
    let mut sides = candidates.map(Side::new);
    let (mut pace, now) = (Pace::new(rate, stop, progress), now_ms());
    pace.plan(topic.total());
    let mut comparison = Comparison { complete: true, ..Comparison::default() };
    for part in &topic.parts {
        scanner.start(part.partition, part.offsets.clone())?;
        while let Some(record) = scanner.next()? {
            if !pace.next() {
                comparison.complete = false;
                return Ok(comparison);
            }
            if span.contains(record.timestamp().unwrap_or(-1)) {
                let position = Position { partition: record.partition(), offset: record.offset() };
                comparison.add(&mut sides, &record, position, now);
            }
        }
    }
    pace.finish();
    Ok(comparison)
}

impl Comparison {
    fn add(&mut self, sides: &mut [Side; 2], record: &Record<'_>, position: Position, now: i64) {
        self.requests += 1;
        let [before, after] = sides;
        let reasons = (before.judge(record, now), after.judge(record, now));
        if reasons.0.is_some() || reasons.1.is_some() {
            if reasons.0 != reasons.1 {
                let answer = |reason: Option<&str>| {
                    if reason.is_some() { Answer::Failure } else { Answer::Result }
                };
                self.note((answer(reasons.0), answer(reasons.1)), position);
                self.note_reason("request", reasons);
            }
            return;
        }
        for (before, after) in before.elements.iter().zip(&after.elements) {
            self.niks += 1;
            let change = (answer(*before), answer(*after));
            if change.0 != change.1 {
                self.note(change, position);
            }
            let (Some(before), Some(after)) = (before, after) else { continue };
            for (index, section) in SECTIONS.iter().enumerate() {
                let (before, after) = (before[index], after[index]);
                self.by_section[index] += u64::from(before.is_some() != after.is_some());
                if before != after {
                    let name = |it: Option<SectionReason>| it.map(SectionReason::as_str);
                    self.note_reason(section, (name(before), name(after)));
                }
            }
        }
    }

    fn note(&mut self, change: Change<Answer>, position: Position) {
        *self.changed.entry(change).or_default() += 1;
        let is_new = self.examples.last().is_none_or(|(_, last)| *last != position);
        if is_new && self.examples.len() < EXAMPLES {
            self.examples.push((change, position));
        }
    }

    fn note_reason(&mut self, section: &'static str, change: Change<Option<&'static str>>) {
        let change = (change.0.unwrap_or("none"), change.1.unwrap_or("none"));
        *self.by_reason.entry((section, change)).or_default() += 1;
    }
}

fn answer(reasons: Option<[Option<SectionReason>; 5]>) -> Answer {
    match reasons {
        None => Answer::Error,
        Some(reasons) if reasons.iter().all(Option::is_none) => Answer::Valid,
        Some(_) => Answer::Invalid,
    }
}
