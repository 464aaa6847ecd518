//! Tells operators about partitions that are not read, and about starts that differ from what the
//! group's committed offset says.

use std::time::Duration;

use super::shared::{Shared, Telemetry};
use super::start::Notice;
use super::tracks::{Change, StandingPartition};
use crate::pipeline::Position;
use crate::pipeline::timestamps::Replaced;
use crate::telemetry::health::{Health, PartitionTrouble};
use crate::telemetry::obstacle::{Obstacle, Problem};

/// How often a replaced timestamp is logged, for each cause. The metric counts all.
pub const REPLACED_WINDOW: Duration = Duration::from_mins(1);

/// What an operator reads about a standing partition: what is wrong, and the command that ends it.
fn sentence(topic: &str, standing: &StandingPartition) -> String {
    let StandingPartition { partition, reason, offset, readable_from } = standing;
    let what = format!("{topic} partition {partition} is not read: {reason}");
    if reason.is_unreadable() {
        let to = readable_from.map_or_else(|| "OFFSET".to_owned(), |offset| offset.to_string());
        format!("{what}; `nik-stream positions skip {partition}:{offset} --to {to}` skips it")
    } else if reason.ledger_difference().is_some() {
        format!(
            "{what}; `nik-stream positions accept {partition}` continues at the group's position, \
             `nik-stream positions set {partition}:OFFSET` at another"
        )
    } else {
        format!("{what}; `nik-stream positions set {partition}:OFFSET` continues at an offset")
    }
}

/// Tells operators about changes in partitions of `worker`, once each. Returns the partitions that
/// are standing now.
pub fn announce(shared: &Shared, worker: usize, changes: &[Change]) -> Vec<i32> {
    let Telemetry { metrics, health, .. } = &shared.telemetry;
    let topic = &shared.outputs.topics.requests.name;
    let mut stopped = Vec::new();
    for change in changes {
        match change {
            Change::Stands(standing) => {
                let sentence = sentence(topic, standing);
                let obstacle = standing.reason.obstacle();
                tracing::error!(
                    topic,
                    partition = standing.partition,
                    offset = standing.offset,
                    readable_from = standing.readable_from,
                    reason = obstacle.label(),
                    runbook = obstacle.runbook(),
                    "{sentence}"
                );
                if standing.reason.is_unreadable() {
                    metrics.unreadable_records.with_label_values(&[obstacle.label()]).inc();
                }
                if let Some(kind) = standing.reason.ledger_difference() {
                    metrics.ledger_differences.with_label_values(&[kind]).inc();
                }
                let problem = obstacle.problem(sentence);
                health.report(worker, standing.partition, PartitionTrouble::Stands, problem);
                metrics.lag.stands(standing.partition, Some(standing.offset));
                stopped.push(standing.partition);
            }
            Change::Reads { partition } => {
                health.withdraw(worker, *partition, PartitionTrouble::Stands);
                metrics.lag.stands(*partition, None);
                tracing::info!(topic, partition, "the partition is read again");
            }
        }
    }
    stopped
}

/// Tells operators that an open transaction hides a partition's position (`waits`) or only its
/// outcomes, and cannot be settled.
pub fn hidden(shared: &Shared, worker: usize, partition: i32, waits: bool) {
    let (topic, group) = (&shared.outputs.topics.requests.name, &shared.group);
    let (consequence, place) = if waits {
        ("is not read", format!("in {group}'s offsets or in the ledger of positions"))
    } else {
        (
            "is read, and readers do not see its outcomes",
            "in a partition that they go to".to_owned(),
        )
    };
    let sentence = format!(
        "{topic} partition {partition} {consequence}: a transaction is open {place}, its producer does \
         not end it, and it is unknown whether to commit or to abort it; \
         `kafka-transactions.sh find-hanging` shows it, `kafka-transactions.sh abort` ends it"
    );
    let problem = Obstacle::Hidden.problem(sentence);
    report(shared, worker, partition, PartitionTrouble::Hidden, problem);
}

/// Tells operators that a partition is not read because its position is not known: the brokers do
/// not answer what it depends on.
pub fn waits(shared: &Shared, worker: usize, partition: i32, unanswered: &str) {
    let topic = &shared.outputs.topics.requests.name;
    let sentence = format!(
        "{topic} partition {partition} is not read: the brokers do not say where it continues \
         (no answer yet: {unanswered})"
    );
    let problem = Obstacle::PositionUnknown.problem(sentence);
    report(shared, worker, partition, PartitionTrouble::Waits, problem);
}

/// Logs what is wrong with a partition, and reports it in readiness.
fn report(
    shared: &Shared,
    worker: usize,
    partition: i32,
    trouble: PartitionTrouble,
    problem: Problem,
) {
    let topic = &shared.outputs.topics.requests.name;
    let (reason, runbook) = (problem.obstacle.label(), problem.obstacle.runbook());
    tracing::error!(topic, partition, reason, runbook, "{problem}");
    shared.telemetry.health.report(worker, partition, trouble, problem);
}

/// Withdraws what operators were told about these partitions: they were revoked from `worker`.
pub fn forget(health: &Health, worker: usize, partitions: &[i32]) {
    for &partition in partitions {
        for trouble in PartitionTrouble::ALL {
            health.withdraw(worker, partition, trouble);
        }
    }
}

/// Logs that an outcome does not carry the `timestamp` of its request. A producer without
/// timestamps is not a fault, so that is only counted.
pub fn timestamp_replaced(
    shared: &Shared,
    position: Position,
    timestamp: Option<i64>,
    cause: Replaced,
) {
    if cause == Replaced::Missing || !shared.telemetry.replaced.allows(cause) {
        return;
    }
    let topic = &shared.outputs.topics.requests.name;
    let Position { partition, offset } = position;
    let why = match cause {
        Replaced::Past => "it is before rules.earliest_timestamp",
        Replaced::Future => "it is ahead of the clock",
        Replaced::Refused | Replaced::Missing => "the topic of the outcome refuses it",
    };
    tracing::warn!(
        topic,
        partition,
        offset,
        timestamp,
        cause = cause.label(),
        "a request's timestamp was replaced by the clock's: {why}"
    );
}

/// Logs, for audits, that an operator moved a position.
pub fn log_reset(shared: &Shared, partition: i32, from: i64, to: i64) {
    let topic = &shared.outputs.topics.requests.name;
    tracing::warn!(topic, partition, from, to, "the position was set by an operator");
}

/// Logs and counts what operators must know about a start.
pub fn log_notices(shared: &Shared, partition: i32, notices: &[Notice]) {
    let metrics = &shared.telemetry.metrics;
    let topic = &shared.outputs.topics.requests.name;
    for notice in notices {
        if let Some(kind) = notice.ledger_difference() {
            metrics.ledger_differences.with_label_values(&[kind]).inc();
        }
        match *notice {
            Notice::GroupBehind { group, own } => {
                tracing::error!(
                    topic,
                    partition,
                    group,
                    own,
                    "the group's committed offset is older than what this process committed; it continues from its own"
                );
            }
            Notice::OtherTopic { committed } => tracing::warn!(
                topic,
                partition,
                committed,
                "the topic was deleted and created again; it is read from its beginning"
            ),
            Notice::Adopted { group } => tracing::info!(
                topic,
                partition,
                group,
                "the ledger of positions has no entry yet; it takes over the group's position"
            ),
            Notice::BehindLedger { group, ledger } => tracing::error!(
                topic,
                partition,
                group,
                ledger,
                "the group's committed offset was lost or taken back; it continues from the ledger's"
            ),
            Notice::LedgerBehindOwn { ledger, own } => tracing::error!(
                topic,
                partition,
                ledger,
                own,
                "the ledger's position is older than what this process committed; it continues from its own"
            ),
            Notice::LedgerOtherTopic { ledger } => tracing::warn!(
                topic,
                partition,
                ledger,
                "the ledger's position belongs to another topic of this name and is ignored"
            ),
            Notice::LostToRetention { from, to } => {
                let records = u64::try_from(to - from).unwrap_or(0);
                metrics.unreadable_records.with_label_values(&["out_of_range"]).inc_by(records);
                tracing::error!(
                    topic,
                    partition,
                    from,
                    to,
                    "retention deleted records before they were read; it continues at the beginning"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::standing::Standing;
    use super::*;

    #[test]
    fn the_sentence_names_the_partition_the_offset_and_the_command() {
        let stands = |reason: Standing, readable_from| {
            let offset = reason.offset();
            sentence(
                "nik.requests",
                &StandingPartition { partition: 3, reason, offset, readable_from },
            )
        };
        let corrupt = stands(Standing::Corrupt { offset: 7 }, Some(9));
        assert_eq!(
            corrupt,
            "nik.requests partition 3 is not read: the batch at offset 7 has a wrong checksum; \
             `nik-stream positions skip 3:7 --to 9` skips it"
        );
        assert!(stands(Standing::Undecodable { offset: 7 }, None).contains("skip 3:7 --to OFFSET"));
        let beyond = stands(Standing::BeyondEnd { committed: 9, end: 7 }, None);
        assert!(beyond.contains("offset 9") && beyond.contains("positions set 3:OFFSET"));
    }
}
