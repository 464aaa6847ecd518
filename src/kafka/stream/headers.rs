//! Which headers an outcome gets.

use crate::config::{DroppedHeaders, Settings};
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::{Headers, each_header};
use crate::kafka::dlq::headers::{self, Failure, Truncation};
use nik_wire::process::Outcome;
use nik_wire::{Detail, Framing};

/// Gives each outcome its headers.
pub struct OutcomeHeaders {
    /// The consumer group, which failures name.
    pub group: String,
    pub dropped: DroppedHeaders,
    /// How the requests are framed.
    pub framing: Framing,
}

impl OutcomeHeaders {
    pub fn new(settings: &Settings) -> Self {
        Self {
            group: settings.kafka.group_id.clone(),
            dropped: settings.topics.dropped_headers(),
            framing: settings.topics.framing(),
        }
    }

    /// The headers of the outcome of `record`, whose payload has `bytes`. A failure holds its
    /// request if both fit into `limit` bytes. `judged_by` is the value of `nik-judged-by`, if
    /// outcomes have that.
    pub fn of(
        &self,
        record: &Record<'_>,
        outcome: &Outcome,
        truncation: Truncation,
        bytes: usize,
        limit: usize,
        judged_by: Option<&str>,
    ) -> Option<Headers> {
        let headers = match *outcome {
            Outcome::Result { .. } if self.dropped.is_empty() => Headers::copy_of(record),
            Outcome::Result { .. } => Some(self.kept(record)),
            Outcome::Failure { reason, .. } => {
                let group = &self.group;
                let json = self.framing.json(record.payload().unwrap_or_default());
                let detail = Detail::of(json, reason);
                let failure = Failure { group, reason, detail, truncation, bytes, limit };
                Some(headers::headers(record, &failure, &self.dropped))
            }
        };
        match judged_by {
            Some(judged_by) => Some(headers::with_judged_by(headers, judged_by)),
            None => headers,
        }
    }

    /// Whether an audit compares this header of a request with that of its outcome.
    pub fn keeps(&self, name: &[u8]) -> bool {
        headers::is_passed_on(name) && !self.dropped.contains(name)
    }

    fn kept(&self, record: &Record<'_>) -> Headers {
        let mut kept = Headers::with_capacity(16);
        each_header(record, |name, value| {
            if !self.dropped.contains(name) {
                kept.push(name, value);
            }
        });
        kept
    }
}
