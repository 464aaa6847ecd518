//! Judges one NIK, section by section.

use super::birth_date::{BirthDate, Date};
use super::gender::Gender;
use super::reason::{Cause, SectionReason};
use super::{Nik, area, birth_date, gender, length, serial};
use crate::region::{AreaId, Regions};

/// One section of a NIK: its value and its verdict.
#[derive(Clone, Copy)]
pub struct Section<T, R = ()> {
    /// The value read from the section. An invalid section can have one: a minor's date of birth
    /// below the minimum age, for example.
    pub value: T,
    /// Whether the section follows its rule. The error is `()`, or the [`SectionReason`].
    pub verdict: Result<(), R>,
}

impl<T, R> Section<T, R> {
    /// A section with this value; `reason` is called only for an invalid one.
    pub(super) fn new(value: T, valid: bool, reason: impl FnOnce() -> SectionReason) -> Self
    where
        R: Cause,
    {
        Self { value, verdict: if valid { Ok(()) } else { Err(R::because(reason)) } }
    }

    /// Whether the section follows its rule.
    #[inline]
    pub fn valid(&self) -> bool {
        self.verdict.is_ok()
    }
}

/// The verdict on one NIK. It holds personal data and therefore has no `Debug`.
#[derive(Clone, Copy)]
pub struct Assessment<'a, R = ()> {
    /// The whole NIK; valid if it is exactly 16 ASCII digits.
    pub length: Section<Nik<'a>, R>,
    /// The kecamatan, from the first six characters; valid if its code is known.
    pub area: Section<Option<AreaId>, R>,
    /// The date of birth, from the 7th to the 12th character; valid if the date exists, is not
    /// after the reference date and gives at least the minimum age.
    pub dob: Section<Option<BirthDate>, R>,
    /// The gender, from the 7th character; valid if that is 0 to 7.
    pub gender: Section<Option<Gender>, R>,
    /// The serial number, from the 13th character on; valid if it is 0001 to 9999.
    pub computerized: Section<Option<&'a str>, R>,
}

impl<R> Assessment<'_, R> {
    /// Whether all five sections are valid.
    pub fn is_valid(&self) -> bool {
        // `&` rather than `&&`: the outcomes are unpredictable, so branches would be mispredicted.
        self.length.valid()
            & self.area.valid()
            & self.dob.valid()
            & self.gender.valid()
            & self.computerized.valid()
    }
}

impl Assessment<'_, SectionReason> {
    /// The reason of each section in the order of the fields; `None` for a valid one.
    pub fn reasons(&self) -> [Option<SectionReason>; 5] {
        [
            self.length.verdict.err(),
            self.area.verdict.err(),
            self.dob.verdict.err(),
            self.gender.verdict.err(),
            self.computerized.verdict.err(),
        ]
    }
}

/// Judges a NIK by the codes that `regions` knows, with ages as of the day `reference`. `dob` is
/// invalid below an age of `min_age` years.
///
/// The five sections are judged independently: an invalid one does not skip another.
/// [`explain`](super::explain()) judges by the same checks and says why a section is invalid.
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
    judge(nik, regions, min_age, reference)
}

/// The judgement, which says as much about an invalid section as `R` holds.
#[inline(always)]
#[expect(clippy::inline_always, reason = "as above")]
pub(super) fn judge<'a, R: Cause>(
    nik: &Nik<'a>,
    regions: &Regions,
    min_age: u8,
    reference: Date,
) -> Assessment<'a, R> {
    Assessment {
        length: length::read(nik),
        area: area::read(nik, regions),
        dob: birth_date::read(nik, min_age, reference),
        gender: gender::read(nik),
        computerized: serial::read(nik),
    }
}
