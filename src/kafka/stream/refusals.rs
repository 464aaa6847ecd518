//! Records whose outcomes a broker refused, and what is tried instead when their epoch is processed again.

use std::collections::HashMap;

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::client::refusal::{Refused, is_for_good};
use crate::kafka::dlq::headers::Truncation;
use nik_wire::Reason;
use nik_wire::process::Outcome;

/// A record's place in the requests: partition and offset.
pub type Place = (i32, i64);

/// What became of a result that was to go to a topic for replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    /// It was none, or not sent alone.
    #[default]
    No,
    /// It was sent there alone: a refusal is that topic's.
    Sent,
    /// That topic refused it: it goes to the results.
    Refused,
}

/// What is tried with a record that was refused. It is sent alone, so that a refusal concerns no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Its timestamp was refused: the clock's instead.
    pub clock: bool,
    /// How often its size was refused.
    shrunk: u8,
    pub reply: Reply,
    /// It was refused alone, and not for its size or timestamp: nothing that could be changed would help.
    invalid: bool,
}

/// What is sent instead of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The outcome itself.
    Nothing,
    /// A smaller failure.
    Smaller(Reason, Truncation),
    /// Nothing smaller is left.
    Exhausted,
    /// The topic takes no such record, whatever its size.
    Invalid,
}

impl Refusal {
    /// What is sent instead of `outcome`.
    pub fn instead(self, outcome: &Outcome) -> Fallback {
        let (reason, steps) = match *outcome {
            _ if self.invalid => return Fallback::Invalid,
            _ if self.shrunk == 0 => return Fallback::Nothing,
            Outcome::Result { .. } => (Reason::ResultTooLarge, self.shrunk - 1),
            Outcome::Failure { reason, .. } => (reason, self.shrunk),
        };
        Truncation::after(steps).map_or(Fallback::Exhausted, |cut| Fallback::Smaller(reason, cut))
    }

    fn escalate(&mut self, code: Code) {
        match code {
            // (A topic for replies may refuse the clock's time, too.)
            Code::InvalidTimestamp if !self.clock || self.reply != Reply::Sent => self.clock = true,
            _ if self.reply == Reply::Sent => {
                self.reply = Reply::Refused;
                self.clock = false; // the results may take its own time
            }
            Code::MessageSizeTooLarge => self.shrunk = self.shrunk.saturating_add(1),
            _ => self.invalid = true,
        }
    }
}

/// The exceptions among the records that are to come again: next to always none.
#[derive(Debug, Default)]
pub struct RefusedRecords(HashMap<Place, Refusal>);

impl RefusedRecords {
    /// Whether no record is known to be refused.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is known of a record.
    pub fn of(&self, place: Place) -> Option<Refusal> {
        self.0.get(&place).copied()
    }

    /// Notes that a record which is sent alone goes to a topic for replies.
    pub fn sent_as_reply(&mut self, place: Place) {
        if let Some(exception) = self.0.get_mut(&place) {
            exception.reply = Reply::Sent;
        }
    }

    /// Notes the client's own refusal: it concerns this record without doubt.
    pub fn refused_here(&mut self, place: Place, code: Code) {
        self.0.entry(place).or_default().escalate(code);
    }

    /// Notes a broker's refusal. A record's first may be a neighbour's of the same batch; from then on it is sent alone,
    /// so that its second is its own.
    pub fn refused_there(&mut self, refused: Refused) {
        if is_for_good(refused.code) {
            self.0
                .entry(untag(refused.tag))
                .and_modify(|exception| exception.escalate(refused.code))
                .or_default();
        }
    }

    /// Forgets the records before `positions`: they are committed.
    pub fn committed(&mut self, positions: impl Iterator<Item = Place>) {
        if !self.0.is_empty() {
            let next: HashMap<i32, i64> = positions.collect();
            self.0.retain(|(partition, offset), _| {
                next.get(partition).is_none_or(|next| offset >= next)
            });
        }
    }

    /// Forgets the records of `partitions`: they go to another worker, or come again as new ones.
    pub fn revoked(&mut self, partitions: &[i32]) {
        self.0.retain(|(partition, _), _| !partitions.contains(partition));
    }
}

const OFFSET_BITS: u32 = 48;

/// A record's place as one number: 16 bits of partition, 48 of offset.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are not negative, and usize has 64 bits"
)]
pub fn tag((partition, offset): Place) -> usize {
    const { assert!(usize::BITS == 64, "a record's place is packed into 64 bits") };
    (partition as usize) << OFFSET_BITS | (offset as usize & ((1 << OFFSET_BITS) - 1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "the inverse of `tag`"
)]
fn untag(tag: usize) -> Place {
    ((tag >> OFFSET_BITS) as i32, (tag & ((1 << OFFSET_BITS) - 1)) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nik::Summary;
    use nik_wire::Process;

    fn result() -> Outcome {
        Outcome::Result { process: Process::Full, summary: Summary::default() }
    }

    const FAILURE: Outcome = Outcome::Failure { reason: Reason::TooManyNiks, process: None };

    #[test]
    fn a_records_place_survives_the_way_through_a_delivery_report() {
        for place in [(0, 0), (3, 42), (65_535, (1 << 48) - 1)] {
            assert_eq!(untag(tag(place)), place);
        }
    }

    #[test]
    fn the_first_refusal_by_a_broker_only_sends_a_record_alone() {
        let mut exceptions = RefusedRecords::default();
        let refused = Refused { tag: tag((3, 42)), code: Code::MessageSizeTooLarge };
        exceptions.refused_there(refused);
        assert_eq!(exceptions.of((3, 42)).unwrap().instead(&result()), Fallback::Nothing);
        exceptions.refused_there(refused);
        let instead = exceptions.of((3, 42)).unwrap().instead(&result());
        assert_eq!(instead, Fallback::Smaller(Reason::ResultTooLarge, Truncation::Whole));
        assert_eq!(exceptions.of((3, 43)), None);
    }

    #[test]
    fn a_failure_that_is_refused_loses_its_original_its_list_and_its_own_headers_in_turn() {
        let mut exceptions = RefusedRecords::default();
        let mut next = || {
            exceptions.refused_here((3, 42), Code::MessageSizeTooLarge);
            exceptions.of((3, 42)).unwrap().instead(&FAILURE)
        };
        for cut in
            [Truncation::WithoutOriginal, Truncation::WithoutList, Truncation::WithoutOwnHeaders]
        {
            assert_eq!(next(), Fallback::Smaller(Reason::TooManyNiks, cut));
        }
        assert_eq!(next(), Fallback::Exhausted);
    }

    #[test]
    fn a_refused_timestamp_becomes_the_clocks_and_the_outcome_stays() {
        let mut exceptions = RefusedRecords::default();
        exceptions.refused_here((3, 42), Code::InvalidTimestamp);
        let exception = exceptions.of((3, 42)).unwrap();
        assert!(exception.clock);
        assert_eq!(exception.instead(&result()), Fallback::Nothing);
    }

    #[test]
    fn a_reply_that_is_refused_alone_goes_to_the_results_as_it_is() {
        let mut exceptions = RefusedRecords::default();
        let refused = Refused { tag: tag((3, 42)), code: Code::MessageSizeTooLarge };
        exceptions.refused_there(refused);
        exceptions.sent_as_reply((3, 42));
        exceptions.refused_there(refused);
        let exception = exceptions.of((3, 42)).unwrap();
        assert_eq!(exception.reply, Reply::Refused);
        assert_eq!(exception.instead(&result()), Fallback::Nothing);
        // There it is refused like any other.
        exceptions.refused_there(refused);
        let instead = exceptions.of((3, 42)).unwrap().instead(&result());
        assert_eq!(instead, Fallback::Smaller(Reason::ResultTooLarge, Truncation::Whole));
    }

    #[test]
    fn a_reply_whose_topic_refuses_the_clocks_time_too_goes_to_the_results_with_its_own() {
        let mut exceptions = RefusedRecords::default();
        for next in [(false, Reply::No), (true, Reply::Sent), (false, Reply::Refused)] {
            exceptions.refused_there(Refused { tag: tag((3, 42)), code: Code::InvalidTimestamp });
            let exception = exceptions.of((3, 42)).unwrap();
            assert_eq!((exception.clock, exception.reply), next);
            exceptions.sent_as_reply((3, 42));
        }
    }

    #[test]
    fn one_of_several_refused_in_a_batch_is_sent_alone_to_be_told_why() {
        let mut exceptions = RefusedRecords::default();
        for code in [Code::InvalidRecord, Code::InvalidTimestamp] {
            let tag = tag((3, 42));
            exceptions.refused_there(Refused { tag, code });
        }
        assert!(exceptions.of((3, 42)).unwrap().clock);
    }

    #[test]
    fn exceptions_end_with_the_commit_of_their_record() {
        let mut exceptions = RefusedRecords::default();
        exceptions.refused_here((3, 42), Code::InvalidTimestamp);
        exceptions.refused_here((5, 7), Code::InvalidTimestamp);
        exceptions.committed([(3, 43)].into_iter());
        assert_eq!(exceptions.of((3, 42)), None);
        assert!(exceptions.of((5, 7)).is_some());
    }

    #[test]
    fn exceptions_end_with_the_assignment_of_their_partition() {
        let mut exceptions = RefusedRecords::default();
        exceptions.refused_here((3, 42), Code::InvalidTimestamp);
        exceptions.refused_here((5, 7), Code::InvalidTimestamp);
        exceptions.revoked(&[3, 4]);
        assert_eq!(exceptions.of((3, 42)), None);
        assert!(exceptions.of((5, 7)).is_some());
    }
}
