//! Every case of the golden table, through the pipeline and through the reference.
//!
//! A new case is written with `?` for its last two columns. Then `NIK_BLESS=1 cargo test golden` writes what the reference answers into
//! `target/golden-new.tsv`, to be read, judged and copied by a person. A case that has an answer is never written anew.

use crate::golden::{self, Case, On, kind, shown};
use crate::reference::fast::Fast;
use crate::reference::regions::Regions;
use crate::reference::{Answer, answer};
use nik::Date;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

fn by_the_reference(case: &Case) -> Answer {
    let regions = Regions::of_the_project(case.retired);
    answer(case.request.as_deref(), case.on.day(), &case.settings, regions)
}

/// Pipelines by their settings. One answers every case of its settings, one after the other, in the same buffers.
#[derive(Default)]
struct Pipelines(HashMap<&'static str, Fast>);

impl Pipelines {
    fn answer(&mut self, case: &Case) -> Answer {
        let date = match case.on {
            On::Day(day) => Date::parse(&day.to_string()).expect("a date"),
            On::Timestamp(milliseconds) => Date::from_unix_ms_jakarta(milliseconds),
        };
        self.0
            .entry(case.settings_text)
            .or_insert_with(|| Fast::new(&case.settings, case.retired))
            .answer(case.request.as_deref(), date)
    }
}

/// Runs every case, then says of each that is wrong how it reads.
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
        let answer = by_the_reference(case);
        (kind(&answer), answer.bytes)
    });
}

#[test]
fn the_pipeline_gives_every_golden_outcome() {
    let mut pipelines = Pipelines::default();
    assert_outcomes(|case| {
        let answer = pipelines.answer(case);
        assert_eq!(answer.kind, by_the_reference(case).kind, "counts and process of {}", case.name);
        (kind(&answer), answer.bytes)
    });
}

#[test]
fn every_case_has_an_outcome_that_a_person_has_read() {
    let new: Vec<Case> =
        golden::cases().into_iter().filter(|case| case.outcome.is_none()).collect();
    if std::env::var_os("NIK_BLESS").is_some() {
        let mut lines = String::new();
        for case in &new {
            let answer = by_the_reference(case);
            writeln!(lines, "{}\t{}\t{}", case.question, kind(&answer), shown(&answer.bytes))
                .expect("a String");
        }
        let side_file = concat!(env!("CARGO_MANIFEST_DIR"), "/target/golden-new.tsv");
        std::fs::write(side_file, lines).expect("target is there to be written");
    }
    let names: Vec<&str> = new.iter().map(|case| case.name).collect();
    assert!(names.is_empty(), "no outcome yet (NIK_BLESS=1 proposes one): {names:?}");
}

#[test]
fn the_table_is_large_and_names_each_case_once() {
    let cases = golden::cases();
    let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "a name stands twice");
    assert!(cases.len() >= 300, "{} cases", cases.len());
}
