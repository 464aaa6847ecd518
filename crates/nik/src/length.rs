//! The length, over the whole NIK.

use core::cmp::Ordering;

use super::reason::{Cause, SectionReason};
use super::{Nik, Section};

/// The length of a NIK in characters.
const LENGTH: usize = 16;

/// Valid if the NIK is exactly 16 ASCII digits.
///
/// Source: PP 37/2007 art. 37 (16 digits).
pub(super) fn read<'a, R: Cause>(nik: &Nik<'a>) -> Section<Nik<'a>, R> {
    Section::new(*nik, nik.digits().is_some(), || match nik.as_str().chars().count().cmp(&LENGTH) {
        Ordering::Less => SectionReason::LengthTooShort,
        Ordering::Greater => SectionReason::LengthTooLong,
        Ordering::Equal => SectionReason::LengthNotDigits,
    })
}
