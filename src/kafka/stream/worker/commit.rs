//! The steps of a commit: sent outcomes are acknowledged, the ledger gets its entries, and a
//! committed epoch is counted.

use std::time::Instant;

use super::OpenEpoch;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::refusal::{Refused, is_permanent};
use crate::kafka::stream::consumer::GroupConsumer;
use crate::kafka::stream::ledger;
use crate::telemetry::metrics::Committed;

/// What follows when the brokers are slow; the log messages about that end with it.
pub const SMALLER: &str = "the next epochs hold at most this many bytes of outcomes";

impl OpenEpoch {
    /// Waits until the broker has acknowledged every outcome, and every entry of the ledger. If it
    /// refused some, the epoch must be aborted; the refusals decide how these records are processed
    /// again.
    pub fn flush(&mut self) -> Result<(), Fault> {
        let refused = self.producer.flush()?;
        self.read_clock();
        let Some(first) = refused.first() else {
            return Ok(());
        };
        let is_entry = |it: &&Refused| it.tag == ledger::TAG && is_permanent(it.code);
        if let Some(entry) = refused.iter().find(is_entry) {
            return Err(Cause::EntryRefused(entry.code).into());
        }
        self.refusals.note_reports(&refused);
        Err(Cause::OutcomesRefused { count: refused.len(), first: first.code }.into())
    }

    /// Hands the epoch's positions to the producer, for the ledger.
    pub fn send_entries(&mut self, consumer: &GroupConsumer) -> Result<(), Fault> {
        if self.shared.outputs.ledger.is_none() {
            return Ok(());
        }
        let positions = consumer.with_metadata(self.epoch.positions());
        ledger::send_entries(&self.shared, &mut self.producer, positions, &mut self.payload)
    }

    /// Counts the committed epoch, and starts the next.
    pub fn committed(&mut self, started: Instant) {
        self.read_clock();
        self.last_duration = self.now - started;
        self.last_commit = self.now;
        self.aborts_in_a_row = 0;
        self.shared.telemetry.health.set_late(self.index, false);
        self.shared.telemetry.metrics.committed(&Committed {
            tally: self.epoch.tally(),
            timestamps: self.epoch.timestamps(),
            now_ms: self.now_ms,
            duration: self.last_duration,
        });
        if let Some(bytes) =
            self.shared.byte_limit.committed(self.epoch.bytes(), self.last_duration)
        {
            let seconds = self.last_duration.as_secs_f64();
            tracing::warn!(worker = self.index, seconds, bytes, "a commit was slow: {SMALLER}");
        }
        self.send_sampled();
        self.refusals.committed(self.epoch.positions());
        self.breaker.committed(self.epoch.tally());
        self.start_epoch();
    }

    pub fn start_epoch(&mut self) {
        self.epoch.clear();
        self.cadence.bytes = self.shared.byte_limit.get();
        self.sampled.clear();
        self.refusals.forget_tags();
    }
}
