//! Counters of answered requests by outcome, process and reason, for the stream and for HTTP.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Registry};

use super::{counters, register};
use crate::pipeline::epoch::Tally;
use nik_wire::process::Outcome;
use nik_wire::{Process, Reason};

pub(super) struct Requests {
    results: [IntCounter; Process::ALL.len()],
    failures: [IntCounter; Process::ALL.len()],
    unread: IntCounter,
    reasons: [IntCounter; Reason::ALL.len()],
}

impl Requests {
    /// `requests` has the labels `outcome` and `process`, `reasons` has the label `reason`.
    pub(super) fn new(requests: &IntCounterVec, reasons: &IntCounterVec) -> Self {
        let request = |outcome, process| requests.with_label_values(&[outcome, process]);
        Self {
            results: Process::ALL.map(|process| request("result", process.as_str())),
            failures: Process::ALL.map(|process| request("failure", process.as_str())),
            unread: request("failure", "none"),
            reasons: Reason::ALL.map(|reason| reasons.with_label_values(&[reason.as_str()])),
        }
    }

    pub(super) fn add(&self, tally: &Tally) {
        let add = |counters: &[IntCounter], counts: &[u64]| {
            for (counter, &count) in counters.iter().zip(counts) {
                counter.inc_by(count);
            }
        };
        add(&self.results, &tally.results);
        add(&self.failures, &tally.failures);
        self.unread.inc_by(tally.unread);
        add(&self.reasons, &tally.reasons);
    }
}

/// The statuses of [`ApiRequests::refused`], each of which is exported from the start at 0.
const REFUSALS: [u16; 4] = [400, 408, 415, 503];

/// Requests over HTTP. They are counted apart from those of the stream, since no consumer of the
/// topics can see them.
pub struct ApiRequests {
    requests: Requests,
    refused: IntCounterVec,
    duration: Histogram,
}

impl ApiRequests {
    pub(super) fn new(registry: &Registry) -> Self {
        let seconds = vec![0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
        let duration = HistogramOpts::new(
            "nik_api_duration_seconds",
            "Seconds from a fully received HTTP request to its response.",
        );
        let refused = counters(
            registry,
            "nik_api_refused_total",
            "HTTP requests refused without validation, by response status.",
            &["status"],
        );
        for status in REFUSALS {
            refused.with_label_values(&[&status.to_string()]);
        }
        Self {
            requests: Requests::new(
                &counters(
                    registry,
                    "nik_api_requests_total",
                    "HTTP requests answered, by outcome and requested process.",
                    &["outcome", "process"],
                ),
                &counters(
                    registry,
                    "nik_api_failures_total",
                    "HTTP requests answered with a failure, by reason.",
                    &["reason"],
                ),
            ),
            refused,
            duration: register(registry, Histogram::with_opts(duration.buckets(seconds))),
        }
    }

    pub fn answered(&self, outcome: &Outcome, duration: Duration) {
        let mut tally = Tally::default();
        tally.add(outcome);
        self.requests.add(&tally);
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts a request that was refused without validation.
    pub fn refused(&self, status: u16) {
        self.refused.with_label_values(&[&status.to_string()]).inc();
    }
}
