//! What records are matched by, computed with the functions by which the service judges requests
//! and chooses topics.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use super::matching::{Content, Identity, Kind};
use super::{FAILURES, Rulebook};
use crate::config::{ReferenceDate, Settings};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::each_header;
use crate::kafka::dlq::dead_letter::REPLAYS;
use crate::kafka::dlq::headers;
use crate::kafka::stream::headers::OutcomeHeaders;
use crate::kafka::stream::outputs::{KnownTopic, Outputs};
use crate::pipeline::judge::Dating;
use crate::pipeline::timestamps::TimestampLimits;
use crate::telemetry::now_ms;
use nik_wire::Reason;
use nik_wire::process::{Outcome, Processor};

/// What a record is matched by, apart from its content.
#[derive(Clone, Copy)]
pub struct Traits {
    pub identity: Identity,
    /// A hash of the header `nik-replays`: how often the request was replayed.
    replays: u64,
}

/// The outcome that a request should have.
#[derive(Clone, Copy)]
pub struct Expected {
    /// The number of its topic in [`Auditor::topics`].
    pub topic: usize,
    pub content: Content,
}

/// Judges requests again, and classifies outcomes.
pub struct Auditor {
    processors: Vec<Processor>,
    dating: Dating,
    headers: OutcomeHeaders,
    pub outputs: Outputs,
    judged_by: String,
    hashes: RandomState,
    now: i64,
    payload: Vec<u8>,
}

impl Auditor {
    pub fn new(
        settings: &Settings,
        clients: &Clients,
        rulebook: Rulebook,
    ) -> Result<Self, CommandError> {
        let outputs = Outputs::new(&settings.topics, &clients.access);
        let outputs = outputs.map_err(|fault| CommandError::Brokers {
            action: "address outcomes".to_owned(),
            why: fault.to_string(),
        })?;
        Ok(Self {
            processors: rulebook.processors,
            dating: settings.rules.dating(),
            headers: OutcomeHeaders::new(settings),
            outputs,
            judged_by: rulebook.judged_by,
            hashes: RandomState::new(),
            now: now_ms(),
            payload: Vec::new(),
        })
    }

    /// The topics that hold outcomes: results, failures, then those of replies.
    pub fn topics(&self) -> impl Iterator<Item = &KnownTopic> {
        let topics = &self.outputs.topics;
        [&topics.results, &topics.failures].into_iter().chain(&self.outputs.replies)
    }

    /// Whether the day is known on which a request was judged.
    pub fn are_days_known(&self) -> bool {
        self.dating.reference_date != ReferenceDate::Now
    }

    /// Which timestamps the service replaces.
    pub fn timestamps(&self) -> TimestampLimits {
        self.dating.timestamps
    }

    pub fn traits(&self, record: &Record<'_>) -> Traits {
        let (mut who, mut replays) = (self.hashes.build_hasher(), self.hashes.build_hasher());
        let key = record.key();
        key.hash(&mut who);
        each_header(record, |name, value| {
            if name == REPLAYS && self.headers.keeps(name) {
                value.hash(&mut replays);
            } else if self.headers.keeps(name) {
                (name, value).hash(&mut who);
            }
        });
        let when = record.timestamp().unwrap_or(-1);
        Traits { identity: Identity { who: who.finish(), when }, replays: replays.finish() }
    }

    /// The outcome that a request should have.
    pub fn expected(&mut self, record: &Record<'_>, traits: &Traits) -> Expected {
        let outcome = self.process(record, 0);
        self.addressed(record, &outcome, true, traits)
    }

    /// The other contents that are right: those that the service writes if the brokers refuse the
    /// outcome (a smaller failure, or a result that is not a reply), and outcomes with the tokens of
    /// keys that it used earlier.
    pub fn others(&mut self, record: &Record<'_>, traits: &Traits) -> Vec<Content> {
        let mut others = Vec::new();
        let mut reason = Reason::ResultTooLarge;
        for index in 0..self.processors.len() {
            let outcome = self.process(record, index);
            for reply_allowed in [true, false] {
                others.push(self.addressed(record, &outcome, reply_allowed, traits).content);
            }
            if let Outcome::Failure { reason: found, .. } = outcome {
                reason = found;
            }
        }
        for with_list in [true, false] {
            let (value, processor) = (record.payload(), &mut self.processors[0]);
            let failure = processor.refuse(value, reason, with_list, &mut self.payload);
            others.push(self.addressed(record, &failure, true, traits).content);
        }
        others
    }

    /// Writes the outcome that the processor with this number gives into `payload`.
    fn process(&mut self, record: &Record<'_>, index: usize) -> Outcome {
        let date = self.dating.date(self.dating.timestamps.time(record.timestamp(), self.now));
        self.processors[index].process(record.payload(), date, &mut self.payload)
    }

    /// The outcome in `payload`, with the topic that it goes to.
    fn addressed(
        &self,
        record: &Record<'_>,
        outcome: &Outcome,
        reply_allowed: bool,
        traits: &Traits,
    ) -> Expected {
        let topic = self.outputs.route(record, outcome, reply_allowed).topic;
        let topic = self.topics().position(|it| it.c_name() == topic).unwrap_or_default();
        let kind = match outcome {
            Outcome::Result { .. } => Kind::Result,
            Outcome::Failure { reason, .. } => Kind::Failure(*reason),
        };
        Expected { topic, content: self.hashed(topic, Some(&self.payload), kind, traits) }
    }

    /// The content of an outcome in the topic with this number, and whether another release or
    /// other rules answered.
    pub fn found(&self, topic: usize, record: &Record<'_>, traits: &Traits) -> (Content, bool) {
        let (mut reason, mut judged_by) = (None, None);
        each_header(record, |name, value| {
            if name == headers::REASON.as_bytes() && reason.is_none() {
                let named = |it: &Reason| Some(it.as_str().as_bytes()) == value;
                reason = Some(Reason::ALL.into_iter().find(named));
            } else if name == headers::JUDGED_BY.to_bytes() {
                judged_by = Some(value != Some(self.judged_by.as_bytes()));
            }
        });
        let kind = match reason {
            _ if topic != FAILURES => Kind::Result,
            Some(Some(reason)) => Kind::Failure(reason),
            Some(None) | None => Kind::Foreign,
        };
        (self.hashed(topic, record.payload(), kind, traits), judged_by == Some(true))
    }

    fn hashed(&self, topic: usize, value: Option<&[u8]>, kind: Kind, traits: &Traits) -> Content {
        Content::new(self.hashes.hash_one((topic, value, traits.replays)), kind)
    }
}

/// Chooses one in `of` records, the same ones among requests and outcomes: by the key, or by the
/// timestamp of those without a key.
#[derive(Clone, Copy)]
pub struct Sample {
    pub of: u64,
}

impl Sample {
    pub fn contains(self, record: &Record<'_>) -> bool {
        if self.of <= 1 {
            return true;
        }
        let mut hash = DefaultHasher::new();
        match record.key() {
            Some(key) => key.hash(&mut hash),
            None => record.timestamp().hash(&mut hash),
        }
        hash.finish().is_multiple_of(self.of)
    }
}
