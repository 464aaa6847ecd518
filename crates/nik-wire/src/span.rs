//! A range of a document, small enough to be passed in registers.

use std::ops::Range;

/// A byte range in a document of at most [`Span::MAX_DOCUMENT`] bytes.
///
/// It is two 32-bit numbers, because every value, element and key is passed on several times: a
/// `Range<usize>` inside an enum goes through memory, which costs more than the scanning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// 4 GiB less one byte, twice the largest Kafka record.
    pub(super) const MAX_DOCUMENT: usize = u32::MAX as usize;

    #[expect(clippy::cast_possible_truncation, reason = "at most MAX_DOCUMENT")]
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}
