//! A text that can be read as a NIK, and its parts.

use core::fmt;

use super::Digits;

/// The length in characters of the area code, and of the birth date that follows it.
const PART: usize = 6;

/// A text that can be read as a NIK: it has at least 7 characters (Unicode scalar values), and the
/// 7th to the 12th, as far as they exist, are ASCII digits. [`assess`](super::assess()) decides
/// whether it is valid.
///
/// The digits are personal data: `Debug` hides them, there is no `Display`, and only
/// [`Nik::as_str`] returns them.
///
/// ```
/// use nik::Nik;
///
/// let nik = Nik::new("1234567891234567").unwrap();
/// assert_eq!(format!("{nik:?}"), "Nik(..)");
/// assert!(Nik::new("123456").is_none(), "too short to hold a gender");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nik<'a> {
    text: &'a str,
    /// The byte offset of the 7th character: 6 if the first six are ASCII.
    birth_at: usize,
    /// The digits if the text is 16 ASCII digits, as nearly all are: its parts need no more checks.
    digits: Option<Digits>,
}

impl<'a> Nik<'a> {
    /// Reads a text as a NIK; `None` if it cannot be read as one.
    pub fn new(text: &'a str) -> Option<Self> {
        if let Ok(sixteen) = text.as_bytes().try_into()
            && let Some(digits) = Digits::read(sixteen)
        {
            return Some(Self::of_digits(text, digits));
        }
        let birth_at = match text.as_bytes().first_chunk::<PART>() {
            Some(head) if head.is_ascii() && text.len() > PART => PART,
            _ => text.char_indices().nth(PART)?.0,
        };
        let nik = Self { text, birth_at, digits: None };
        nik.birth().iter().all(u8::is_ascii_digit).then_some(nik)
    }

    /// A NIK from a text of 16 ASCII digits that were read before; `digits` must be those of
    /// `text`.
    #[inline]
    pub fn of_digits(text: &'a str, digits: Digits) -> Self {
        Self { text, birth_at: PART, digits: Some(digits) }
    }

    /// The text of the NIK.
    pub fn as_str(&self) -> &'a str {
        self.text
    }

    /// The digits, if the whole text is 16 ASCII digits.
    #[inline]
    pub fn digits(&self) -> Option<Digits> {
        self.digits
    }

    /// The number that the first six characters write, 0 to 999,999; `None` unless all six are
    /// ASCII digits.
    #[inline]
    pub(super) fn area(&self) -> Option<u32> {
        if let Some(digits) = self.digits {
            return Some(digits.area());
        }
        let code: &[u8; PART] = self.text.as_bytes()[..self.birth_at].try_into().ok()?;
        let [province, regency, kecamatan] = pairs(*code);
        all_digits(code).then_some((province * 100 + regency) * 100 + kecamatan)
    }

    /// The 7th character as a number, 0 to 9.
    #[inline]
    pub(super) fn gender(&self) -> u8 {
        match self.digits {
            Some(digits) => digits.gender(),
            None => self.text.as_bytes()[self.birth_at] - b'0',
        }
    }

    /// Day, month and year from the 7th to the 12th character, each 0 to 99. `None` if there are
    /// fewer characters.
    #[inline]
    pub(super) fn birth_date(&self) -> Option<[u32; 3]> {
        match self.digits {
            Some(digits) => Some(digits.birth_date()),
            None => self.birth().try_into().ok().map(pairs),
        }
    }

    /// The 7th to the 12th character, as far as they exist: one to six ASCII digits.
    fn birth(&self) -> &'a [u8] {
        let rest = &self.text.as_bytes()[self.birth_at..];
        &rest[..rest.len().min(PART)]
    }

    /// Everything from the 13th character on; may be empty.
    pub(super) fn serial(&self) -> &'a str {
        // The birth date has one byte per character, because `new` found ASCII digits.
        self.text.get(self.birth_at + PART..).unwrap_or_default()
    }
}

/// Counts the digits instead of stopping at the first other byte, which compiles to fewer
/// instructions.
pub(super) fn all_digits<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().filter(|byte| byte.is_ascii_digit()).count() == N
}

/// Six digits as three numbers of two digits; other bytes give meaningless numbers.
fn pairs(digits: [u8; PART]) -> [u32; 3] {
    let digits = digits.map(|digit| u32::from(digit.wrapping_sub(b'0')));
    [0, 2, 4].map(|at| digits[at] * 10 + digits[at + 1])
}

impl fmt::Debug for Nik<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Nik(..)")
    }
}
