//! The sweep: ends what an aborted transaction may have left in the output topics.
//!
//! If a partition has no leader, the transaction coordinator treats it as deleted: it skips the
//! abort marker and completes the transaction (Kafka 4.3.1, `TransactionMarkerChannelManager`:
//! "likely deleted already"). The producer's next transaction would commit what the aborted one
//! left there, and the group's positions would never become stable. The sweep is another
//! transaction that reaches the same partitions and is aborted: its markers end both.

use std::collections::BTreeSet;

use super::shared::Shared;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{GroupMetadata, Offsets, Outgoing};
use crate::kafka::client::producer::{OutputProducer, Sent};
use crate::pipeline::Position;

/// The first positions of an aborted epoch whose outcomes have not been swept yet.
#[derive(Debug, Default)]
pub struct Unswept(Vec<Position>);

impl Unswept {
    /// Records that the producer's last transaction was not committed, if it needs a sweep: the
    /// brokers received some of its records, and its commit is not in doubt.
    ///
    /// If they received nothing, it is the transaction before that may lack markers. That one may
    /// have been committed; the next commit completes it, and a sweep would discard its outcomes.
    /// (Received records show that the coordinator has finished the transaction before. If it
    /// skipped markers of that one, the abort itself may already have discarded its outcomes.)
    pub fn add(&mut self, producer: &OutputProducer, starts: impl Iterator<Item = Position>) {
        // After a sweep that failed, its positions are still here.
        if self.0.is_empty() && producer.reached_brokers() {
            self.0.extend(starts);
        }
    }

    /// Sweeps all partitions that may hold outcomes of the recorded epoch.
    pub fn sweep(&mut self, shared: &Shared, producer: &mut OutputProducer) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let outputs = &shared.outputs;
        let reach: BTreeSet<_> =
            self.0.iter().flat_map(|start| outputs.reach(start.partition)).collect();
        for (topic, partition) in reach {
            let sent = producer.send(Outgoing {
                topic,
                partition: Some(partition),
                key: Some(b"aborted"), // a compacted topic refuses records without a key
                value: Some(b""),
                timestamp: None,
                headers: None,
                tag: 0,
            })?;
            if let Sent::Refused(code) = sent {
                return Err(Cause::SweepRefused(code).into());
            }
        }
        if let Some(refused) = producer.flush()?.first() {
            return Err(Cause::SweepRefused(refused.code).into());
        }
        let positions = Offsets::new(outputs.topics.requests.c_name(), self.0.iter().copied());
        let group = GroupMetadata::without_members(&shared.group_c);
        match producer.send_offsets(positions, group) {
            // Even if they are refused, the group's offsets partition is part of the transaction.
            Ok(()) | Err(Fault::Abort(_)) => producer.abort()?,
            Err(fault) => return Err(fault),
        };
        self.0.clear();
        Ok(())
    }
}
