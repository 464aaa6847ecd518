//! The code of a region: two digits per level. A NIK starts with the six digits of a kecamatan.
//!
//! Source: Permendagri 58/2021 and its successors list the codes as `PP.RR.KK`; PP 40/2019 art. 30
//! puts the code of the place of first registration into the NIK.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

crate::named! {
    /// A level of the tree of regions. The names are those in metrics and in the manifest.
    pub enum Level {
        /// A province: two digits.
        Province = "province",
        /// A regency (kabupaten) or city (kota): four digits.
        Regency = "regency",
        /// A kecamatan (district; `distrik` in Papua): six digits.
        Kecamatan = "kecamatan",
    }
}

impl Level {
    /// The number of digits of a code of this level.
    pub const fn digits(self) -> usize {
        match self {
            Self::Province => 2,
            Self::Regency => 4,
            Self::Kecamatan => 6,
        }
    }

    /// The factor that pads the number of a code of this level to six digits.
    const fn unit(self) -> u32 {
        match self {
            Self::Province => 10_000,
            Self::Regency => 100,
            Self::Kecamatan => 1,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A well-formed code; it need not exist in the tables.
///
/// Codes are ordered like their texts, `11` < `1101` < `110101` < `1102`: the order of the tables.
///
/// ```
/// use nik::region::{Code, Level};
///
/// let code: Code = "32.73.01".parse()?;
/// assert_eq!(code.to_string(), "327301");
/// assert_eq!(code.level(), Level::Kecamatan);
/// assert_eq!(code.parent().map(|regency| regency.to_string()), Some("3273".to_owned()));
/// # Ok::<(), nik::region::CodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// The number padded with zeros to six digits. It is the first field because the derived order
    /// compares it first.
    padded: u32,
    level: Level,
}

/// The error of parsing a [`Code`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"
)]
pub struct CodeError {
    /// The text that is not a code.
    pub text: String,
}

impl Code {
    /// Reads 2, 4 or 6 ASCII digits without dots, the notation of the tables.
    pub fn from_digits(text: &str) -> Option<Self> {
        let level = Level::ALL.into_iter().find(|level| level.digits() == text.len())?;
        let number = text.bytes().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })?;
        Some(Self { padded: number * level.unit(), level })
    }

    /// The code of a kecamatan from its number, which must be below a million.
    pub(crate) const fn of_kecamatan(number: u32) -> Self {
        Self { padded: number, level: Level::Kecamatan }
    }

    /// Whether this is `region` or a code below it: its digits begin with those of `region`.
    pub fn is_within(self, region: Self) -> bool {
        self.level >= region.level && self.padded / region.level.unit() == region.number()
    }

    /// The level of the code.
    pub const fn level(self) -> Level {
        self.level
    }

    /// The code as a number of 2, 4 or 6 digits. [`Regions::find`](super::Regions::find) takes the
    /// number of a kecamatan.
    pub const fn number(self) -> u32 {
        self.padded / self.level.unit()
    }

    /// The code of the region one level up; `None` for a province.
    pub const fn parent(self) -> Option<Self> {
        let level = match self.level {
            Level::Province => return None,
            Level::Regency => Level::Province,
            Level::Kecamatan => Level::Regency,
        };
        Some(Self { padded: self.padded - self.padded % level.unit(), level })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.number(), width = self.level.digits())
    }
}

impl FromStr for Code {
    type Err = CodeError;

    /// Reads the notation of the tables, and that of the decrees with a dot between the levels.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        let dotted = text.contains('.') && text.split('.').all(|part| part.len() == 2);
        let code = if dotted {
            Self::from_digits(&text.replace('.', ""))
        } else {
            Self::from_digits(text)
        };
        code.ok_or_else(|| CodeError { text: text.to_owned() })
    }
}
