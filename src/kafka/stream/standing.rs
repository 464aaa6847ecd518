//! A partition that must not be read: why, and what an operator can do about it.

use std::fmt::{self, Display};

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
}

impl Standing {
    pub const LABELS: &[&str] =
        &["corrupt", "undecodable", "beyond_end", "truncated", "offsets_jump_back"];

    /// The name in metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "corrupt",
            Self::Undecodable { .. } => "undecodable",
            Self::BeyondEnd { .. } => "beyond_end",
            Self::Truncated { .. } => "truncated",
            Self::OffsetsJumpBack { .. } => "offsets_jump_back",
        }
    }

    /// The first offset that is not read.
    pub fn offset(&self) -> i64 {
        match *self {
            Self::Corrupt { offset }
            | Self::Undecodable { offset }
            | Self::Truncated { offset } => offset,
            Self::BeyondEnd { committed, .. } => committed,
            Self::OffsetsJumpBack { last, .. } => last + 1,
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_of_the_closed_list_of_labels() {
        let (offset, committed, end, last) = (1, 1, 0, 2);
        let all = [
            Standing::Corrupt { offset },
            Standing::Undecodable { offset },
            Standing::BeyondEnd { committed, end },
            Standing::Truncated { offset },
            Standing::OffsetsJumpBack { last, offset },
        ];
        assert_eq!(all.each_ref().map(Standing::label).as_slice(), Standing::LABELS);
    }
}
