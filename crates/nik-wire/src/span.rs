//! A piece of a text, small enough to be passed on in registers.

use std::ops::Range;

/// Where a piece stands in a text of at most [`Span::REACH`] bytes.
///
/// Two 32-bit numbers, as every value, element and key is passed on several times: a
/// `Range<usize>` inside an enum travels through memory, and each such step costs more than the
/// scanning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The longest text: 4 GiB less a byte, twice what a Kafka record can hold.
    pub(super) const REACH: usize = u32::MAX as usize;

    /// The bytes from `start` to before `end`, of a text within reach.
    #[expect(clippy::cast_possible_truncation, reason = "within reach")]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes' places.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}
