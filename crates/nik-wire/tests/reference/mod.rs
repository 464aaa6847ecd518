//! A second implementation of the contract, written for readability: it is slow and shares no code
//! with `src`.
//!
//! The processor and this reference must give the same bytes for any request (`golden_table.rs`,
//! `agreement/`, `fuzz/`). `serde_json` parses JSON and `chrono` is the calendar; everything else
//! is spelled out here.

pub mod adapter;
pub mod explain;
pub mod judge;
pub mod regions;
pub mod request;
mod token;

use chrono::NaiveDate;
use explain::Counts;
use judge::Judgement;
use regions::Regions;
use request::{Failure, Process, Reason, Request};
use serde_json::value::RawValue;

/// The settings that affect an outcome.
#[derive(Clone, Debug)]
pub struct Settings {
    pub niks_per_request: usize,
    pub request_bytes: usize,
    pub result_bytes: usize,
    pub min_age: u8,
    /// `absent = "null"`: absent values are JSON null instead of the string `None`.
    pub absent_null: bool,
    /// `privacy.outcomes = "tokens"` under [`TOKEN_KEY`].
    pub tokens: bool,
    /// `privacy.failures = "reference"`.
    pub failures_by_reference: bool,
}

/// The id and the bytes of the key of all tokens in the tests: the numbers from 0 to 31.
pub const TOKEN_KEY: (&str, [u8; 32]) = (
    "a",
    [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24,
        25, 26, 27, 28, 29, 30, 31,
    ],
);

impl Default for Settings {
    fn default() -> Self {
        Self {
            niks_per_request: 10_000,
            request_bytes: 1024 * 1024,
            result_bytes: 4 * 1024 * 1024,
            min_age: 0,
            absent_null: false,
            tokens: false,
            failures_by_reference: false,
        }
    }
}

/// The counts of the result's `summary`, in the order of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub number: u64,
    pub number_processed: u64,
    pub error: u64,
    pub all_section: u64,
    pub length: u64,
    pub area: u64,
    pub dob: u64,
    pub gender: u64,
    pub computerized: u64,
}

impl Summary {
    fn add(&mut self, judgement: &Judgement) {
        self.number_processed += 1;
        self.all_section += u64::from(judgement.valid());
        self.length += u64::from(judgement.length);
        self.area += u64::from(judgement.area.is_some());
        self.dob += u64::from(judgement.dob_valid);
        self.gender += u64::from(judgement.gender.is_some());
        self.computerized += u64::from(judgement.computerized_valid);
    }
}

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A result: its process and counts. A failure: its reason, and its process if that could be
    /// read.
    pub kind: Result<(Process, Summary), (Reason, Option<Process>)>,
    pub bytes: Vec<u8>,
    /// What a result of the process `explain` counts beyond its summary.
    pub explained: Counts,
}

/// The whole contract in one function.
pub fn answer(
    value: Option<&[u8]>,
    reference: NaiveDate,
    settings: &Settings,
    regions: &Regions,
) -> Answer {
    let request = match request::read(value, settings) {
        Ok(request) => request,
        Err(failure) => return failed(&failure, settings),
    };
    let (summary, explained, text) = match request.process {
        Process::Explain => explain::result(&request.niks, reference, settings, regions),
        Process::Limited | Process::Full => result(&request, reference, settings, regions),
    };
    if text.len() > settings.result_bytes {
        let failure = Failure {
            reason: Reason::ResultTooLarge,
            process: Some(request.process),
            niks: request.niks_as_sent,
        };
        return failed(&failure, settings);
    }
    Answer { kind: Ok((request.process, summary)), bytes: text.into_bytes(), explained }
}

/// The failure contains the list unless that would exceed the limit of a result.
fn failed(failure: &Failure, settings: &Settings) -> Answer {
    let with = |niks: &str| format!(r#"{{"message":"failed","data":{niks}}}"#).into_bytes();
    let mut bytes = with(if settings.failures_by_reference { "[]" } else { &failure.niks });
    if bytes.len() > settings.result_bytes {
        bytes = with("[]");
    }
    Answer { kind: Err((failure.reason, failure.process)), bytes, explained: Counts::new() }
}

fn result(
    request: &Request,
    reference: NaiveDate,
    settings: &Settings,
    regions: &Regions,
) -> (Summary, Counts, String) {
    let mut errors: Vec<String> = Vec::new();
    let mut entries: Vec<(String, Judgement)> = Vec::new();
    let mut position = std::collections::HashMap::new();
    let mut summary = Summary::default();
    for element in &request.niks {
        summary.number += 1;
        let Some(nik) = text_of(element).filter(|text| judge::can_be_read(text)) else {
            summary.error += 1;
            errors.push(if settings.tokens { hidden(element) } else { element.get().to_owned() });
            continue;
        };
        let index = *position.entry(nik.clone()).or_insert_with(|| {
            let judgement = judge::judge(&nik, reference, settings.min_age, regions);
            entries.push((nik.clone(), judgement));
            entries.len() - 1
        });
        let judgement = &entries[index].1;
        summary.add(judgement);
    }
    let data: Vec<String> = entries
        .iter()
        .map(|(nik, judgement)| match request.process {
            Process::Limited => format!("{}:{}", named(nik, settings), judgement.valid()),
            _ => format!("{}:{}", named(nik, settings), sections(nik, judgement, settings)),
        })
        .collect();
    let text = format!(
        r#"{{"message":"success","errors":[{}],"data":{{{}}},"summary":{}}}"#,
        errors.join(","),
        data.join(","),
        counts(&summary)
    );
    (summary, Counts::new(), text)
}

/// The text of a NIK: a decoded string, or an integer as written. `None` for any other element.
fn text_of(element: &RawValue) -> Option<String> {
    let raw = element.get();
    match raw.as_bytes()[0] {
        b'"' => Some(serde_json::from_str(raw).expect("checked when the request was read")),
        b'-' | b'0'..=b'9' if !raw.contains(['.', 'e', 'E']) => Some(raw.to_owned()),
        _ => None,
    }
}

/// The NIK or its token, as JSON.
fn named(nik: &str, settings: &Settings) -> String {
    if settings.tokens { token_of(nik) } else { quoted(nik) }
}

fn token_of(text: &str) -> String {
    let (id, key) = TOKEN_KEY;
    quoted(&token::token(id, &key, text.as_bytes()))
}

/// An element of `errors` among tokens.
fn hidden(element: &RawValue) -> String {
    match element.get() {
        plain @ ("true" | "false" | "null") => plain.to_owned(),
        raw => token_of(&text_of(element).unwrap_or(raw.to_owned())),
    }
}

/// The value of a section as JSON.
fn value_of(nik: &str, judgement: &Judgement, section: &str, settings: &Settings) -> String {
    let absent = if settings.absent_null { "null" } else { "\"None\"" };
    let text = |value: Option<&str>| value.map_or(absent.to_owned(), quoted);
    match section {
        "length" => named(nik, settings),
        "area" => {
            let area = judgement.area.as_ref();
            let province = text(area.map(|area| area.province.as_str()));
            let district = text(area.map(|area| area.regency.as_str()));
            let subdistrict = text(area.and_then(|area| area.kecamatan.as_deref()));
            format!(
                r#"{{"province":{province},"district":{district},"subdistrict":{subdistrict}}}"#
            )
        }
        "dob" => {
            let dob = text(judgement.dob.as_ref().map(|born| born.text.as_str()));
            let born = judgement.dob.as_ref();
            let age = born.map_or(absent.to_owned(), |born| born.age.to_string());
            format!(r#"{{"dob":{dob},"age":{age}}}"#)
        }
        "gender" => text(judgement.gender),
        "computerized" => match judgement.computerized.as_deref() {
            Some(_) if settings.tokens => token_of(nik),
            serial => text(serial),
        },
        _ => panic!("no section {section}"),
    }
}

fn sections(nik: &str, judgement: &Judgement, settings: &Settings) -> String {
    let sections = judgement.verdicts().map(|(section, valid)| {
        let value = value_of(nik, judgement, section, settings);
        format!(r#""{section}":{{"value":{value},"valid":{valid}}}"#)
    });
    format!(r#"{{"data":{{{}}},"valid":{}}}"#, sections.join(","), judgement.valid())
}

fn counts(summary: &Summary) -> String {
    let Summary {
        number,
        number_processed,
        error,
        all_section,
        length,
        area,
        dob,
        gender,
        computerized,
    } = summary;
    [
        format!(r#"{{"number":{number},"number_processed":{number_processed},"error":{error},"valid":{{"#),
        format!(r#""all_section":{all_section},"section":{{"length":{length},"area":{area},"#),
        format!(r#""dob":{dob},"gender":{gender},"computerized":{computerized}}}}}}}"#),
    ]
    .concat()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}
