//! Judges one NIK, section by section.

use super::birth_date::{BirthDate, Date};
use super::gender::Gender;
use super::{Nik, area, birth_date, gender, serial};
use crate::region::{AreaId, Regions};

/// One section of a NIK: its value and its verdict.
#[derive(Clone, Copy)]
pub struct Section<T> {
    /// The value read from the section. An invalid section can have one: a minor's date of birth
    /// below the minimum age, for example.
    pub value: T,
    /// Whether the section follows its rule.
    pub valid: bool,
}

impl<T> Section<Option<T>> {
    /// A section that is valid if it has a value.
    pub(super) fn valid_if_some(value: Option<T>) -> Self {
        Self { valid: value.is_some(), value }
    }
}

/// The verdict on one NIK. It holds personal data and therefore has no `Debug`.
#[derive(Clone, Copy)]
pub struct Assessment<'a> {
    /// The whole NIK; valid if it is exactly 16 ASCII digits.
    ///
    /// Source: PP 37/2007 art. 37 (16 digits).
    pub length: Section<Nik<'a>>,
    /// The kecamatan, from the first six characters; valid if its code is known.
    pub area: Section<Option<AreaId>>,
    /// The date of birth, from the 7th to the 12th character; valid if the date exists, is not
    /// after the reference date and gives at least the minimum age.
    pub dob: Section<Option<BirthDate>>,
    /// The gender, from the 7th character; valid if that is 0 to 7.
    pub gender: Section<Option<Gender>>,
    /// The serial number, from the 13th character on; valid if it is 0001 to 9999.
    pub computerized: Section<Option<&'a str>>,
}

impl Assessment<'_> {
    /// Whether all five sections are valid.
    pub fn is_valid(&self) -> bool {
        // `&` rather than `&&`: the outcomes are unpredictable, so branches would be mispredicted.
        self.length.valid
            & self.area.valid
            & self.dob.valid
            & self.gender.valid
            & self.computerized.valid
    }
}

/// Judges a NIK by the codes that `regions` knows, with ages as of the day `reference`. `dob` is
/// invalid below an age of `min_age` years.
///
/// The five sections are judged independently: an invalid one does not skip another.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "returning the verdict through memory was a third of the cost of a NIK"
)]
pub fn assess<'a>(
    nik: &Nik<'a>,
    regions: &Regions,
    min_age: u8,
    reference: Date,
) -> Assessment<'a> {
    Assessment {
        length: Section { value: *nik, valid: nik.digits().is_some() },
        area: area::read(nik, regions),
        dob: birth_date::read(nik, min_age, reference),
        gender: gender::read(nik),
        computerized: serial::read(nik),
    }
}
