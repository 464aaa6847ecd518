//! The 7th to the 12th character: the date of birth; and the calendar it needs, by integers alone.

use std::fmt;

use super::{Nik, Section};

/// Added to a woman's day of birth.
const WOMAN: u8 = 40;
/// Milliseconds: Jakarta (WIB) is seven hours ahead of UTC, without summer time.
const JAKARTA: i64 = 7 * 60 * 60 * 1000;
const DAY: i64 = 24 * 60 * 60 * 1000;

/// A day of the Gregorian calendar, 0001-01-01 to 9999-12-31. Every `Date` is a day that exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    // In this order, so that the derived order is that of time.
    year: u16,
    month: u8,
    day: u8,
}

/// A text that is not a date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a date is a day of the calendar written YYYY-MM-DD")]
pub struct NotADate;

impl Date {
    /// The first day this calendar knows.
    pub const MIN: Self = Self {
        year: 1,
        month: 1,
        day: 1,
    };
    /// The last day this calendar knows.
    pub const MAX: Self = Self {
        year: 9999,
        month: 12,
        day: 31,
    };

    /// The day, if the calendar has it.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let real = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        real.then_some(Self { year, month, day })
    }

    /// The day written `YYYY-MM-DD`, ASCII digits only.
    pub fn parse(text: &str) -> Result<Self, NotADate> {
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else {
            return Err(NotADate);
        };
        let century = two_digits(y1, y2).ok_or(NotADate)?;
        let year = two_digits(y3, y4).ok_or(NotADate)?;
        let month = two_digits(m1, m2).ok_or(NotADate)?;
        let day = two_digits(d1, d2).ok_or(NotADate)?;
        Self::new(u16::from(century) * 100 + u16::from(year), month, day).ok_or(NotADate)
    }

    /// The day it is in Jakarta, `ms` milliseconds after 1970-01-01 00:00 UTC. Any number is fine:
    /// those beyond the calendar give its first or last day.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the clamp keeps the year in 1..=9999, and with it the rest"
    )]
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
        let year = era * 400 + year_of_era + new_year;
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
        }
    }

    /// The year, 1 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }
}

impl fmt::Display for Date {
    /// `YYYY-MM-DD`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:04}-{:02}-{:02}",
            self.year, self.month, self.day
        )
    }
}

/// When a person was born, and how old that makes them. Personal data: no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BirthDate {
    /// The day of birth.
    pub date: Date,
    /// The age on the reference date, in whole calendar years. It steps on the birthday; for those born on 29 February on 1
    /// March of common years.
    pub age: u16,
}

/// Valid when the characters are DDMMYY of a day that exists and the age is at least `min_age`
/// years. The day is 01 to 31, a woman's 41 to 71. Of 20YY and 19YY the later one counts whose whole
/// date exists and is not after `reference`.
///
/// Source: PP 37/2007 art. 37 (day, month and year of birth, a woman's day plus 40).
pub(super) fn read(nik: &Nik<'_>, min_age: u8, reference: Date) -> Section<Option<BirthDate>> {
    let value = birth_date(nik, reference);
    Section {
        value,
        valid: value.is_some_and(|birth| birth.age >= u16::from(min_age)),
    }
}

fn birth_date(nik: &Nik<'_>, reference: Date) -> Option<BirthDate> {
    let [d1, d2, m1, m2, y1, y2] = *nik.birth() else {
        return None;
    };
    let (day, month, year) = (
        two_digits(d1, d2)?,
        two_digits(m1, m2)?,
        two_digits(y1, y2)?,
    );
    let day = if day > WOMAN { day - WOMAN } else { day };
    let date = [2000, 1900]
        .into_iter()
        .filter_map(|century| Date::new(century + u16::from(year), month, day))
        .find(|date| *date <= reference)?;
    let birthday_ahead = (reference.month, reference.day) < (date.month, date.day);
    Some(BirthDate {
        date,
        age: reference.year - date.year - u16::from(birthday_ahead),
    })
}

fn two_digits(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
}

/// The days of a month, 1 to 12.
fn days_in(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
