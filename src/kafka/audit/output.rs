//! A topic of outcomes, as an audit reads it.

use super::auditor::{Auditor, Sample, Traits};
use super::matching::{Content, Identity, Matcher, Place};
use super::pace::Pace;
use super::span::{Part, Span};
use super::tally::Tally;
use super::{FAILURES, Slice};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::scanner::Scanner;

/// Which records are looked at.
pub struct Filter {
    pub span: Span,
    pub sample: Sample,
    pub slice: Slice,
}

impl Filter {
    /// Whether a record is in the span and in the slice.
    pub fn is_of_part(&self, traits: &Traits) -> bool {
        self.span.contains(traits.identity.when) && self.slice.contains(traits.identity.who)
    }
}

/// A topic of outcomes, and the next one of it.
pub struct Output {
    /// Its number among the topics of outcomes.
    topic: usize,
    scanner: Scanner,
    /// The number of the partition among those of all topics, and the first offset that is read.
    stream: usize,
    start: i64,
    next: Option<(Identity, Content, Place)>,
    /// The latest timestamp so far.
    clock: i64,
    /// How many outcomes the requests so far ask for, less those that were handed over.
    owed: i64,
}

impl Output {
    pub fn connect(clients: &Clients, topic: usize, name: &str) -> Result<Self, CommandError> {
        let scanner = Scanner::connect(clients, &clients.scanner(), name)?;
        Ok(Self { topic, scanner, stream: 0, start: 0, next: None, clock: i64::MIN, owed: 0 })
    }

    /// Reads a partition from here on, or nothing if the topic does not have it.
    pub fn start(&mut self, part: Option<&Part>, stream: usize) -> Result<(), CommandError> {
        let (partition, offsets) = part.map_or((0, 0..0), |it| (it.partition, it.offsets.clone()));
        (self.stream, self.start) = (stream, offsets.start);
        (self.next, self.clock, self.owed) = (None, i64::MIN, 0);
        self.scanner.start(partition, offsets)
    }

    /// Notes that a request asks for an outcome in this topic.
    pub fn expect_one(&mut self) {
        self.owed += 1;
    }

    /// Whether the next outcome can be of the requests so far, whose latest timestamp is `clock`.
    /// Outcomes are in the order of their requests, so one that is owed precedes those of later
    /// requests.
    pub fn is_due(
        &mut self,
        clock: i64,
        auditor: &Auditor,
        filter: &Filter,
        pace: &mut Pace<'_>,
    ) -> Result<bool, CommandError> {
        Ok(self.owed > 0 && self.has_next(auditor, filter, pace)? && self.clock <= clock)
    }

    /// Whether there is a next outcome.
    pub fn has_next(
        &mut self,
        auditor: &Auditor,
        filter: &Filter,
        pace: &mut Pace<'_>,
    ) -> Result<bool, CommandError> {
        while self.next.is_none() && !pace.is_stopped() {
            let Some(record) = self.scanner.next()? else { break };
            pace.next();
            let traits = auditor.traits(&record);
            if filter.is_of_part(&traits) && filter.sample.contains(&record) {
                let (content, is_other) = auditor.found(self.topic, &record, &traits);
                let at = Place::new(self.stream, record.offset() - self.start)
                    .of_other_release(is_other)
                    .with_brokers_time(record.has_brokers_time());
                self.next = Some((traits.identity, content, at));
                self.clock = self.clock.max(traits.identity.when);
            }
        }
        Ok(self.next.is_some())
    }

    /// Hands the next outcome over.
    pub fn hand_over(&mut self, matcher: &mut Matcher, tally: &mut Tally) {
        if let Some((identity, content, place)) = self.next.take() {
            matcher.add(identity, content, place);
            self.owed -= 1;
            if self.topic == FAILURES {
                tally.failures += 1;
            } else {
                tally.results += 1;
            }
        }
    }
}
