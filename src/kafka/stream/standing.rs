//! Why a partition must not be read.

use std::fmt::{self, Display};

use crate::telemetry::obstacle::Obstacle;

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
    /// Its kind in the closed list.
    pub fn obstacle(&self) -> Obstacle {
        match self {
            Self::Corrupt { .. } => Obstacle::Corrupt,
            Self::Undecodable { .. } => Obstacle::Undecodable,
            Self::BeyondEnd { .. } => Obstacle::BeyondEnd,
            Self::Truncated { .. } => Obstacle::Truncated,
            Self::OffsetsJumpBack { .. } => Obstacle::OffsetsJumpBack,
            Self::AheadOfLedger { .. } => Obstacle::AheadOfLedger,
            Self::LedgerOtherTopic { .. } => Obstacle::LedgerOtherTopic,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_names_the_first_offset_that_is_not_read_and_its_difference_from_the_ledger() {
        for (reason, offset, difference) in [
            (Standing::Corrupt { offset: 7 }, 7, None),
            (Standing::Undecodable { offset: 7 }, 7, None),
            (Standing::Truncated { offset: 7 }, 7, None),
            (Standing::BeyondEnd { committed: 9, end: 7 }, 9, None),
            (Standing::OffsetsJumpBack { last: 9, offset: 7 }, 10, None),
            (Standing::AheadOfLedger { group: 9, ledger: 7 }, 7, Some("ahead")),
            (Standing::LedgerOtherTopic { group: 9, ledger: 7 }, 7, Some("other_topic")),
        ] {
            assert_eq!(reason.offset(), offset, "{reason}");
            assert_eq!(reason.ledger_difference(), difference, "{reason}");
        }
    }
}
