//! Judges one NIK by its characters, section by section.

use super::regions::{Area, Regions};
use chrono::{Datelike, NaiveDate};

/// Value and verdict of each section.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub length: bool,
    /// Valid if present.
    pub area: Option<Area>,
    pub dob: Option<Born>,
    pub dob_valid: bool,
    /// Valid if present.
    pub gender: Option<&'static str>,
    pub computerized: Option<String>,
    pub computerized_valid: bool,
}

/// A birth date as the result writes it, and the age.
#[derive(Clone, Debug)]
pub struct Born {
    pub text: String,
    pub age: usize,
}

impl Judgement {
    pub fn valid(&self) -> bool {
        self.verdicts().iter().all(|(_, valid)| *valid)
    }

    /// Each section and whether it is valid.
    pub fn verdicts(&self) -> [(&'static str, bool); 5] {
        [
            ("length", self.length),
            ("area", self.area.is_some()),
            ("dob", self.dob_valid),
            ("gender", self.gender.is_some()),
            ("computerized", self.computerized_valid),
        ]
    }
}

/// False for an element of `errors`: it has fewer than 7 characters, or one of the 7th to the 12th
/// is not an ASCII digit.
pub fn can_be_read(nik: &str) -> bool {
    let characters: Vec<char> = nik.chars().collect();
    characters.len() >= 7 && characters.iter().skip(6).take(6).all(char::is_ascii_digit)
}

pub fn judge(nik: &str, reference: NaiveDate, min_age: u8, regions: &Regions) -> Judgement {
    let characters: Vec<char> = nik.chars().collect();
    let first_six: String = characters.iter().take(6).collect();
    let from_seventh: String = characters.iter().skip(6).take(6).collect();
    let from_thirteenth: String = characters.iter().skip(12).collect();

    let born = birth_date(&from_seventh, reference)
        .map(|date| Born { text: date.format("%d-%m-%Y").to_string(), age: age(date, reference) });
    Judgement {
        length: characters.len() == 16 && characters.iter().all(char::is_ascii_digit),
        area: regions.find(&first_six),
        dob_valid: born.as_ref().is_some_and(|born| born.age >= usize::from(min_age)),
        dob: born,
        gender: match characters[6] {
            '0'..='3' => Some("Man"),
            '4'..='7' => Some("Woman"),
            _ => None,
        },
        computerized_valid: from_thirteenth.len() == 4
            && from_thirteenth.chars().all(|character| character.is_ascii_digit())
            && from_thirteenth != "0000",
        computerized: Some(from_thirteenth).filter(|text| !text.is_empty()),
    }
}

/// The date that six digits DDMMYY mean on the reference date.
fn birth_date(digits: &str, reference: NaiveDate) -> Option<NaiveDate> {
    if digits.len() != 6 {
        return None;
    }
    let number = |from: usize| digits[from..from + 2].parse::<u32>().expect("two digits");
    let day = match number(0) {
        day @ 1..=31 => day,
        day @ 41..=71 => day - 40,
        _ => return None,
    };
    [2000, 1900]
        .into_iter()
        .filter_map(|century| {
            NaiveDate::from_ymd_opt(century + number(4).cast_signed(), number(2), day)
        })
        .find(|date| *date <= reference)
}

/// The number of birthdays so far. In common years the birthday of 29 February is 1 March.
fn age(born: NaiveDate, reference: NaiveDate) -> usize {
    let birthday_in = |year| {
        NaiveDate::from_ymd_opt(year, born.month(), born.day())
            .or_else(|| NaiveDate::from_ymd_opt(year, 3, 1))
            .expect("1 March is a date")
    };
    (born.year() + 1..=reference.year()).filter(|year| birthday_in(*year) <= reference).count()
}
