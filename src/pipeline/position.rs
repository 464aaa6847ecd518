//! A partition and an offset in it.

use std::fmt;
use std::str::FromStr;

/// The position of a record in its topic, or of the next record to read; written
/// `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.partition, self.offset)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected PARTITION:OFFSET as `nik-stream dlq list --each` prints it, such as 3:42")]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (partition, offset) = text.split_once(':').ok_or(InvalidPosition)?;
        let partition = partition.parse().map_err(|_| InvalidPosition)?;
        let offset = offset.parse().map_err(|_| InvalidPosition)?;
        if partition < 0 || offset < 0 {
            return Err(InvalidPosition);
        }
        Ok(Self { partition, offset })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_written_as_partition_and_offset() {
        let position: Position = "3:42".parse().unwrap();
        assert_eq!(position, Position { partition: 3, offset: 42 });
        assert_eq!(position.to_string(), "3:42");
        assert_eq!(<(i32, i64)>::from(position), (3, 42));
        assert_eq!("0:0".parse::<Position>().unwrap(), Position::from((0, 0)));
        for text in ["", "3", "3:", ":42", "3:x", "-3:42", "3:-42", "3:42:1"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
