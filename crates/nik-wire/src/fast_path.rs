//! The shape that nearly every request has: the list first, and in it nothing but texts of sixteen digits.
//!
//! `{"nik":["3273010101900001","3273014101900002"],"process":"limited"}`, as most writers of JSON put it: without any
//! whitespace, or with a space behind each colon and comma. Such a request is read at a fraction of the cost; what is of any
//! other shape is no worse for it and left to the general reader.

use super::{Process, Span};
use nik::{Digits, Nik};

/// Characters of a NIK.
const SIXTEEN: usize = 16;

/// A way to put down a request. A type for each: what is compared is then of a known length.
trait Style {
    const HEAD: &'static [u8];
    const BETWEEN: &'static [u8];
    const LIMITED: &'static [u8];
    const FULL: &'static [u8];
}

struct Compact;

impl Style for Compact {
    const HEAD: &'static [u8] = br#"{"nik":[""#;
    const BETWEEN: &'static [u8] = br#"",""#;
    const LIMITED: &'static [u8] = br#""],"process":"limited"}"#;
    const FULL: &'static [u8] = br#""],"process":"full"}"#;
}

struct Spaced;

impl Style for Spaced {
    const HEAD: &'static [u8] = br#"{"nik": [""#;
    const BETWEEN: &'static [u8] = br#"", ""#;
    const LIMITED: &'static [u8] = br#""], "process": "limited"}"#;
    const FULL: &'static [u8] = br#""], "process": "full"}"#;
}

/// A request of the usual shape.
#[derive(Clone, Copy)]
pub(super) struct FastPath {
    pub(super) process: Process,
    /// Where its `nik` array stands.
    pub(super) niks: Span,
    pub(super) row: DigitList,
}

/// Texts of sixteen digits, at equal distances.
#[derive(Clone, Copy)]
pub(super) struct DigitList {
    /// Where the first digit stands.
    first: usize,
    /// From one first digit to the next.
    step: usize,
    /// How many texts.
    pub(super) count: usize,
}

impl FastPath {
    /// Reads a request whole; `None` if it has another shape.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Self::of_style::<Compact>(bytes).or_else(|| Self::of_style::<Spaced>(bytes))
    }

    fn of_style<S: Style>(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(S::HEAD)?;
        let mut count = 0;
        let end = loop {
            let (digits, behind) = rest.split_first_chunk::<SIXTEEN>()?;
            Digits::read(digits)?;
            count += 1;
            let Some(next) = behind.strip_prefix(S::BETWEEN) else {
                break behind;
            };
            rest = next;
        };
        let process = if end == S::LIMITED {
            Process::Limited
        } else if end == S::FULL {
            Process::Full
        } else {
            return None;
        };
        let first = S::HEAD.len();
        Some(Self {
            process,
            niks: Span::new(first - 2, bytes.len() - end.len() + 2),
            row: DigitList { first, step: SIXTEEN + S::BETWEEN.len(), count },
        })
    }
}

impl DigitList {
    /// The NIKs, of the document that was read.
    pub(super) fn niks(self, document: &str) -> impl Iterator<Item = Nik<'_>> {
        (0..self.count).map(move |index| {
            let at = self.first + index * self.step;
            let text = &document[at..at + SIXTEEN];
            let digits = text.as_bytes().try_into().expect("sixteen bytes");
            Nik::of_digits(text, Digits::known(digits))
        })
    }
}
