//! What an applicant declares about the holder of a NIK, compared with the NIK.

use super::birth_date::day_in_either_century;
use super::{Date, Explanation, Gender, Nik};
use crate::region::{Code, Regions};

/// The day from which births are plausible: no living person is older.
const EARLIEST_BIRTH: Date = Date::pack(1900, 1, 1);

crate::named! {
    /// The outcome of comparing something declared with the NIK.
    pub enum Comparison {
        /// The NIK says the same.
        Match = "match",
        /// The codes differ, but the NIK's code or its successor lies in the declared area or in that
        /// area's successor. Only for areas.
        MatchByHistory = "match_by_history",
        /// The NIK says something else.
        Mismatch = "mismatch",
        /// The NIK says nothing to compare with, or no table knows the declared area.
        NotComparable = "not_comparable",
    }
}

/// What an applicant declares. It is personal data and therefore has no `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Claim {
    /// The day of birth.
    pub birth_date: Option<Date>,
    /// The gender.
    pub gender: Option<Gender>,
    /// A province, regency or kecamatan; it need not exist.
    pub area: Option<Code>,
}

/// The outcome for each part of a claim that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Declared {
    /// The outcome for the day of birth.
    pub birth_date: Option<Comparison>,
    /// The outcome for the gender.
    pub gender: Option<Comparison>,
    /// The outcome for the area.
    pub area: Option<Comparison>,
}

impl Claim {
    /// Compares with a NIK that was explained by the same `regions` and on the same day
    /// `reference`; `None` if nothing is declared.
    pub fn compare(
        &self,
        nik: &Explanation<'_>,
        regions: &Regions,
        reference: Date,
    ) -> Option<Declared> {
        let text = &nik.assessment.length.value;
        let declared = Declared {
            birth_date: self.birth_date.map(|date| compare_birth_date(date, text, reference)),
            gender: self.gender.map(|gender| compare_gender(gender, nik.assessment.gender.value)),
            area: self.area.map(|area| compare_area(area, nik, regions)),
        };
        (*self != Self::default()).then_some(declared)
    }
}

impl Declared {
    /// The names of what can be declared.
    pub const FIELDS: [&str; 3] = ["birth_date", "gender", "area"];

    /// Whether the comparison of a field can have this outcome: only areas have a history.
    pub fn can_be(field: &str, outcome: Comparison) -> bool {
        outcome != Comparison::MatchByHistory || field == "area"
    }

    /// The outcomes in the order of [`Self::FIELDS`].
    pub fn outcomes(&self) -> [Option<Comparison>; 3] {
        [self.birth_date, self.gender, self.area]
    }

    /// Whether the given ones of birth date and gender match; `None` if neither was given. The area
    /// does not count: people move, and the NIK keeps the area of the first registration.
    pub fn consistent(&self) -> Option<bool> {
        let given = [self.birth_date, self.gender];
        let matches = given.iter().flatten().map(|it| *it == Comparison::Match);
        matches.reduce(|all, it| all && it)
    }
}

/// The NIK has two digits for the year. A day in its other century matches too, as long as a person
/// can be that old: this finds those over a hundred.
fn compare_birth_date(declared: Date, nik: &Nik<'_>, reference: Date) -> Comparison {
    let Some(day) = day_in_either_century(nik) else {
        return Comparison::NotComparable;
    };
    let is_same = day == [declared.day(), declared.month(), declared.year() % 100];
    let is_plausible = (EARLIEST_BIRTH..=reference).contains(&declared);
    if is_same && is_plausible { Comparison::Match } else { Comparison::Mismatch }
}

fn compare_gender(declared: Gender, nik: Option<Gender>) -> Comparison {
    match nik {
        None => Comparison::NotComparable,
        Some(gender) if gender == declared => Comparison::Match,
        Some(_) => Comparison::Mismatch,
    }
}

fn compare_area(declared: Code, nik: &Explanation<'_>, regions: &Regions) -> Comparison {
    let area = &nik.assessment.area;
    let code = nik.assessment.length.value.area().filter(|_| area.valid()).map(Code::of_kecamatan);
    let Some(code) = code.filter(|_| regions.knows(declared)) else {
        return Comparison::NotComparable;
    };
    let meet = || {
        regions.chain(code).any(|code| regions.chain(declared).any(|region| code.is_within(region)))
    };
    if code.is_within(declared) {
        Comparison::Match
    } else if meet() {
        Comparison::MatchByHistory
    } else {
        Comparison::Mismatch
    }
}
