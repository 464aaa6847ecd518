//! Every case of the golden table, through the processor and through the reference.
//!
//! A new case has `?` in its last two columns. `NIK_BLESS=1 cargo test -p nik-wire golden` writes
//! the outcomes of the reference to `target/golden-new.tsv`, for a person to review and copy. It
//! never changes a case that has an outcome.

use crate::golden::{self, Case, On, kind, shown};
use crate::reference::adapter::ProcessorAdapter;
use crate::reference::regions::Regions;
use crate::reference::request::Process;
use crate::reference::{Answer, answer};
use nik::{Comparison, Date, Declared, SectionReason, Warning};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

fn reference_answer(case: &Case) -> Answer {
    let regions = Regions::of_the_project(case.retired);
    answer(case.request.as_deref(), case.on.day(), &case.settings, regions)
}

/// One processor for each combination of settings, so that its cases share buffers.
#[derive(Default)]
struct Processors(HashMap<&'static str, ProcessorAdapter>);

impl Processors {
    fn answer(&mut self, case: &Case) -> Answer {
        let date = match case.on {
            On::Day(day) => Date::parse(&day.to_string()).expect("a date"),
            On::Timestamp(milliseconds) => Date::from_unix_ms_jakarta(milliseconds),
        };
        self.0
            .entry(case.settings_text)
            .or_insert_with(|| ProcessorAdapter::new(&case.settings, case.retired))
            .answer(case.request.as_deref(), date)
    }
}

/// Runs every case, and fails with a list of those that differ.
fn assert_outcomes(mut found: impl FnMut(&Case) -> (&'static str, Vec<u8>)) {
    let mut wrong = String::new();
    for case in golden::cases() {
        let Some(expected) = &case.outcome else {
            continue;
        };
        let (kind, bytes) = found(&case);
        if (kind, &bytes) != (case.kind, expected) {
            let Case { name, file, line, .. } = case;
            writeln!(wrong, "{name} ({file}, line {line})").expect("a String");
            writeln!(wrong, " expected {} {}", case.kind, shown(expected)).expect("a String");
            writeln!(wrong, " found    {kind} {}", shown(&bytes)).expect("a String");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_reference_gives_every_golden_outcome() {
    assert_outcomes(|case| {
        let answer = reference_answer(case);
        (kind(&answer), answer.bytes)
    });
}

#[test]
fn the_processor_gives_every_golden_outcome() {
    let mut processors = Processors::default();
    assert_outcomes(|case| {
        let answer = processors.answer(case);
        assert_eq!(answer, reference_answer(case), "{}", case.name);
        (kind(&answer), answer.bytes)
    });
}

#[test]
fn every_case_has_a_reviewed_outcome() {
    let new: Vec<Case> =
        golden::cases().into_iter().filter(|case| case.outcome.is_none()).collect();
    if std::env::var_os("NIK_BLESS").is_some() {
        let mut lines = String::new();
        for case in &new {
            let answer = reference_answer(case);
            writeln!(lines, "{}\t{}\t{}", case.question, kind(&answer), shown(&answer.bytes))
                .expect("a String");
        }
        let side_file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/golden-new.tsv");
        std::fs::write(side_file, lines).expect("target/ is writable");
    }
    let names: Vec<&str> = new.iter().map(|case| case.name).collect();
    assert!(names.is_empty(), "cases without an outcome (NIK_BLESS=1 proposes one): {names:?}");
}

/// The names of everything that explained golden results contain.
fn explained_names() -> HashSet<String> {
    let results = golden::cases().into_iter().filter(|case| case.kind == "explain");
    let names = results.flat_map(|case| reference_answer(&case).explained.into_keys());
    names.collect()
}

#[test]
fn every_reason_warning_and_outcome_of_a_claim_is_in_a_golden_case() {
    let found = explained_names();
    let reasons =
        SectionReason::ALL.map(|reason| format!("{}.{}", reason.section(), reason.as_str()));
    let warnings = Warning::ALL.map(|warning| warning.as_str().to_owned());
    let declared = Declared::FIELDS.into_iter().flat_map(|field| {
        let outcomes = Comparison::ALL.into_iter().filter(move |it| Declared::can_be(field, *it));
        outcomes.map(move |outcome| format!("{field}.{}", outcome.as_str()))
    });
    let claims = ["consistent", "inconsistent"].map(str::to_owned);
    let all = reasons.into_iter().chain(warnings).chain(declared).chain(claims);
    assert_eq!(all.collect::<HashSet<_>>(), found);
}

/// The process does not change the verdicts: every golden case of `full` has the same sections,
/// values and verdicts under `explain`.
#[test]
fn explain_has_the_sections_of_full() {
    let mut processors = Processors::default();
    let mut compared = 0;
    for case in golden::cases().into_iter().filter(|case| case.kind == "full") {
        // A result of `explain` is larger, and its elements can be claims.
        let request = str::from_utf8(case.request.as_deref().unwrap_or_default()).expect("text");
        let request = request.replace("\"full\"", "\"explain\"");
        let explained = Case { request: Some(request.into_bytes()), ..case };
        let answer = processors.answer(&explained);
        let (Ok((Process::Explain, _)), Ok(full), Ok(explained)) = (
            &answer.kind,
            serde_json::from_slice::<Value>(explained.outcome.as_deref().unwrap_or_default()),
            serde_json::from_slice::<Value>(&answer.bytes),
        ) else {
            continue;
        };
        for entry in explained["data"].as_array().expect("an array") {
            let full = &full["data"][entry["nik"].as_str().expect("a text")];
            assert_eq!(entry["valid"], full["valid"]);
            for (section, expected) in full["data"].as_object().expect("sections") {
                let section = &entry["sections"][section];
                assert_eq!(section["value"], expected["value"]);
                assert_eq!(section["valid"], expected["valid"]);
                assert_eq!(section["reason"].is_null(), section["valid"] == true);
            }
            compared += 1;
        }
    }
    assert!(compared > 300, "{compared} NIKs");
}

#[test]
fn the_table_has_at_least_700_cases_with_unique_names() {
    let cases = golden::cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "a duplicate name");
    assert!(cases.len() >= 700, "{} cases", cases.len());
}
