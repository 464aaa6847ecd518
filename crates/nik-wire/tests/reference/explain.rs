//! The process `explain`: claims, reasons, the history of areas, warnings, comparisons.

use super::judge::{self, Judgement};
use super::regions::{Regions, Row};
use super::request::members;
use super::{Settings, Summary, counts, hidden, named, quoted, text_of, value_of};
use chrono::{Datelike, NaiveDate};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// How often each reason (`section.reason`), warning and outcome (`field.outcome`) occurs.
pub type Counts = BTreeMap<String, u64>;

/// A NIK and what is declared about it.
struct Claim {
    nik: String,
    birth_date: Option<NaiveDate>,
    gender: Option<String>,
    area: Option<String>,
}

impl Claim {
    /// Reads an element; `None` if it belongs in `errors`.
    fn read(element: &RawValue) -> Option<Self> {
        if !element.get().starts_with('{') {
            let nik = text_of(element)?;
            return Some(Self { nik, birth_date: None, gender: None, area: None })
                .filter(|claim| judge::can_be_read(&claim.nik));
        }
        let members = members(element);
        let mut values = BTreeMap::new();
        for (key, value) in &members {
            let is_ours = ["nik", "birth_date", "gender", "area"].contains(&key.as_str());
            if is_ours && values.insert(key.as_str(), &**value).is_some() {
                return None;
            }
        }
        // A text, nothing (missing or null), or a value that makes the element unreadable.
        let optional = |key: &str| match values.get(key).map(|value| value.get()) {
            None | Some("null") => Some(None),
            Some(json) if json.starts_with('"') => {
                Some(Some(serde_json::from_str::<String>(json).expect("a checked text")))
            }
            Some(_) => None,
        };
        let claim = Self {
            nik: text_of(values.get("nik")?)?,
            birth_date: match optional("birth_date")? {
                Some(text) => Some(calendar_day(&text)?),
                None => None,
            },
            gender: optional("gender")?,
            area: optional("area")?,
        };
        let gender_is_fine =
            claim.gender.as_ref().is_none_or(|gender| gender == "Man" || gender == "Woman");
        let area_is_fine = claim.area.as_ref().is_none_or(|area| {
            [2, 4, 6].contains(&area.len()) && area.bytes().all(|byte| byte.is_ascii_digit())
        });
        (judge::can_be_read(&claim.nik) && gender_is_fine && area_is_fine).then_some(claim)
    }
}

/// A text `YYYY-MM-DD` that is a day from 0001-01-01 to 9999-12-31.
fn calendar_day(text: &str) -> Option<NaiveDate> {
    let parts: Vec<&str> = text.split('-').collect();
    let is_digits = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    if lengths != [4, 2, 2] || !parts.iter().all(is_digits) {
        return None;
    }
    let number = |part: usize| parts[part].parse::<u32>().expect("digits");
    let year = number(0).cast_signed();
    NaiveDate::from_ymd_opt(year, number(1), number(2)).filter(|_| year > 0)
}

/// The result of a request of the process `explain`.
pub fn result(
    niks: &[Box<RawValue>],
    reference: NaiveDate,
    settings: &Settings,
    regions: &Regions,
) -> (Summary, Counts, String) {
    let mut summary = Summary::default();
    let mut found = Counts::new();
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    for (index, element) in niks.iter().enumerate() {
        summary.number += 1;
        let Some(claim) = Claim::read(element) else {
            summary.error += 1;
            errors.push(if settings.tokens { hidden(element) } else { element.get().to_owned() });
            continue;
        };
        let judgement = judge::judge(&claim.nik, reference, settings.min_age, regions);
        summary.add(&judgement);
        let entry = Entry { claim, judgement, reference, regions, settings };
        entries.push(entry.json(index, &mut found));
    }
    let of = |key: &str| found.get(key).copied().unwrap_or(0);
    let declared = format!(
        r#","declared":{{"consistent":{},"inconsistent":{}}}}}"#,
        of("consistent"),
        of("inconsistent")
    );
    let counts = counts(&summary);
    let text = format!(
        r#"{{"message":"success","errors":[{}],"data":[{}],"summary":{}{declared}}}"#,
        errors.join(","),
        entries.join(","),
        counts.strip_suffix('}').expect("an object")
    );
    (summary, found, text)
}

struct Entry<'a> {
    claim: Claim,
    judgement: Judgement,
    reference: NaiveDate,
    regions: &'a Regions,
    settings: &'a Settings,
}

/// The outcomes of a claim by field, and whether they are consistent.
struct Compared {
    outcomes: Vec<(&'static str, &'static str)>,
    consistent: Option<bool>,
}

impl Compared {
    fn json(&self) -> String {
        let mut text = "{".to_owned();
        for (field, outcome) in &self.outcomes {
            text += &[&quoted(field), ":", &quoted(outcome), ","].concat();
        }
        let consistent = self.consistent.map_or("null".to_owned(), |it| it.to_string());
        text + "\"consistent\":" + &consistent + "}"
    }

    fn count(&self, found: &mut Counts) {
        for (field, outcome) in &self.outcomes {
            count(found, format!("{field}.{outcome}"));
        }
        match self.consistent {
            Some(true) => count(found, "consistent".to_owned()),
            Some(false) => count(found, "inconsistent".to_owned()),
            None => {}
        }
    }
}

fn count(found: &mut Counts, name: String) {
    *found.entry(name).or_insert(0) += 1;
}

impl Entry<'_> {
    fn json(&self, index: usize, found: &mut Counts) -> String {
        let reasons = [
            self.length_reason(),
            self.area_reason(),
            self.dob_reason(),
            self.gender_reason(),
            self.computerized_reason(),
        ];
        let mut sections = Vec::new();
        for ((section, valid), reason) in self.judgement.verdicts().into_iter().zip(reasons) {
            let value = value_of(&self.claim.nik, &self.judgement, section, self.settings);
            let reason_text = nullable(reason);
            let history = if section == "area" {
                format!(r#","state":{},"now":{}"#, nullable(self.state()), self.now())
            } else {
                String::new()
            };
            sections.push(format!(
                r#""{section}":{{"value":{value},"valid":{valid},"reason":{reason_text}{history}}}"#
            ));
            if let Some(reason) = reason {
                count(found, format!("{section}.{reason}"));
            }
        }
        let warnings = self.warnings();
        for warning in &warnings {
            count(found, (*warning).to_owned());
        }
        let declared = self.declared();
        if let Some(declared) = &declared {
            declared.count(found);
        }
        let declared = declared.map_or("null".to_owned(), |declared| declared.json());
        let warnings: Vec<String> = warnings.iter().map(|it| quoted(it)).collect();
        format!(
            r#"{{"index":{index},"nik":{},"valid":{},"sections":{{{}}},"warnings":[{}],"declared":{declared}}}"#,
            named(&self.claim.nik, self.settings),
            self.judgement.valid(),
            sections.join(","),
            warnings.join(",")
        )
    }

    fn characters(&self) -> Vec<char> {
        self.claim.nik.chars().collect()
    }

    /// The first six characters, if all are digits.
    fn code(&self) -> Option<String> {
        let six: String = self.characters().iter().take(6).collect();
        six.chars().all(|c| c.is_ascii_digit()).then_some(six)
    }

    fn row(&self) -> Option<&Row> {
        self.regions.row(&self.code()?)
    }

    fn length_reason(&self) -> Option<&'static str> {
        let characters = self.characters();
        match characters.len() {
            ..16 => Some("too_short"),
            17.. => Some("too_long"),
            16 if !characters.iter().all(char::is_ascii_digit) => Some("not_digits"),
            16 => None,
        }
    }

    fn area_reason(&self) -> Option<&'static str> {
        let Some(code) = self.code() else {
            return Some("not_digits");
        };
        let unknown = |digits: usize| self.regions.row(&code[..digits]).is_none();
        if unknown(2) {
            Some("unknown_province")
        } else if unknown(4) {
            Some("unknown_regency")
        } else if unknown(6) {
            Some("unknown_kecamatan")
        } else if self.regions.find(&code).is_none() {
            Some("retired")
        } else {
            None
        }
    }

    /// Day, month and year of two digits, a woman's day without its 40.
    fn birth_numbers(&self) -> Option<[u32; 3]> {
        let digits: String = self.characters().iter().skip(6).take(6).collect();
        if digits.len() != 6 {
            return None;
        }
        let number = |at: usize| digits[at..at + 2].parse::<u32>().expect("two digits");
        let day = if number(0) >= 41 { number(0) - 40 } else { number(0) };
        Some([day, number(2), number(4)])
    }

    /// The days of both centuries that the NIK can mean.
    fn days(&self) -> Vec<NaiveDate> {
        let Some([day, month, year]) = self.birth_numbers() else {
            return Vec::new();
        };
        [1900, 2000]
            .into_iter()
            .filter_map(|century| NaiveDate::from_ymd_opt(century + year.cast_signed(), month, day))
            .collect()
    }

    fn dob_reason(&self) -> Option<&'static str> {
        let Some([day, month, _]) = self.birth_numbers() else {
            return Some("incomplete");
        };
        let days = self.days();
        if !(1..=31).contains(&day) {
            Some("day_out_of_range")
        } else if !(1..=12).contains(&month) {
            Some("month_out_of_range")
        } else if days.is_empty() {
            Some("no_such_day")
        } else if days.iter().all(|day| *day > self.reference) {
            Some("after_reference_date")
        } else if self
            .judgement
            .dob
            .as_ref()
            .is_some_and(|born| born.age < usize::from(self.settings.min_age))
        {
            Some("below_min_age")
        } else {
            None
        }
    }

    fn gender_reason(&self) -> Option<&'static str> {
        matches!(self.characters()[6], '8' | '9').then_some("out_of_range")
    }

    fn computerized_reason(&self) -> Option<&'static str> {
        let rest: String = self.characters().iter().skip(12).collect();
        if rest.is_empty() {
            Some("missing")
        } else if rest.chars().count() != 4 || !rest.chars().all(|c| c.is_ascii_digit()) {
            Some("not_four_digits")
        } else if rest == "0000" {
            Some("zero")
        } else {
            None
        }
    }

    fn state(&self) -> Option<&'static str> {
        self.row().map(|row| if row.retired.is_some() { "retired" } else { "current" })
    }

    fn now(&self) -> String {
        let retired = self.row().and_then(|row| row.retired.as_ref());
        let Some(code) = retired.and_then(|retired| retired.successor.as_deref()) else {
            return "null".to_owned();
        };
        let name = |digits: usize| {
            let row = code.get(..digits).and_then(|code| self.regions.row(code));
            let absent = if self.settings.absent_null { "null" } else { "\"None\"" };
            row.map_or(absent.to_owned(), |row| quoted(&row.name))
        };
        format!(
            r#"{{"code":"{code}","province":{},"district":{},"subdistrict":{}}}"#,
            name(2),
            name(4),
            name(6)
        )
    }

    fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        let row = self.row().filter(|_| self.area_reason().is_none());
        if let Some(Row { name, retired: Some(retired) }) = row {
            warnings.push("retired_area");
            if name.is_empty() {
                warnings.push("unnamed_area");
            }
            if ["medium", "low"].contains(&retired.confidence.as_str()) {
                warnings.push("uncertain_area");
            }
        }
        let possible = self.days().iter().filter(|day| **day <= self.reference).count();
        if self.dob_reason().is_none() && possible == 2 {
            warnings.push("ambiguous_century");
        }
        warnings
    }

    fn declared(&self) -> Option<Compared> {
        let claim = &self.claim;
        let mut outcomes = Vec::new();
        outcomes.extend(claim.birth_date.map(|date| ("birth_date", self.compare_date(date))));
        outcomes.extend(claim.gender.as_deref().map(|it| ("gender", self.compare_gender(it))));
        let consistent = Some(outcomes.iter().all(|(_, outcome)| *outcome == "match"))
            .filter(|_| !outcomes.is_empty());
        outcomes.extend(claim.area.as_deref().map(|area| ("area", self.compare_area(area))));
        (!outcomes.is_empty()).then_some(Compared { outcomes, consistent })
    }

    fn compare_date(&self, declared: NaiveDate) -> &'static str {
        if self.days().is_empty() {
            return "not_comparable";
        }
        let earliest = NaiveDate::from_ymd_opt(1900, 1, 1).expect("a day");
        let numbers = [declared.day(), declared.month(), declared.year().cast_unsigned() % 100];
        let matches = self.birth_numbers() == Some(numbers)
            && declared <= self.reference
            && declared >= earliest;
        if matches { "match" } else { "mismatch" }
    }

    fn compare_gender(&self, declared: &str) -> &'static str {
        match self.judgement.gender {
            None => "not_comparable",
            Some(gender) if gender == declared => "match",
            Some(_) => "mismatch",
        }
    }

    fn compare_area(&self, declared: &str) -> &'static str {
        let Some(code) = self.code().filter(|_| self.area_reason().is_none()) else {
            return "not_comparable";
        };
        if self.regions.row(declared).is_none() {
            return "not_comparable";
        }
        if code.starts_with(declared) {
            return "match";
        }
        let meets = self.chain(&code).iter().any(|ours| {
            self.chain(declared).iter().any(|theirs| ours.starts_with(theirs.as_str()))
        });
        if meets { "match_by_history" } else { "mismatch" }
    }

    /// The code, its successor, the successor of that, and so on.
    fn chain(&self, code: &str) -> Vec<String> {
        let mut chain = vec![code.to_owned()];
        while let Some(Row { retired: Some(retired), .. }) =
            self.regions.row(chain.last().expect("one at least"))
            && let Some(successor) = &retired.successor
        {
            chain.push(successor.clone());
        }
        chain
    }
}

fn nullable(text: Option<&str>) -> String {
    text.map_or("null".to_owned(), quoted)
}
