//! The fast path for requests of the common shape: the list comes first and holds nothing but
//! strings of sixteen digits.
//!
//! `{"nik":["3273010101900001","3273014101900002"],"process":"limited"}`, without whitespace or
//! with a space after each colon and comma, as most JSON serializers write it. Requests of any
//! other shape are left to the general reader.

use super::{Process, Span};
use nik::{Digits, Nik};

/// The length of a NIK in bytes.
const NIK_BYTES: usize = 16;

/// The fixed parts of a request. Each layout is a type, so that comparisons have a constant length.
trait Layout {
    const START: &'static [u8];
    const SEPARATOR: &'static [u8];
    const LIMITED: &'static [u8];
    const FULL: &'static [u8];
    const EXPLAIN: &'static [u8];
}

struct Compact;

impl Layout for Compact {
    const START: &'static [u8] = br#"{"nik":[""#;
    const SEPARATOR: &'static [u8] = br#"",""#;
    const LIMITED: &'static [u8] = br#""],"process":"limited"}"#;
    const FULL: &'static [u8] = br#""],"process":"full"}"#;
    const EXPLAIN: &'static [u8] = br#""],"process":"explain"}"#;
}

struct Spaced;

impl Layout for Spaced {
    const START: &'static [u8] = br#"{"nik": [""#;
    const SEPARATOR: &'static [u8] = br#"", ""#;
    const LIMITED: &'static [u8] = br#""], "process": "limited"}"#;
    const FULL: &'static [u8] = br#""], "process": "full"}"#;
    const EXPLAIN: &'static [u8] = br#""], "process": "explain"}"#;
}

/// A request of the common shape.
#[derive(Clone, Copy)]
pub(super) struct FastPath {
    pub(super) process: Process,
    /// The `nik` array, brackets included.
    pub(super) niks: Span,
    pub(super) list: DigitList,
}

/// Strings of sixteen digits at equal distances.
#[derive(Clone, Copy)]
pub(super) struct DigitList {
    /// The offset of the first digit.
    first: usize,
    /// The distance in bytes from one first digit to the next.
    step: usize,
    pub(super) count: usize,
}

impl FastPath {
    /// Reads a whole request; `None` if it has another shape.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Self::read_as::<Compact>(bytes).or_else(|| Self::read_as::<Spaced>(bytes))
    }

    fn read_as<L: Layout>(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(L::START)?;
        let mut count = 0;
        let end = loop {
            let (digits, after) = rest.split_first_chunk::<NIK_BYTES>()?;
            Digits::read(digits)?;
            count += 1;
            let Some(next) = after.strip_prefix(L::SEPARATOR) else {
                break after;
            };
            rest = next;
        };
        let process = if end == L::LIMITED {
            Process::Limited
        } else if end == L::FULL {
            Process::Full
        } else if end == L::EXPLAIN {
            Process::Explain
        } else {
            return None;
        };
        let first = L::START.len();
        Some(Self {
            process,
            niks: Span::new(first - 2, bytes.len() - end.len() + 2),
            list: DigitList { first, step: NIK_BYTES + L::SEPARATOR.len(), count },
        })
    }
}

impl DigitList {
    /// The NIKs; `document` must be the one that was read.
    pub(super) fn niks(self, document: &str) -> impl Iterator<Item = Nik<'_>> {
        (0..self.count).map(move |index| {
            let at = self.first + index * self.step;
            let text = &document[at..at + NIK_BYTES];
            let digits = text.as_bytes().try_into().expect("sixteen bytes");
            Nik::of_digits(text, Digits::known(digits))
        })
    }
}
