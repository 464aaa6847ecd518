//! The code of a region: two digits a level, as a NIK carries them in its first six characters.
//!
//! Source: Permendagri 58/2021 and its successors, which list the codes as `PP.RR.KK`; PP 40/2019 art. 30, which puts the code
//! of the place of first registration into the NIK.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

/// How deep in the tree of regions a code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A province: two digits.
    Province,
    /// A regency (kabupaten) or city (kota): four digits.
    Regency,
    /// A kecamatan (district; `distrik` in Papua): six digits.
    Kecamatan,
}

impl Level {
    /// Every level, the widest first.
    pub const ALL: [Self; 3] = [Self::Province, Self::Regency, Self::Kecamatan];

    /// The level's name, as metrics and the manifest write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Province => "province",
            Self::Regency => "regency",
            Self::Kecamatan => "kecamatan",
        }
    }

    /// How many digits a code of this level has.
    pub const fn digits(self) -> usize {
        match self {
            Self::Province => 2,
            Self::Regency => 4,
            Self::Kecamatan => 6,
        }
    }

    /// What one step of this level is worth in a code padded to six digits.
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

/// A well-formed code; whether anything stands behind it, the tables say.
///
/// Codes order as their texts do: `11` < `1101` < `110101` < `1102`, which is the order of the tables.
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
    /// The number with zeros for the levels below. First in the struct: the derived order is the order of the texts.
    padded: u32,
    level: Level,
}

/// Why a text is not a code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a region code: expected 2, 4 or 6 digits, such as 32, 3273, 327301 or 32.73.01"
)]
pub struct CodeError {
    /// The text as given.
    pub text: String,
}

impl Code {
    /// Reads 2, 4 or 6 ASCII digits, without dots: the form of the tables.
    pub fn from_digits(text: &str) -> Option<Self> {
        let level = Level::ALL.into_iter().find(|level| level.digits() == text.len())?;
        let number = text.bytes().try_fold(0, |number, byte| {
            byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0'))
        })?;
        Some(Self { padded: number * level.unit(), level })
    }

    /// The level the code stands on.
    pub const fn level(self) -> Level {
        self.level
    }

    /// The code as a number of as many digits as its level has; of a kecamatan what
    /// [`Regions::find`](super::Regions::find) takes.
    pub const fn number(self) -> u32 {
        self.padded / self.level.unit()
    }

    /// The code one level up; a province has none.
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

    /// Reads the form of the tables, and the decrees' form with a dot between the levels.
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
