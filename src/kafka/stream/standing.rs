//! A partition that must not be read: why, and what an operator can do about it.

use std::fmt::{self, Display};

use super::shared::{Shared, Telemetry};
use super::start::Notice;
use super::tracks::{Change, Stands};

/// Why a partition is not read. The other partitions go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The batch at this offset has a wrong checksum.
    Corrupt { offset: i64 },
    /// The batch at this offset cannot be decompressed or parsed.
    Undecodable { offset: i64 },
    /// The committed offset is beyond the end of the log.
    BeyondEnd { committed: i64, end: i64 },
    /// The log was truncated below this position, and other records may have taken the place of
    /// those that were read.
    Truncated { offset: i64 },
    /// A record arrived whose offset is not above that of the record before it.
    OffsetsJumpBack { last: i64, offset: i64 },
    /// The group's position is beyond the ledger's: nobody answered the records in between, or the
    /// ledger lost entries.
    AheadOfLedger { group: i64, ledger: i64 },
    /// The ledger's entry belongs to another topic of the same name, and nothing shows to which
    /// topic the group's position belongs.
    LedgerOtherTopic { group: i64, ledger: i64 },
}

impl Standing {
    /// The name in metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "corrupt",
            Self::Undecodable { .. } => "undecodable",
            Self::BeyondEnd { .. } => "beyond_end",
            Self::Truncated { .. } => "truncated",
            Self::OffsetsJumpBack { .. } => "offsets_jump_back",
            Self::AheadOfLedger { .. } => "ahead_of_ledger",
            Self::LedgerOtherTopic { .. } => "ledger_other_topic",
        }
    }

    /// Whether records are there that cannot be read.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Undecodable { .. })
    }

    /// The first offset that is not read.
    pub fn offset(&self) -> i64 {
        match *self {
            Self::Corrupt { offset }
            | Self::Undecodable { offset }
            | Self::Truncated { offset } => offset,
            Self::BeyondEnd { committed, .. } => committed,
            Self::OffsetsJumpBack { last, .. } => last + 1,
            Self::AheadOfLedger { ledger, .. } | Self::LedgerOtherTopic { ledger, .. } => ledger,
        }
    }
}

impl Standing {
    /// The kind under which a difference between the group and the ledger is counted.
    pub fn ledger_difference(&self) -> Option<&'static str> {
        match self {
            Self::AheadOfLedger { .. } => Some("ahead"),
            Self::LedgerOtherTopic { .. } => Some("other_topic"),
            _ => None,
        }
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { offset } => {
                write!(f, "the batch at offset {offset} has a wrong checksum")
            }
            Self::Undecodable { offset } => {
                write!(f, "the batch at offset {offset} cannot be decoded")
            }
            Self::BeyondEnd { committed, end } => {
                write!(f, "the committed offset {committed} is beyond the end of the log, {end}")
            }
            Self::Truncated { offset } => {
                write!(f, "the log was truncated below the committed offset {offset}")
            }
            Self::OffsetsJumpBack { last, offset } => {
                write!(f, "offset {offset} came after offset {last}")
            }
            Self::AheadOfLedger { group, ledger } => {
                write!(f, "the group's position {group} is ahead of the ledger's, {ledger}")
            }
            Self::LedgerOtherTopic { group, ledger } => write!(
                f,
                "the ledger's position {ledger} belongs to another topic of this name, and nothing \
                 shows to which the group's, {group}, belongs"
            ),
        }
    }
}

/// What an operator reads about a standing partition: what is wrong, and the command that ends it.
fn sentence(topic: &str, stands: &Stands) -> String {
    let Stands { partition, reason, offset, readable_from } = stands;
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

/// Tells operators about changes, once each. Returns the partitions that are standing now.
pub fn announce(shared: &Shared, changes: &[Change]) -> Vec<i32> {
    let Telemetry { metrics, health, .. } = &shared.telemetry;
    let topic = &shared.outputs.topics.requests.name;
    let mut stopped = Vec::new();
    for change in changes {
        match change {
            Change::Stands(stands) => {
                let sentence = sentence(topic, stands);
                tracing::error!(
                    topic,
                    partition = stands.partition,
                    offset = stands.offset,
                    readable_from = stands.readable_from,
                    reason = stands.reason.label(),
                    "{sentence}"
                );
                if stands.reason.is_unreadable() {
                    metrics.unreadable_records.with_label_values(&[stands.reason.label()]).inc();
                }
                if let Some(kind) = stands.reason.ledger_difference() {
                    metrics.ledger_differences.with_label_values(&[kind]).inc();
                }
                let count = health.set_standing(stands.partition, Some(sentence));
                metrics.standing_partitions.set(count);
                stopped.push(stands.partition);
            }
            Change::Reads { partition } => {
                metrics.standing_partitions.set(health.set_standing(*partition, None));
                tracing::info!(topic, partition, "the partition is read again");
            }
        }
    }
    stopped
}

/// These partitions are not assigned to this process any more.
pub fn forget(telemetry: &Telemetry, partitions: &[i32]) {
    for &partition in partitions {
        let count = telemetry.health.set_standing(partition, None);
        telemetry.metrics.standing_partitions.set(count);
    }
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
                tracing::warn!(
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
    use super::*;

    #[test]
    fn the_sentence_names_the_partition_the_offset_and_the_command() {
        let stands = |reason: Standing, readable_from| {
            let offset = reason.offset();
            sentence("nik.requests", &Stands { partition: 3, reason, offset, readable_from })
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
