//! Records whose outcomes were refused, and what is sent when they are processed again.

use std::collections::HashMap;
use std::mem;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::client::refusal::{Refused, is_permanent};
use crate::kafka::dlq::headers::Truncation;
use crate::pipeline::Position;
use nik_wire::Reason;
use nik_wire::process::Outcome;

/// A batch that was refused for its size is sent again in this many parts, and so is a part. Only
/// the records of a small part are sent one by one, since each of them waits for its
/// acknowledgement.
const PARTS: usize = 4;
/// The limit is lifted when it has grown to this many records.
const LARGEST_PART: usize = 4096;

/// How a record's outcome is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Batched with others, and unchanged.
    Normal,
    /// Alone in its batch, so that a refusal concerns no other record, and with these changes.
    Alone(Changes),
    /// Not at all: no change would help against a refusal with this code.
    Impossible(Code),
}

/// What is changed about an outcome that was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// It gets the clock's time, because the record's was refused.
    clock: bool,
    size_refusals: u8,
    reply: Reply,
}

/// What is known about the reply topic of a result that is sent alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reply {
    /// The result was not sent there yet.
    #[default]
    Untried,
    /// It was sent there, so the next refusal is that topic's.
    Sent,
    /// The topic refused it: it goes to the results.
    Refused,
}

/// What is sent in place of an outcome whose size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The outcome itself.
    None,
    /// A smaller failure.
    Smaller(Reason, Truncation),
    /// Even the smallest failure was refused.
    Exhausted,
}

/// Who refused an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The client: the refusal certainly concerns this record.
    Client,
    /// A broker. It may have refused the whole batch because of another record.
    Broker,
}

impl Attempt {
    /// Whether the outcome gets the clock's time in place of the record's.
    pub fn uses_clock(self) -> bool {
        self.changes().clock
    }

    /// Whether a result may go to the topic that its request names.
    pub fn allows_reply(self) -> bool {
        self.changes().reply != Reply::Refused
    }

    /// What is sent in place of `outcome`.
    pub fn fallback(self, outcome: &Outcome) -> Fallback {
        let refusals = self.changes().size_refusals;
        if refusals == 0 {
            return Fallback::None;
        }
        let (reason, steps) = match *outcome {
            Outcome::Result { .. } => (Reason::ResultTooLarge, refusals - 1),
            Outcome::Failure { reason, .. } => (reason, refusals),
        };
        Truncation::after(steps)
            .map_or(Fallback::Exhausted, |truncation| Fallback::Smaller(reason, truncation))
    }

    fn changes(self) -> Changes {
        match self {
            Self::Alone(changes) => changes,
            Self::Normal | Self::Impossible(_) => Changes::default(),
        }
    }

    /// The attempt after this one was refused with `code`.
    fn after(self, code: Code, by: By) -> Self {
        let mut changes = match self {
            Self::Impossible(_) => return self,
            Self::Normal if by == By::Broker => return Self::Alone(Changes::default()),
            Self::Normal | Self::Alone(_) => self.changes(),
        };
        let sent_to_reply = changes.reply == Reply::Sent;
        match code {
            Code::InvalidTimestamp if !changes.clock => changes.clock = true,
            _ if sent_to_reply => {
                changes.reply = Reply::Refused;
                changes.clock = false; // the results may accept the record's time
            }
            Code::MessageSizeTooLarge => {
                changes.size_refusals = changes.size_refusals.saturating_add(1);
            }
            _ => return Self::Impossible(code),
        }
        Self::Alone(changes)
    }
}

/// The refused records that are to be processed again, nearly always none.
#[derive(Debug, Default)]
pub struct Refusals {
    /// The next attempt of each, never [`Attempt::Normal`].
    attempts: HashMap<Position, Attempt>,
    /// The records sent since the last commit or abort. A record's tag is its index here plus
    /// `first_tag`, so that a late delivery report of an older epoch matches none of them.
    sent: Vec<Position>,
    first_tag: usize,
    /// The most records that may be in flight together, since a batch was refused for its size. It
    /// grows with each commit.
    part: Option<usize>,
    /// How many of `sent` were acknowledged before the next one was sent.
    acknowledged: usize,
    /// Whether the latest of `sent` is to be alone in its batch.
    has_alone: bool,
    /// Whether a refusal was noted since the last abort.
    has_news: bool,
}

impl Refusals {
    /// Whether every record is sent as usual.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.part.is_none()
    }

    /// How the outcome of this record is to be sent.
    pub fn attempt(&self, position: Position) -> Attempt {
        self.attempts.get(&position).copied().unwrap_or(Attempt::Normal)
    }

    /// Whether all earlier records must be acknowledged before one is sent in this way, so that
    /// they are not in its batch. If so, the caller waits for that.
    pub fn must_flush(&mut self, attempt: Attempt) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_alone = matches!(attempt, Attempt::Alone(_));
        let in_flight = self.sent.len() - self.acknowledged;
        let is_full = self.part.is_some_and(|part| in_flight >= part);
        let must_flush = in_flight > 0 && (is_alone || self.has_alone || is_full);
        if must_flush {
            self.acknowledged = self.sent.len();
        }
        self.has_alone = is_alone;
        must_flush
    }

    /// The tag by which a delivery report names this record.
    pub fn tag(&mut self, position: Position) -> usize {
        self.sent.push(position);
        self.first_tag + self.sent.len() - 1
    }

    /// Notes that a result that is sent alone goes to a reply topic.
    pub fn note_reply(&mut self, position: Position) {
        if let Some(Attempt::Alone(changes)) = self.attempts.get_mut(&position) {
            changes.reply = Reply::Sent;
        }
    }

    /// Notes a refusal. A broker's first refusal of a record may be due to another record of the
    /// batch; from then on the record is sent alone, so that its second refusal is its own.
    pub fn note(&mut self, position: Position, code: Code, by: By) {
        let attempt = self.attempts.entry(position).or_insert(Attempt::Normal);
        *attempt = attempt.after(code, by);
    }

    /// Notes the refusals in delivery reports, except those that say nothing about the record: a
    /// large batch may be refused for its own size.
    pub fn note_reports(&mut self, reports: &[Refused]) {
        let too_large = reports.iter().filter(|it| it.code == Code::MessageSizeTooLarge).count();
        let part = self.part.map_or(too_large, |part| part.min(too_large)) / PARTS;
        let in_parts = part > 1;
        if in_parts {
            (self.part, self.has_news) = (Some(part), true);
        }
        for report in reports.iter().filter(|report| is_permanent(report.code)) {
            let index = report.tag.checked_sub(self.first_tag);
            if let Some(&position) = index.and_then(|index| self.sent.get(index))
                && !(in_parts && report.code == Code::MessageSizeTooLarge)
            {
                self.note(position, report.code, By::Broker);
                self.has_news = true;
            }
        }
    }

    /// Whether a broker's refusal was noted since the last call, which changes how records are sent.
    pub fn take_news(&mut self) -> bool {
        mem::take(&mut self.has_news)
    }

    /// Starts a new epoch: tags given out so far become invalid.
    pub fn forget_tags(&mut self) {
        self.first_tag += self.sent.len();
        self.sent.clear();
        (self.acknowledged, self.has_alone) = (0, false);
    }

    /// Forgets the records before `positions`, which are committed.
    pub fn committed(&mut self, positions: impl Iterator<Item = Position>) {
        self.part = self.part.map(|part| part * PARTS).filter(|&part| part < LARGEST_PART);
        if !self.attempts.is_empty() {
            let next: HashMap<i32, i64> = positions.map(Into::into).collect();
            self.attempts
                .retain(|it, _| next.get(&it.partition).is_none_or(|&next| it.offset >= next));
        }
    }

    /// Forgets the records of `partitions`: another worker will process them, or this one as new.
    pub fn revoked(&mut self, partitions: &[i32]) {
        self.attempts.retain(|it, _| !partitions.contains(&it.partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nik::Summary;
    use nik_wire::Process;

    const RECORD: Position = Position { partition: 3, offset: 42 };
    const OTHER: Position = Position { partition: 5, offset: 7 };
    const ALONE: Attempt =
        Attempt::Alone(Changes { clock: false, size_refusals: 0, reply: Reply::Untried });
    const FAILURE: Outcome = Outcome::Failure { reason: Reason::TooManyNiks, process: None };

    fn result() -> Outcome {
        Outcome::Result { process: Process::Full, summary: Summary::default() }
    }

    #[test]
    fn a_delivery_report_names_a_record_of_any_partition_by_its_tag() {
        let mut refusals = Refusals::default();
        let far = Position { partition: i32::MAX, offset: i64::MAX };
        let tags = [RECORD, far, OTHER].map(|position| refusals.tag(position));
        refusals.note_reports(&[Refused { tag: tags[1], code: Code::InvalidRecord }]);
        assert_eq!(refusals.attempt(far), ALONE);
        assert_eq!(refusals.attempt(RECORD), Attempt::Normal);
    }

    #[test]
    fn a_late_report_of_an_earlier_epoch_names_no_record() {
        let mut refusals = Refusals::default();
        let tag = refusals.tag(RECORD);
        refusals.forget_tags();
        refusals.tag(OTHER);
        refusals.note_reports(&[Refused { tag, code: Code::InvalidRecord }]);
        assert!(refusals.is_empty());
    }

    #[test]
    fn the_first_refusal_by_a_broker_only_sends_a_record_alone() {
        let mut refusals = Refusals::default();
        refusals.note(RECORD, Code::MessageSizeTooLarge, By::Broker);
        assert_eq!(refusals.attempt(RECORD), ALONE);
        assert_eq!(refusals.attempt(RECORD).fallback(&result()), Fallback::None);
        refusals.note(RECORD, Code::MessageSizeTooLarge, By::Broker);
        let fallback = refusals.attempt(RECORD).fallback(&result());
        assert_eq!(fallback, Fallback::Smaller(Reason::ResultTooLarge, Truncation::Whole));
        assert_eq!(refusals.attempt(Position { offset: 43, ..RECORD }), Attempt::Normal);
    }

    #[test]
    fn a_batch_that_is_too_large_is_sent_in_ever_smaller_parts_and_in_the_end_one_by_one() {
        let mut refusals = Refusals::default();
        let mut refuse = |records: usize| {
            refusals.forget_tags();
            let offsets = (0..records).map(|it| RECORD.offset + i64::try_from(it).unwrap());
            let tags = offsets.map(|offset| refusals.tag(Position { offset, ..RECORD }));
            let code = Code::MessageSizeTooLarge;
            let reports: Vec<_> = tags.map(|tag| Refused { tag, code }).collect();
            refusals.note_reports(&reports);
            (refusals.part, refusals.attempt(RECORD))
        };
        for (records, part) in [(1437, 359), (359, 89), (89, 22), (20, 5)] {
            assert_eq!(refuse(records), (Some(part), Attempt::Normal));
        }
        assert_eq!(refuse(5), (Some(5), ALONE));
        refusals.committed([Position { offset: 50, ..RECORD }].into_iter());
        assert_eq!((refusals.part, refusals.attempt(RECORD)), (Some(20), Attempt::Normal));
        for _ in 0..4 {
            refusals.committed(std::iter::empty());
        }
        assert!(refusals.is_empty());
    }

    #[test]
    fn the_limit_of_parts_is_lifted_when_it_has_grown_to_the_largest() {
        let mut refusals = Refusals { part: Some(LARGEST_PART / PARTS - 1), ..Refusals::default() };
        refusals.committed(std::iter::empty());
        assert_eq!(refusals.part, Some(LARGEST_PART - PARTS));
        refusals.part = Some(LARGEST_PART / PARTS);
        refusals.committed(std::iter::empty());
        assert!(refusals.is_empty());
    }

    #[test]
    fn a_brokers_refusal_is_news_once() {
        let mut refusals = Refusals::default();
        assert!(!refusals.take_news());
        let tag = refusals.tag(RECORD);
        refusals.note_reports(&[Refused { tag, code: Code::InvalidRecord }]);
        assert!(refusals.take_news());
        assert!(!refusals.take_news());
    }

    #[test]
    fn full_parts_and_records_that_are_sent_alone_are_acknowledged_before_the_next() {
        let mut refusals = Refusals { part: Some(3), ..Refusals::default() };
        let mut must_flush = |attempt| {
            let must_flush = refusals.must_flush(attempt);
            refusals.tag(RECORD);
            must_flush
        };
        assert_eq!([Attempt::Normal; 4].map(&mut must_flush), [false, false, false, true]);
        assert_eq!([ALONE, ALONE, Attempt::Normal].map(&mut must_flush), [true; 3]);
        assert_eq!([Attempt::Normal, ALONE].map(&mut must_flush), [false, true]);
        refusals.forget_tags();
        assert!(!refusals.must_flush(ALONE), "the epoch was acknowledged");
    }

    #[test]
    fn a_record_that_the_client_refused_is_in_no_batch_with_those_before_it() {
        let mut refusals = Refusals::default();
        assert!(!refusals.must_flush(refusals.attempt(OTHER)));
        refusals.tag(OTHER);
        refusals.note(RECORD, Code::InvalidTimestamp, By::Client);
        assert!(refusals.must_flush(refusals.attempt(RECORD)));
    }

    #[test]
    fn a_refused_failure_loses_its_original_then_its_list_then_its_own_headers() {
        let mut refusals = Refusals::default();
        let mut next = || {
            refusals.note(RECORD, Code::MessageSizeTooLarge, By::Client);
            refusals.attempt(RECORD).fallback(&FAILURE)
        };
        for truncation in [
            Truncation::WithoutOriginal,
            Truncation::WithoutList,
            Truncation::WithoutRequestHeaders,
        ] {
            assert_eq!(next(), Fallback::Smaller(Reason::TooManyNiks, truncation));
        }
        assert_eq!(next(), Fallback::Exhausted);
    }

    #[test]
    fn a_refused_timestamp_is_replaced_by_the_clocks_and_the_outcome_stays() {
        let mut refusals = Refusals::default();
        refusals.note(RECORD, Code::InvalidTimestamp, By::Client);
        let attempt = refusals.attempt(RECORD);
        assert!(attempt.uses_clock());
        assert_eq!(attempt.fallback(&result()), Fallback::None);
    }

    #[test]
    fn a_record_that_is_refused_alone_for_another_reason_is_impossible() {
        let mut refusals = Refusals::default();
        refusals.note(RECORD, Code::InvalidRecord, By::Broker);
        refusals.note(RECORD, Code::InvalidRecord, By::Broker);
        assert_eq!(refusals.attempt(RECORD), Attempt::Impossible(Code::InvalidRecord));
    }

    #[test]
    fn a_record_that_is_refused_with_the_clocks_time_too_is_impossible() {
        for by in [By::Client, By::Broker] {
            let mut refusals = Refusals::default();
            for _ in 0..3 {
                refusals.note(RECORD, Code::InvalidTimestamp, by);
            }
            assert_eq!(refusals.attempt(RECORD), Attempt::Impossible(Code::InvalidTimestamp));
        }
    }

    #[test]
    fn a_reply_that_is_refused_alone_goes_to_the_results_unchanged() {
        let mut refusals = Refusals::default();
        let mut refuse = |is_reply: bool| {
            if is_reply {
                refusals.note_reply(RECORD);
            }
            refusals.note(RECORD, Code::MessageSizeTooLarge, By::Broker);
            refusals.attempt(RECORD)
        };
        assert!(refuse(false).allows_reply());
        let attempt = refuse(true);
        assert!(!attempt.allows_reply());
        assert_eq!(attempt.fallback(&result()), Fallback::None);
        // The results may refuse it like any other.
        let fallback = refuse(false).fallback(&result());
        assert_eq!(fallback, Fallback::Smaller(Reason::ResultTooLarge, Truncation::Whole));
    }

    #[test]
    fn a_reply_whose_topic_refuses_the_clocks_time_too_goes_to_the_results_with_its_own() {
        let mut refusals = Refusals::default();
        for (uses_clock, allows_reply) in [(false, true), (true, true), (false, false)] {
            refusals.note(RECORD, Code::InvalidTimestamp, By::Broker);
            let attempt = refusals.attempt(RECORD);
            assert_eq!((attempt.uses_clock(), attempt.allows_reply()), (uses_clock, allows_reply));
            refusals.note_reply(RECORD);
        }
    }

    #[test]
    fn one_of_several_records_refused_in_a_batch_is_sent_alone_to_learn_why() {
        let mut refusals = Refusals::default();
        for code in [Code::InvalidRecord, Code::InvalidTimestamp] {
            refusals.note(RECORD, code, By::Broker);
        }
        assert!(refusals.attempt(RECORD).uses_clock());
    }

    #[test]
    fn a_refusal_is_forgotten_when_its_record_is_committed() {
        let mut refusals = Refusals::default();
        refusals.note(RECORD, Code::InvalidTimestamp, By::Client);
        refusals.note(OTHER, Code::InvalidTimestamp, By::Client);
        refusals.committed([Position { offset: 43, ..RECORD }].into_iter());
        assert_eq!(refusals.attempt(RECORD), Attempt::Normal);
        assert_ne!(refusals.attempt(OTHER), Attempt::Normal);
    }

    #[test]
    fn a_refusal_is_forgotten_when_its_partition_is_revoked() {
        let mut refusals = Refusals::default();
        refusals.note(RECORD, Code::InvalidTimestamp, By::Client);
        refusals.note(OTHER, Code::InvalidTimestamp, By::Client);
        refusals.revoked(&[3, 4]);
        assert_eq!(refusals.attempt(RECORD), Attempt::Normal);
        assert_ne!(refusals.attempt(OTHER), Attempt::Normal);
    }
}
