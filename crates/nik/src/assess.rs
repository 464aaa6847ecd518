//! The judgement of one NIK, section by section.

use super::birth_date::{BirthDate, Date};
use super::gender::Gender;
use super::{Nik, area, birth_date, gender, serial};
use crate::region::{AreaId, Regions};

/// One section of a NIK: what it tells, and whether that is right.
#[derive(Clone, Copy)]
pub struct Section<T> {
    /// What the section tells; a value may be told and still be wrong.
    pub value: T,
    /// Whether the section keeps its rule.
    pub valid: bool,
}

impl<T> Section<Option<T>> {
    /// A section that is valid when it tells anything.
    pub(super) fn known(value: Option<T>) -> Self {
        Self { valid: value.is_some(), value }
    }
}

/// The judgement of one NIK. Personal data: no `Debug`.
#[derive(Clone, Copy)]
pub struct Assessment<'a> {
    /// The NIK itself; valid when it is exactly 16 ASCII digits.
    ///
    /// Source: PP 37/2007 art. 37 (16 digits).
    pub length: Section<Nik<'a>>,
    /// The first six characters.
    pub area: Section<Option<AreaId>>,
    /// The 7th to the 12th character.
    pub dob: Section<Option<BirthDate>>,
    /// The 7th character.
    pub gender: Section<Option<Gender>>,
    /// The characters from the 13th.
    pub computerized: Section<Option<&'a str>>,
}

impl Assessment<'_> {
    /// Whether all five sections are valid, and so the NIK.
    pub fn is_valid(&self) -> bool {
        // Without branches: each would go the other way for some NIKs.
        self.length.valid
            & self.area.valid
            & self.dob.valid
            & self.gender.valid
            & self.computerized.valid
    }
}

/// Judges a NIK by the codes `regions` knows, on the day `reference`. Younger than `min_age` years
/// is an invalid `dob`.
///
/// The five sections are independent of each other: none is skipped because another is wrong.
#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "a third of the cost of a NIK was the way of the answer through memory"
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
