//! From a record to its outcome, and from the outcome to the producer.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::{OpenEpoch, Processed};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::Outgoing;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::producer::Sent;
use crate::kafka::dlq::headers::Truncation;
use crate::kafka::stream::announce;
use crate::kafka::stream::refusals::{Attempt, Fallback};
use crate::pipeline::Position;
use crate::pipeline::timestamps::{Replaced, RequestTime, TimestampLimits};
use nik_wire::process::Outcome;

/// A record to process.
pub struct Input<'a> {
    pub record: &'a Record<'a>,
    pub position: Position,
    pub time: RequestTime,
}

impl<'a> Input<'a> {
    pub fn of(record: &'a Record<'a>, limits: &TimestampLimits, now_ms: i64) -> Self {
        Self { record, position: record.position(), time: limits.time(record.timestamp(), now_ms) }
    }
}

impl OpenEpoch {
    /// Notes that a record is being processed. The judge that is in force at an epoch's first
    /// record judges all of it.
    pub fn receive<'a>(&mut self, record: &'a Record<'a>) -> Input<'a> {
        if self.epoch.records() == 0 {
            self.shared.judge.refresh(&mut self.judge);
        }
        let input = Input::of(record, &self.judge.dating.timestamps, self.now_ms);
        self.unfinished = Some(input.position);
        if self.epoch.has_none_of(input.position.partition) {
            self.note_read(&input);
        }
        input
    }

    /// Whether outcomes of this partition can be routed; the worker pauses until they can.
    pub fn can_route(&mut self, partition: i32) -> bool {
        let can_route = self.shared.outputs.can_route(partition);
        if !can_route {
            self.unroutable = Some(partition);
        }
        can_route
    }

    /// Adds a record, whose outcome was handed to the producer, to the epoch.
    pub fn add(&mut self, input: &Input<'_>, outcome: &Outcome, attempt: Attempt) {
        let bytes = self.payload.len();
        self.epoch.add(input.position, input.time.plausible, bytes, outcome, self.now);
        self.epoch.count_explained(outcome, self.judge.processor.explained());
        self.note_timestamp(input, attempt);
        self.note_nik_in_key(input);
        self.note_sampled(input, outcome);
        self.unfinished = None;
    }

    /// Writes the outcome into `payload`: the record's own, or if that was refused a smaller one.
    pub fn transform(
        &mut self,
        input: &Input<'_>,
        attempt: Attempt,
    ) -> Result<(Outcome, Truncation), Fault> {
        let value = input.record.payload();
        let date = self.judge.dating.date(input.time);
        let outcome = self.judge.processor.process(value, date, &mut self.payload);
        if let Attempt::Impossible(code) = attempt {
            return Err(self.impossible(code, input.position, &outcome).into());
        }
        match attempt.fallback(&outcome) {
            Fallback::None => Ok((outcome, self.least_truncation())),
            Fallback::Smaller(reason, truncation) => {
                let truncation = truncation.max(self.least_truncation());
                let with_list = truncation < Truncation::WithoutList;
                let failure =
                    self.judge.processor.refuse(value, reason, with_list, &mut self.payload);
                Ok((failure, truncation))
            }
            Fallback::Exhausted => {
                let topic = self.shared.outputs.topics.failures.name.clone();
                let Position { partition, offset } = input.position;
                Err(Cause::FailureRefused { topic, partition, offset }.into())
            }
        }
    }

    /// What every dead letter leaves out.
    fn least_truncation(&self) -> Truncation {
        if self.judge.processor.privacy().failures_by_reference {
            Truncation::WithoutList
        } else {
            Truncation::Whole
        }
    }

    /// Counts a record whose key holds a NIK, if outcomes hold tokens: keys are copied as they are.
    fn note_nik_in_key(&mut self, input: &Input<'_>) {
        if self.judge.processor.privacy().tokens.is_some()
            && input.record.key().is_some_and(holds_nik)
        {
            self.epoch.note_nik_in_key();
        }
    }

    fn impossible(&self, code: Code, position: Position, outcome: &Outcome) -> Cause {
        let topics = &self.shared.outputs.topics;
        let topic = match outcome {
            Outcome::Result { .. } => &topics.results,
            Outcome::Failure { .. } => &topics.failures,
        };
        let topic = topic.name.clone();
        let Position { partition, offset } = position;
        match code {
            Code::InvalidTimestamp => Cause::ClockRefused { topic, partition, offset },
            _ => Cause::OutcomeInvalid { topic, partition, offset },
        }
    }

    /// Hands the outcome in `payload` to the producer.
    pub fn produce(
        &mut self,
        input: &Input<'_>,
        outcome: &Outcome,
        truncation: Truncation,
        attempt: Attempt,
    ) -> Result<Sent, Fault> {
        let record = input.record;
        let destination = self.shared.outputs.route(record, outcome, attempt.allows_reply());
        if destination.is_reply {
            self.refusals.note_reply(input.position);
        }
        let (bytes, limit) = (self.payload.len(), self.judge.processor.settings().result_bytes);
        let judged_by = self.judge.judged_by.as_deref();
        let headers = self.shared.headers.of(record, outcome, truncation, bytes, limit, judged_by);
        self.producer.send(Outgoing {
            topic: destination.topic,
            partition: destination.partition,
            key: record.key(),
            value: Some(&self.payload),
            timestamp: (!attempt.uses_clock()).then(|| input.time.outcome()),
            headers,
            tag: self.refusals.tag(input.position),
        })
    }

    /// Reports to the lag that a record was read and is not committed.
    fn note_read(&self, input: &Input<'_>) {
        let Position { partition, offset } = input.position;
        self.shared.telemetry.metrics.lag.taken(partition, offset, input.time.judged());
    }

    /// Counts and logs that an outcome does not carry the timestamp of its request.
    fn note_timestamp(&mut self, input: &Input<'_>, attempt: Attempt) {
        let refused = attempt.uses_clock().then_some(Replaced::Refused);
        if let Some(cause) = input.time.replaced.or(refused) {
            self.epoch.add_replaced(cause);
            let timestamp = input.record.timestamp();
            announce::timestamp_replaced(&self.shared, input.position, timestamp, cause);
        }
    }

    pub fn hold_back(&mut self, input: &Input<'_>) -> Processed {
        self.note_read(input);
        self.unfinished = None;
        Processed::HeldBack
    }
}

/// Whether these bytes hold a run of exactly 16 digits.
fn holds_nik(key: &[u8]) -> bool {
    key.split(|byte| !byte.is_ascii_digit()).any(|run| run.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::holds_nik;

    #[test]
    fn a_key_holds_a_nik_if_a_run_of_digits_has_exactly_sixteen() {
        for (key, expected) in [
            ("3273010101900001", true),
            ("customer-3273010101900001/2", true),
            ("1,3273010101900001", true),
            ("327301010190000", false),
            ("32730101019000011", false),
            ("32730101 01900001", false),
            ("", false),
        ] {
            assert_eq!(holds_nik(key.as_bytes()), expected, "{key}");
        }
        assert!(holds_nik(b"\xff3273010101900001\x00"), "a binary key");
    }
}
