//! The date of birth, from the 7th to the 12th character, and the integer calendar that it needs.
//!
//! Every NIK passes through this calendar, and it needs little: the days of a month, the order of
//! days, the day of an instant. Hand-written code does that faster than chrono;
//! `tests/judgement.rs` compares every day of two centuries with chrono.

use core::fmt;

use super::reason::{Cause, SectionReason};
use super::{Nik, Section};

/// Added to a woman's day of birth.
const WOMAN_OFFSET: u32 = 40;
/// Jakarta (WIB) is seven hours ahead of UTC and has no daylight saving time.
const JAKARTA_OFFSET_MS: i64 = 7 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A day of the Gregorian calendar, from 0001-01-01 to 9999-12-31. Every `Date` exists in the
/// calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(
    /// `year << 9 | month << 5 | day`: comparing one number takes no branch. On random birth dates
    /// a mispredicted branch costs more than the rest of the work.
    u32,
);

/// The error of [`Date::parse`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected an existing day written YYYY-MM-DD")]
pub struct NotADate;

impl Date {
    /// 0001-01-01, the first day of this calendar.
    pub const MIN: Self = Self::pack(1, 1, 1);
    /// 9999-12-31, the last day of this calendar.
    pub const MAX: Self = Self::pack(9999, 12, 31);

    /// The day, or `None` if the calendar does not have it.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let (year, month, day) = (year.into(), month.into(), day.into());
        ((1..=9999).contains(&year) && exists(year, month, day))
            .then_some(Self::pack(year, month, day))
    }

    pub(super) const fn pack(year: u32, month: u32, day: u32) -> Self {
        Self(year << 9 | month << 5 | day)
    }

    /// Parses `YYYY-MM-DD` in ASCII digits. Any other notation is an error, and so is a day that
    /// the calendar does not have.
    ///
    /// ```
    /// use nik::Date;
    ///
    /// assert_eq!(Date::parse("2024-02-29").unwrap().to_string(), "2024-02-29");
    /// assert!(Date::parse("2023-02-29").is_err(), "2023 is not a leap year");
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

    /// The day in Jakarta at `ms` milliseconds since 1970-01-01 00:00 UTC. Instants outside this
    /// calendar give its first or last day.
    #[expect(clippy::cast_sign_loss, reason = "clamped")]
    pub fn from_unix_ms_jakarta(ms: i64) -> Self {
        // `civil_from_days` from Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms":
        // days since 0000-03-01, because a year that starts in March has its leap day at the end.
        let days = ms.saturating_add(JAKARTA_OFFSET_MS).div_euclid(DAY_MS) + 719_468;
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

    /// The number of whole years from `earlier` to this day.
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

/// A date of birth, and the age on the reference date. It is personal data and therefore has no
/// `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BirthDate {
    /// The day of birth.
    pub date: Date,
    /// The age in whole calendar years. It increases on the birthday, or on 1 March of a common
    /// year for a person born on 29 February.
    pub age: u32,
}

/// Valid if the characters are DDMMYY of a day that exists and the age is at least `min_age` years.
/// DD is 01 to 31, or 41 to 71 for a woman. The year is 20YY if that whole date exists and is not
/// after `reference`, else 19YY on the same conditions.
///
/// Source: PP 37/2007 art. 37 (day, month and year of birth, a woman's day plus 40).
pub(super) fn read<R: Cause>(
    nik: &Nik<'_>,
    min_age: u8,
    reference: Date,
) -> Section<Option<BirthDate>, R> {
    let value = birth_date(nik, reference);
    let valid = value.is_some_and(|birth| birth.age >= u32::from(min_age));
    Section::new(value, valid, || match value {
        Some(_) => SectionReason::DobBelowMinAge,
        None => why_none(nik),
    })
}

fn birth_date(nik: &Nik<'_>, reference: Date) -> Option<BirthDate> {
    let [day, month, year] = nik.birth_date()?;
    let day = day_of_birth(day);
    // Every day that exists in 19YY exists in 20YY too (2000 was a leap year, 1900 was not), so
    // 20YY is only ruled out if it is after the reference date.
    let this_century = Date::pack(2000 + year, month, day) <= reference;
    let year = if this_century { 2000 } else { 1900 } + year;
    let date = Date::pack(year, month, day);
    (exists(year, month, day) && date <= reference)
        .then(|| BirthDate { date, age: reference.years_since(date) })
}

/// The day of birth from the day in the NIK.
fn day_of_birth(day: u32) -> u32 {
    if day > WOMAN_OFFSET { day - WOMAN_OFFSET } else { day }
}

/// Why [`birth_date`] found none.
fn why_none(nik: &Nik<'_>) -> SectionReason {
    let Some([day, month, year]) = nik.birth_date() else {
        return SectionReason::DobIncomplete;
    };
    let day = day_of_birth(day);
    if !(1..=31).contains(&day) {
        SectionReason::DobDayOutOfRange
    } else if !(1..=12).contains(&month) {
        SectionReason::DobMonthOutOfRange
    } else if !exists(2000 + year, month, day) {
        SectionReason::DobNoSuchDay
    } else {
        SectionReason::DobAfterReferenceDate
    }
}

/// Day, month and the year's last two digits that a NIK names, if either century has that day.
pub(super) fn day_in_either_century(nik: &Nik<'_>) -> Option<[u32; 3]> {
    let [day, month, year] = nik.birth_date()?;
    let day = day_of_birth(day);
    exists(2000 + year, month, day).then_some([day, month, year])
}

impl BirthDate {
    /// Whether the day also exists a century earlier, so that the NIK could mean either. (The later
    /// one is taken.)
    pub(super) fn is_ambiguous(self) -> bool {
        let (year, month, day) = (self.date.year(), self.date.month(), self.date.day());
        year >= 2000 && exists(year - 100, month, day)
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let digits = tens.is_ascii_digit() && ones.is_ascii_digit();
    digits.then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

/// Whether the calendar has this day. `year` must be at least 1; month and day can be any number.
fn exists(year: u32, month: u32, day: u32) -> bool {
    const DAYS: [u32; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = || year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = DAYS.get(month as usize).copied().unwrap_or(0);
    (1..=days).contains(&day) || (month, day) == (2, 29) && leap()
}
