//! The 7th to the 12th character: the date of birth; and the calendar it needs, by integers alone.
//!
//! The calendar is own code, as it is on the path of every NIK, and little is needed of it: the days of a month, the order of days,
//! the day of an instant. `tests/judgement.rs` holds every day of two centuries to chrono's.

use core::fmt;

use super::{Nik, Section};

/// Added to a woman's day of birth.
const WOMAN: u32 = 40;
/// Milliseconds: Jakarta (WIB) is seven hours ahead of UTC, without summer time.
const JAKARTA: i64 = 7 * 60 * 60 * 1000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A day of the Gregorian calendar, 0001-01-01 to 9999-12-31. Every `Date` is a day that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(
    /// The year above 9 bits, the month above 5, the day: one number, so that days compare without
    /// a branch. On random birth dates every branch costs more than the rest of the work.
    u32,
);

/// A text that is not a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a date is a day of the calendar written YYYY-MM-DD")]
pub struct NotADate;

impl Date {
    /// The first day this calendar knows.
    pub const MIN: Self = Self::pack(1, 1, 1);
    /// The last day this calendar knows.
    pub const MAX: Self = Self::pack(9999, 12, 31);

    /// The day, if the calendar has it.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let (year, month, day) = (year.into(), month.into(), day.into());
        ((1..=9999).contains(&year) && exists(year, month, day))
            .then_some(Self::pack(year, month, day))
    }

    const fn pack(year: u32, month: u32, day: u32) -> Self {
        Self(year << 9 | month << 5 | day)
    }

    /// The day written `YYYY-MM-DD`, ASCII digits only. Fails for any other notation, and for a day that the calendar does not have.
    ///
    /// ```
    /// use nik::Date;
    ///
    /// assert_eq!(Date::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
    /// assert!(Date::parse("2023-02-29").is_err(), "no leap year");
    /// assert!(Date::parse("2024-2-29").is_err(), "a digit is missing");
    /// ```
    pub fn parse(text: &str) -> Result<Self, NotADate> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else {
            return Err(NotADate);
        };
        let year = two_digits(y1, y2).zip(two_digits(y3, y4)).ok_or(NotADate)?;
        let year = year.0 * 100 + year.1;
        let month = two_digits(m1, m2).ok_or(NotADate)?;
        let day = two_digits(d1, d2).ok_or(NotADate)?;
        let real = year > 0 && exists(year, month, day);
        real.then_some(Self::pack(year, month, day)).ok_or(NotADate)
    }

    /// The day it is in Jakarta, `ms` milliseconds after 1970-01-01 00:00 UTC. Any number is fine:
    /// those beyond the calendar give its first or last day.
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    pub fn from_unix_ms_jakarta(ms: i64) -> Self {
        // `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms": days
        // since 0000-03-01, as years that start in March have the leap day at their end.
        let days = ms.saturating_add(JAKARTA).div_euclid(DAY) + 719_468;
        let days = days.clamp(306, 3_652_364) as u32; // 0001-01-01, 9999-12-31
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let (month, new_year) = match month_from_march {
            0..10 => (month_from_march + 3, 0),
            _ => (month_from_march - 9, 1),
        };
        Self::pack(era * 400 + year_of_era + new_year, month, day)
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> u32 {
        self.0 >> 9
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u32 {
        self.0 >> 5 & 15
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> u32 {
        self.0 & 31
    }

    /// The whole years from `earlier` to this day.
    fn years_since(self, earlier: Self) -> u32 {
        const WITHIN_YEAR: u32 = (1 << 9) - 1;
        let birthday_ahead = self.0 & WITHIN_YEAR < earlier.0 & WITHIN_YEAR;
        self.year() - earlier.year() - u32::from(birthday_ahead)
    }
}

impl fmt::Display for Date {
    /// `YYYY-MM-DD`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.year(), self.month(), self.day());
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// When a person was born, and how old that makes them. Personal data: no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BirthDate {
    /// The day of birth.
    pub date: Date,
    /// The age on the reference date, in whole calendar years. It steps on the birthday; for those
    /// born on 29 February on 1 March of common years.
    pub age: u32,
}

/// Valid when the characters are DDMMYY of a day that exists and the age is at least `min_age`
/// years. The day is 01 to 31, a woman's 41 to 71. Of 20YY and 19YY the later one counts whose
/// whole date exists and is not after `reference`.
///
/// Source: PP 37/2007 art. 37 (day, month and year of birth, a woman's day plus 40).
pub(super) fn read(nik: &Nik<'_>, min_age: u8, reference: Date) -> Section<Option<BirthDate>> {
    let value = birth_date(nik, reference);
    Section { value, valid: value.is_some_and(|birth| birth.age >= u32::from(min_age)) }
}

fn birth_date(nik: &Nik<'_>, reference: Date) -> Option<BirthDate> {
    let [day, month, year] = nik.birth_date()?;
    let day = if day > WOMAN { day - WOMAN } else { day };
    // A day that 19YY has, 20YY has too (1900 was no leap year, 2000 was): the later century is
    // wrong only where it lies after the reference.
    let this_century = Date::pack(2000 + year, month, day) <= reference;
    let year = if this_century { 2000 } else { 1900 } + year;
    let date = Date::pack(year, month, day);
    (exists(year, month, day) && date <= reference)
        .then(|| BirthDate { date, age: reference.years_since(date) })
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// Whether the calendar has the day, in a year from 1; any month, any day.
fn exists(year: u32, month: u32, day: u32) -> bool {
    const DAYS: [u32; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = || year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = DAYS.get(month as usize).copied().unwrap_or(0);
    (1..=days).contains(&day) || (month, day) == (2, 29) && leap()
}
