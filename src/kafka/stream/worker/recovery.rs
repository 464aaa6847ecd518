//! The worker's exceptional paths: rebalances, aborted epochs, pauses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::commit::SMALLER;
use super::{OpenEpoch, Worker};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::stream::consumer::Rebalance;
use crate::telemetry::obstacle::Obstacle;

/// The pause after the first of several aborts in a row; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Worker {
    /// Pauses while the breaker is open or a record cannot be routed, after committing the open
    /// epoch, and resumes afterwards. A paused worker continues to poll, so it stays a member of
    /// the group and answers rebalances.
    pub fn pause_or_resume(&mut self) -> Result<(), Fault> {
        let pause = self.open.must_pause();
        if pause == self.consumer.is_paused() {
            return Ok(());
        }
        if pause {
            self.commit()?;
        }
        self.consumer.set_paused(pause)
    }

    /// Answers a rebalance, after committing the open epoch unless the assignment was lost.
    ///
    /// The rebalance has begun a new generation of the group, and the epoch's group metadata is of
    /// the old one. The group waits for this answer, so the partitions are still ours, and the
    /// epoch may be committed with current metadata. Nothing of a lost assignment may be committed,
    /// because another member may have read the same records.
    pub fn rebalance(&mut self, rebalance: &Rebalance) -> Result<(), Fault> {
        tracing::info!(worker = self.open.index, change = ?rebalance, "rebalance");
        let lost = matches!(rebalance, Rebalance::Revoked(_)) && self.consumer.assignment_lost();
        let committed = if lost {
            Err(Cause::AssignmentLost.into())
        } else {
            self.open.group_metadata = self.consumer.group_metadata().map(Arc::new);
            self.commit()
        };
        match committed {
            Ok(()) => {
                if let Rebalance::Assigned(_) = rebalance {
                    // A transaction of ours whose markers were skipped may keep the committed
                    // offsets of these partitions unstable.
                    self.open.producer.renew()?;
                }
                self.consumer.answer(rebalance)?;
            }
            Err(Fault::Abort(cause)) => {
                self.abort_transaction()?;
                self.consumer.answer(rebalance)?;
                // After a lost assignment the epoch may be empty.
                if !self.open.epoch.is_empty() {
                    self.abort_epoch(&cause)?;
                }
            }
            Err(fault) => return Err(fault),
        }
        self.open.unroutable = None; // it may be another worker's partition now
        if let Rebalance::Revoked(partitions) = rebalance {
            self.open.refusals.revoked(partitions);
        }
        self.open.set_joined(!lost);
        // So that the lag of the new partitions is known before the next statistics.
        self.open.shared.refresh_soon();
        Ok(())
    }

    /// Aborts the epoch if `done` is a fault that requires it; returns other faults.
    pub fn recover(&mut self, done: Result<(), Fault>) -> Result<(), Fault> {
        if done.as_ref().is_err_and(Fault::is_timeout) && !self.open.epoch.is_empty() {
            let OpenEpoch { index, shared, epoch, .. } = &self.open;
            let bytes = shared.byte_limit.timed_out(epoch.bytes());
            let (reason, runbook) =
                (Obstacle::SlowBrokers.label(), Obstacle::SlowBrokers.runbook());
            tracing::warn!(
                worker = index,
                bytes,
                reason,
                runbook,
                "the brokers take too long: {SMALLER}"
            );
            shared.telemetry.health.set_late(*index, true);
        }
        match done {
            Err(Fault::Abort(cause)) => {
                self.abort_transaction()?;
                self.abort_epoch(&cause)
            }
            done => done,
        }
    }

    fn abort_transaction(&mut self) -> Result<(), Fault> {
        // A refusal fails the transaction, and any later call may be the first to report it.
        let refused = self.open.producer.abort()?;
        self.open.refusals.note_reports(&refused);
        Ok(())
    }

    /// Seeks back to every record without a committed outcome, after the transaction was aborted.
    fn abort_epoch(&mut self, cause: &Cause) -> Result<(), Fault> {
        let Self { consumer, open } = self;
        open.shared.telemetry.metrics.fault(cause.label());
        tracing::warn!(
            worker = open.index,
            records = open.epoch.records(),
            cause = cause.label(),
            detail = %cause,
            "epoch aborted"
        );
        let unfinished = open.unfinished.take();
        let unfinished = unfinished.filter(|it| open.epoch.has_none_of(it.partition));
        consumer.seek(open.epoch.starts().chain(unfinished))?;
        // A refusal explains the abort: there is no broker failure to clean up after, and nothing to
        // wait for, as the records are sent in another way.
        let was_refused = open.refusals.take_news();
        if !was_refused {
            let outputs = &open.shared.outputs;
            let reach: BTreeSet<_> =
                open.epoch.starts().flat_map(|start| outputs.reach(start.partition)).collect();
            open.producer.settle_aborted(reach)?;
        }
        open.abandon_epoch();
        if !was_refused {
            let pause = SHORTEST_PAUSE * (1 << open.aborts_in_a_row.min(8));
            std::thread::sleep(pause.min(LONGEST_PAUSE));
            open.aborts_in_a_row += 1;
        }
        Ok(())
    }
}

impl OpenEpoch {
    fn must_pause(&mut self) -> bool {
        if let Some(partition) = self.unroutable {
            if self.shared.outputs.can_route(partition) {
                self.unroutable = None;
            } else {
                self.shared.refresh_soon();
            }
        }
        self.unroutable.is_some() || self.breaker.is_open()
    }

    /// Drops an epoch whose records will be processed again.
    pub fn abandon_epoch(&mut self) {
        if !self.epoch.is_empty() {
            self.shared.telemetry.metrics.aborts.inc();
        }
        self.breaker.aborted();
        self.start_epoch();
    }
}
