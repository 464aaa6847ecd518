//! Every case of the golden table, through the processor and through the reference.
//!
//! A new case has `?` in its last two columns. `NIK_BLESS=1 cargo test -p nik-wire golden` writes
//! the outcomes of the reference to `target/golden-new.tsv`, for a person to review and copy. It
//! never changes a case that has an outcome.

use crate::golden::{self, Case, On, kind, shown};
use crate::reference::adapter::ProcessorAdapter;
use crate::reference::regions::Regions;
use crate::reference::{Answer, answer};
use nik::Date;
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
        assert_eq!(answer.kind, reference_answer(case).kind, "counts and process of {}", case.name);
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

#[test]
fn the_table_has_at_least_300_cases_with_unique_names() {
    let cases = golden::cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "a duplicate name");
    assert!(cases.len() >= 300, "{} cases", cases.len());
}
