//! Where a record is.

use std::fmt;

/// A place in the requests topic: a record's own, or the one to read from next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "partition {} offset {}", self.partition, self.offset)
    }
}

impl From<(i32, i64)> for Position {
    fn from((partition, offset): (i32, i64)) -> Self {
        Self { partition, offset }
    }
}

impl From<Position> for (i32, i64) {
    fn from(position: Position) -> Self {
        (position.partition, position.offset)
    }
}
