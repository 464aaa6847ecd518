//! The gender, from the seventh character.

use super::reason::{Cause, SectionReason};
use super::{Nik, Section};

crate::named! {
    /// The gender that a NIK encodes.
    pub enum Gender {
        /// The day of birth is written unchanged: the seventh character is 0 to 3.
        Man = "Man",
        /// The day of birth is written plus 40: the seventh character is 4 to 7.
        Woman = "Woman",
    }
}

/// Valid if the seventh character is 0 to 7. It is judged alone: a NIK with an invalid birth date
/// still has a gender.
///
/// Source: PP 37/2007 art. 37 (a woman's day of birth plus 40).
pub(super) fn read<R: Cause>(nik: &Nik<'_>) -> Section<Option<Gender>, R> {
    const GENDERS: [Option<Gender>; 8] = {
        let (man, woman) = (Some(Gender::Man), Some(Gender::Woman));
        [man, man, man, man, woman, woman, woman, woman]
    };
    let value = GENDERS.get(usize::from(nik.gender())).copied().flatten();
    Section::new(value, value.is_some(), || SectionReason::GenderOutOfRange)
}
