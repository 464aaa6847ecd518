//! What became of retired codes, including those that [`RetiredCodes`](super::RetiredCodes) leaves
//! out: it decides which of them are valid in a NIK, not what is known about them.

use super::code::{Code, Level};
use super::row::{Confidence, Retired};
use super::{Area, Regions, State};

/// What became of a retired code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// The retired code.
    pub code: Code,
    /// The code in force that replaced it, if known: of the same level or the one above. It is
    /// the end of the chain, since a code in force has no successor.
    pub successor: Option<Code>,
    /// How reliable the row of the code is.
    pub confidence: Confidence,
}

impl Retirement {
    pub(super) fn of(row: &Retired<'_>) -> Self {
        Self { code: row.code, successor: row.successor, confidence: row.confidence }
    }
}

impl Regions {
    /// What became of a code of any level, if it is retired.
    pub fn retirement(&self, code: Code) -> Option<&Retirement> {
        let at = self.retirements.binary_search_by_key(&code, |it| it.code).ok()?;
        Some(&self.retirements[at])
    }

    /// Whether a table has this code of any level, in force or retired.
    pub fn knows(&self, code: Code) -> bool {
        self.state(code).is_some()
    }

    /// Whether a code of any level is in force; `None` if no table has it.
    pub fn state(&self, code: Code) -> Option<State> {
        if self.retirement(code).is_some() {
            return Some(State::Retired);
        }
        let known = match code.level() {
            Level::Province | Level::Regency => self.places.contains_key(&code),
            Level::Kecamatan => self.find(code.number()).is_some(),
        };
        known.then_some(State::Current)
    }

    /// The code, and its successor if it is retired and has one.
    pub fn chain(&self, code: Code) -> impl Iterator<Item = Code> + Clone {
        let successor = self.retirement(code).and_then(|it| it.successor);
        core::iter::once(code).chain(successor)
    }

    /// The names of a known kecamatan, or of a regency (then without that of a kecamatan); `None`
    /// for any other code.
    pub fn names_of(&self, code: Code) -> Option<Area<'_>> {
        match code.level() {
            Level::Province => None,
            Level::Regency => {
                let regency = &self.regencies[*self.places.get(&code)?];
                let province = &self.provinces[regency.province];
                Some(Area { province, regency: &regency.name, kecamatan: None })
            }
            Level::Kecamatan => self.find(code.number()).map(|id| self.area(id)),
        }
    }
}
