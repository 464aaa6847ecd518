//! `assess`, compared with an independent calendar and at the edges of every rule.

use std::ops::Range;

use chrono::{Datelike, Days, NaiveDate, TimeDelta};
use nik::region::Regions;
use nik::{Assessment, BirthDate, Date, Gender, Nik, Summary, assess};
use proptest::prelude::*;

use crate::sample::{date, regions};

const NO_MIN_AGE: u8 = 0;

/// Milliseconds since 1970-01-01 UTC, from 1897 to 2103: all days that a NIK can mean, and some
/// beyond.
pub const AROUND_THE_CALENDAR: Range<i64> = -2_300_000_000_000..4_200_000_000_000;

fn judged<'a>(text: &'a str, regions: &Regions, reference: &str) -> Assessment<'a> {
    assess(&Nik::new(text).expect("a NIK"), regions, NO_MIN_AGE, date(reference))
}

fn to_date(day: NaiveDate) -> Date {
    date(&day.format("%Y-%m-%d").to_string())
}

fn days(from: (i32, u32, u32), to: (i32, u32, u32)) -> impl Iterator<Item = NaiveDate> {
    let day = |(y, m, d)| NaiveDate::from_ymd_opt(y, m, d).expect("a day that exists");
    day(from).iter_days().take_while(move |today| *today <= day(to))
}

/// The birth date that each six-digit number means on the reference date, from chrono alone: each
/// day is entered under its digits for a man and for a woman, and a later day replaces an earlier
/// one.
fn birth_dates(reference: NaiveDate) -> Vec<Option<NaiveDate>> {
    let mut dates = vec![None; 1_000_000];
    for day in days((1900, 1, 1), (2099, 12, 31)).filter(|day| *day <= reference) {
        let man: usize = day.format("%d%m%y").to_string().parse().expect("digits");
        dates[man] = Some(day);
        dates[man + 400_000] = Some(day);
    }
    dates
}

#[test]
fn all_six_birth_digits_agree_with_an_independent_calendar() {
    let regions = regions();
    for (year, month, day) in [(1999, 12, 31), (2024, 2, 29)] {
        let reference = NaiveDate::from_ymd_opt(year, month, day).unwrap();
        for (digits, born) in birth_dates(reference).into_iter().enumerate() {
            let text = format!("327301{digits:06}0001");
            let nik = Nik::new(&text).unwrap();
            let dob = assess(&nik, &regions, NO_MIN_AGE, to_date(reference)).dob;
            let expected = born.map(|day| BirthDate {
                date: to_date(day),
                age: reference.years_since(day).unwrap(),
            });
            assert!(dob.value == expected, "{digits:06} on {reference}: {born:?}");
            assert_eq!(dob.valid(), expected.is_some(), "{digits:06} on {reference}");
        }
    }
}

#[test]
fn every_day_from_1900_to_2099_is_a_birth_date_on_that_day_and_not_the_day_before() {
    let regions = regions();
    for day in days((1900, 1, 1), (2100, 12, 31)) {
        for woman in [0, 40] {
            let text = day.format("327301%d%m%y0001").to_string();
            let text = format!("327301{:02}{}", day.day() + woman, &text[8..]);
            let on = |reference: NaiveDate| {
                let nik = Nik::new(&text).unwrap();
                assess(&nik, &regions, NO_MIN_AGE, to_date(reference)).dob.value
            };
            let same_day = on(day).map(|birth| (birth.date, birth.age));
            let before = on(day - Days::new(1)).map(|birth| birth.date);
            if day.year() < 2100 {
                assert_eq!(same_day, Some((to_date(day), 0)), "{day}");
                assert_ne!(before, Some(to_date(day)), "{day}");
            } else {
                // The digits of a day in 2100 mean the same day in 2000.
                let earlier = day.with_year(2000).map(|day| (to_date(day), 100));
                assert_eq!(same_day, earlier, "{day}");
            }
        }
    }
}

#[test]
fn every_day_from_1900_to_2100_starts_at_midnight_in_jakarta() {
    let wib = TimeDelta::hours(7);
    for day in days((1900, 1, 1), (2100, 12, 31)) {
        let midnight = (day.and_hms_opt(0, 0, 0).unwrap() - wib).and_utc().timestamp_millis();
        assert_eq!(Date::from_unix_ms_jakarta(midnight), to_date(day));
        assert_eq!(Date::from_unix_ms_jakarta(midnight + 86_399_999), to_date(day));
    }
}

#[test]
fn instants_outside_the_calendar_give_its_first_or_last_day() {
    let first = -62_135_596_800_000 - 7 * 3_600_000;
    let after = 253_402_300_800_000 - 7 * 3_600_000;
    for (ms, day) in [
        (i64::MIN, Date::MIN),
        (first - 1, Date::MIN),
        (first, Date::MIN),
        (first + 86_400_000, date("0001-01-02")),
        (0, date("1970-01-01")),
        (-1, date("1970-01-01")),
        (after - 86_400_001, date("9999-12-30")),
        (after - 1, Date::MAX),
        (after, Date::MAX),
        (i64::MAX, Date::MAX),
    ] {
        assert_eq!(Date::from_unix_ms_jakarta(ms), day, "{ms}");
    }
}

#[test]
fn a_date_is_written_yyyy_mm_dd_and_must_exist() {
    assert_eq!(Date::parse("2024-02-29"), Ok(Date::new(2024, 2, 29).unwrap()));
    for bad in [(2023, 2, 29), (2024, 0, 1), (2024, 1, 0), (0, 1, 1), (10_000, 1, 1)] {
        assert_eq!(Date::new(bad.0, bad.1, bad.2), None, "{bad:?}");
    }
    assert_eq!(date("0001-01-01").to_string(), "0001-01-01");
    assert_eq!(format!("{:?}", Date::MAX), "9999-12-31");
    for bad in [
        "",
        "2023-02-29",
        "1900-02-29",
        "2024-13-01",
        "2024-00-01",
        "2024-01-00",
        "2024-01-32",
        "0000-01-01",
        "2024-1-01",
        "24-01-01",
        "2024/01/01",
        "2024-01-01 ",
        "+024-01-01",
        "２024-01-01",
    ] {
        assert!(Date::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_age_increases_on_the_birthday_or_on_1_march_for_leap_days_in_common_years() {
    let regions = regions();
    for (nik, reference, age) in [
        ("3273011506070001", "2024-06-14", 16),
        ("3273011506070001", "2024-06-15", 17),
        ("3273012902040001", "2023-02-28", 18),
        ("3273012902040001", "2023-03-01", 19),
        ("3273012902040001", "2024-02-28", 19),
        ("3273012902040001", "2024-02-29", 20),
        ("3273010103240001", "2024-03-01", 0),
        ("3273010203240001", "2024-03-01", 99),
        ("3273013112000001", "2000-12-30", 99),
    ] {
        let birth = judged(nik, &regions, reference).dob.value;
        assert_eq!(birth.map(|birth| birth.age), Some(age), "{nik} on {reference}");
    }
}

#[test]
fn a_leap_day_in_year_00_is_in_2000_or_does_not_exist() {
    let regions = regions();
    let born = |reference| {
        judged("3273012902000001", &regions, reference).dob.value.map(|birth| birth.date)
    };
    assert_eq!(born("2000-02-28"), None, "1900 had no 29 February");
    assert_eq!(born("2000-02-29"), Some(date("2000-02-29")));
}

#[test]
fn below_the_minimum_age_dob_is_invalid_but_keeps_its_value() {
    let regions = regions();
    let nik = Nik::new("3273011506070001").unwrap();
    for (min_age, reference, valid) in [
        (17, "2024-06-14", false),
        (17, "2024-06-15", true),
        (0, "2007-06-15", true),
        (255, "2106-01-01", false),
    ] {
        let dob = assess(&nik, &regions, min_age, date(reference)).dob;
        assert!(dob.value.is_some_and(|birth| birth.date == date("2007-06-15")), "{reference}");
        assert_eq!(dob.valid(), valid, "{min_age} on {reference}");
    }
}

#[test]
fn an_area_is_valid_if_its_code_is_current_or_retired() {
    let regions = regions();
    for (code, known) in [
        ("327301", true),
        ("917101", true),
        ("327302", true),
        ("327303", true),
        ("327304", false),
        ("327300", false),
        ("000000", false),
        ("999999", false),
        ("32730a", false),
        (" 27301", false),
        ("-27301", false),
        ("32730１", false),
    ] {
        let text = format!("{code}0101900001");
        let area = judged(&text, &regions, "2024-03-01").area;
        assert_eq!((area.valid(), area.value.is_some()), (known, known), "{code}");
    }
}

#[test]
fn the_seventh_digit_gives_the_gender_even_if_all_else_is_invalid() {
    let regions = regions();
    for digit in 0..10 {
        let text = format!("xxxxxx{digit}");
        let nik = judged(&text, &regions, "2024-03-01");
        let gender = match digit {
            0..=3 => Some(Gender::Man),
            4..=7 => Some(Gender::Woman),
            _ => None,
        };
        assert_eq!(nik.gender.value, gender);
        assert_eq!(nik.gender.valid(), gender.is_some());
        assert!(
            !nik.length.valid()
                && !nik.area.valid()
                && !nik.dob.valid()
                && !nik.computerized.valid()
        );
    }
}

#[test]
fn serials_run_from_0001_to_9999() {
    let regions = regions();
    for serial in 0..=9999 {
        let text = format!("3273010101{:06}", 900_000 + serial);
        let computerized = judged(&text, &regions, "2024-03-01").computerized;
        assert_eq!(computerized.value, Some(&text[12..]));
        assert_eq!(computerized.valid(), serial != 0);
    }
    for (serial, value) in [
        ("", None),
        ("1", Some("1")),
        ("123", Some("123")),
        ("12345", Some("12345")),
        ("00010", Some("00010")),
        ("12 4", Some("12 4")),
        ("+123", Some("+123")),
        ("１234", Some("１234")),
        ("é12", Some("é12")),
    ] {
        let text = format!("327301010190{serial}");
        let computerized = judged(&text, &regions, "2024-03-01").computerized;
        assert_eq!((computerized.value, computerized.valid()), (value, false), "{serial}");
    }
}

#[test]
fn length_is_valid_only_for_sixteen_ascii_digits() {
    let regions = regions();
    for length in 0..=40 {
        let text = "3273010101900001327301010190000132730101".get(..length).unwrap();
        match Nik::new(text) {
            None => assert!(length < 7, "{length}"),
            Some(nik) => {
                let length_section = assess(&nik, &regions, NO_MIN_AGE, date("2024-03-01")).length;
                assert_eq!(length_section.valid(), length == 16, "{length}");
            }
        }
    }
    for text in [
        "327301010190000a",
        " 273010101900001",
        "327301010190000 ",
        "327301010190000é",
        "32730101019000１",
    ] {
        assert!(!judged(text, &regions, "2024-03-01").length.valid(), "{text}");
    }
}

#[test]
fn a_nik_has_a_seventh_character_and_digits_up_to_the_twelfth() {
    for text in [
        "3273010",
        "xxxxxx0",
        "ééééé１0",
        "xxxxxx012345xyz",
        "-327301",
        "\0\0\0\0\0\u{1f600}9",
        "32730101",
    ] {
        assert!(Nik::new(text).is_some(), "{text}");
    }
    for text in [
        "",
        "327301",
        "ééé",
        "éééééé",
        "xxxxxxx",
        "327301 101900001",
        "32730101019O0001",
        "327301１101900001",
    ] {
        assert!(Nik::new(text).is_none(), "{text}");
    }
}

#[test]
fn summaries_add_up_field_by_field() {
    let counts = |factor: u64| Summary {
        number: 3 * factor,
        number_processed: 4 * factor,
        error: 5 * factor,
        all_section: 6 * factor,
        length: 7 * factor,
        area: 8 * factor,
        dob: 9 * factor,
        gender: 10 * factor,
        computerized: 11 * factor,
    };
    let mut sum = counts(1);
    sum += counts(2);
    assert_eq!(sum, counts(3));
}

#[test]
fn debug_hides_the_digits() {
    assert_eq!(format!("{:?}", Nik::new("3273010101900001")), "Some(Nik(..))");
}

proptest! {
    #[test]
    fn any_text_on_any_day_is_judged_without_a_panic(
        text in prop_oneof!["\\PC{0,20}", "[0-9]{7,18}", "(3273|9171|99)[0-9x]{3,14}"],
        ms in AROUND_THE_CALENDAR,
        min_age: u8,
    ) {
        if let Some(nik) = Nik::new(&text) {
            prop_assert!(text.chars().count() >= 7);
            prop_assert!(text.chars().skip(6).take(6).all(|c| c.is_ascii_digit()));
            let nik = assess(&nik, &regions(), min_age, Date::from_unix_ms_jakarta(ms));
            let serial: String = text.chars().skip(12).collect();
            prop_assert_eq!(nik.computerized.value.unwrap_or_default(), serial);
        }
    }

    #[test]
    fn any_text_in_the_shape_of_a_nik_is_read_as_one(
        head in "\\PC{6}", digits in "[0-9]{1,6}", serial in "\\PC{0,9}", full: bool
    ) {
        let digits = if full { format!("{digits:0>6}") } else { digits };
        let text = if digits.len() == 6 { format!("{head}{digits}{serial}") } else { format!("{head}{digits}") };
        let nik = Nik::new(&text);
        prop_assert!(nik.is_some_and(|nik| nik.as_str() == text));
    }
}
