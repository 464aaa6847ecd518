//! What a worker does beside its loop: it follows changes of the assignment, gives epochs up, heeds the breaker.

use std::time::Duration;

use super::{OpenBatch, Worker};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::stream::assignment::Change;

/// The longest pause between two epochs that were given up one after the other.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Worker {
    /// Pauses while the breaker is open, with all committed that has an outcome, and goes on when it is not. A paused worker
    /// goes on polling: it stays a member of the group and follows its changes.
    pub fn heed_breaker(&mut self) -> Result<(), Fault> {
        let open = self.batch.shared.breaker.is_open();
        if open == self.source.is_paused() {
            return Ok(());
        }
        if open {
            self.commit()?;
        }
        self.source.set_paused(open)
    }

    /// Follows a change of the assignment: first commits what was done, unless the partitions were lost already.
    ///
    /// A new assignment begins a new generation of the group, which the membership taken before the epoch is not of. What
    /// was read since then is still ours, as the group waits for this answer, so the membership is taken anew. Of a lost
    /// assignment nothing may be committed: another member may have read the same records.
    pub fn rebalance(&mut self, change: &Change) -> Result<(), Fault> {
        tracing::info!(worker = self.batch.index, ?change, "the group changes the assignment");
        let lost = matches!(change, Change::Revoked(_)) && self.source.lost();
        let committed = if lost {
            Err(Cause::AssignmentLost.into())
        } else {
            self.batch.membership = self.source.membership();
            self.commit()
        };
        match committed {
            Ok(()) => self.source.follow(change)?,
            Err(Fault::Abort(cause)) => self.give_up(&cause, Some(change))?,
            Err(fault) => return Err(fault),
        }
        if let Change::Revoked(partitions) = change {
            self.batch.exceptions.revoked(partitions);
        }
        self.batch.shared.health.set_joined(self.batch.index, !lost);
        // How far behind the new partitions are shows at once, not when librdkafka tells next.
        self.batch.shared.counts.look_soon();
        Ok(())
    }

    /// Gives the epoch up and goes back to its first records, as far as they stay with this worker after `change`.
    pub fn give_up(&mut self, cause: &Cause, change: Option<&Change>) -> Result<(), Fault> {
        let Self { source, batch } = self;
        // A refusal ends the transaction, and whichever call comes next may be the one to notice.
        for refused in batch.sink.abort()? {
            batch.exceptions.refused_there(refused);
        }
        if let Some(change) = change {
            source.follow(change)?;
        }
        // A rebalance may find nothing to give up. Else a record could not be sent, even as the first of its epoch: it is told, and not
        // tried again at once.
        if change.is_none() || !batch.epoch.is_empty() {
            batch.shared.metrics.fault(cause.label());
            tracing::warn!(
                worker = batch.index,
                records = batch.epoch.records(),
                cause = cause.label(),
                detail = %cause,
                "epoch given up"
            );
            source.rewind(batch.epoch.starts())?;
            if batch.exceptions.is_empty() && batch.sink.needs_sweep() {
                let starts: Vec<_> = batch.epoch.starts().collect();
                batch.shared.sweep(&mut batch.sink, &starts)?;
            }
            batch.drop_epoch();
            std::thread::sleep(
                (Duration::from_millis(10) * (1 << batch.given_up_in_a_row.min(8)))
                    .min(LONGEST_PAUSE),
            );
            batch.given_up_in_a_row += 1;
        }
        Ok(())
    }
}

impl OpenBatch {
    /// Drops an epoch whose records will come again: to the breaker its failures are none.
    pub fn drop_epoch(&mut self) {
        if !self.epoch.is_empty() {
            self.shared.metrics.aborts.inc();
        }
        let failures = usize::try_from(self.epoch.tally().failed()).unwrap_or(usize::MAX);
        self.shared.breaker.take_back(failures);
        self.clear();
    }
}
