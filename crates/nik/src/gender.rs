//! The seventh character: the person's gender.

use super::{Nik, Section};

/// The gender a NIK tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gender {
    /// The day of birth as it is: the seventh character is 0 to 3.
    Man,
    /// The day of birth plus 40: the seventh character is 4 to 7.
    Woman,
}

/// Valid when the seventh character is 0 to 7. It is judged by itself: a NIK whose birth date is
/// wrong still tells a gender.
///
/// Source: PP 37/2007 art. 37 (a woman's day of birth plus 40).
pub(super) fn read(nik: &Nik<'_>) -> Section<Option<Gender>> {
    const GENDERS: [Option<Gender>; 8] = {
        let (man, woman) = (Some(Gender::Man), Some(Gender::Woman));
        [man, man, man, man, woman, woman, woman, woman]
    };
    Section::known(GENDERS.get(usize::from(nik.gender())).copied().flatten())
}
