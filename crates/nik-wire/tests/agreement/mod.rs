//! Processor and reference give the same outcome for random requests, nearly valid and broken ones.
//!
//! `PROPTEST_CASES=1000000 cargo test -p nik-wire agreement` runs longer.

mod requests;

use crate::golden::{kind, shown};
use crate::reference::adapter::ProcessorAdapter;
use crate::reference::regions::{Regions, Retired};
use crate::reference::{Answer, Settings, answer};
use chrono::NaiveDate;
use nik::Date;
use nik::dataset;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use requests::{damaged, day};
use std::cell::RefCell;
use std::collections::HashMap;

/// Processor and reference under the same settings.
struct Pair {
    settings: Settings,
    regions: &'static Regions,
    processor: ProcessorAdapter,
}

impl Pair {
    fn new(settings: Settings, retired: Retired) -> Self {
        let processor = ProcessorAdapter::new(&settings, retired);
        Self { settings, regions: Regions::of_the_project(retired), processor }
    }

    fn answers(&mut self, request: &[u8], day: NaiveDate) -> [Answer; 2] {
        let date = Date::parse(&day.to_string()).expect("a date");
        [
            self.processor.answer(Some(request), date),
            answer(Some(request), day, &self.settings, self.regions),
        ]
    }
}

/// The defaults, strict rules, limits that small requests exceed, and both kinds of privacy.
fn pairs() -> [Pair; 4] {
    let strict = Settings { min_age: 17, absent_null: true, ..Settings::default() };
    let small = Settings {
        niks_per_request: 3,
        request_bytes: 400,
        result_bytes: 400,
        ..Settings::default()
    };
    let private = Settings { tokens: true, failures_by_reference: true, ..Settings::default() };
    [
        Pair::new(Settings::default(), Retired::All),
        Pair::new(strict, Retired::Confirmed),
        Pair::new(small, Retired::None),
        Pair::new(private, Retired::All),
    ]
}

#[test]
fn processor_and_reference_agree_on_any_request() {
    let pairs = RefCell::new(pairs());
    let mut counts = HashMap::new();
    let counted = RefCell::new(&mut counts);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let input = (damaged(), day(), 0..4_usize);
    TestRunner::new(ProptestConfig { cases: config.cases.max(4096), ..config })
        .run(&input, |(request, day, pair)| {
            let [found, expected] = pairs.borrow_mut()[pair].answers(&request, day);
            *counted.borrow_mut().entry(kind(&expected)).or_insert(0) += 1;
            prop_assert_eq!(
                shown(&found.bytes),
                shown(&expected.bytes),
                "request {}",
                shown(&request)
            );
            prop_assert_eq!(found.kind, expected.kind, "request {}", shown(&request));
            prop_assert_eq!(found.explained, expected.explained, "request {}", shown(&request));
            Ok(())
        })
        .unwrap_or_else(|problem| panic!("{problem}"));
    println!("{counts:?}");
    // Requests that all fail for the same reason would prove little.
    for kind in [
        "limited",
        "full",
        "explain",
        "malformed_json",
        "invalid_request",
        "unknown_process",
        "too_many_niks",
        "request_too_large",
        "result_too_large",
    ] {
        assert!(
            counts.get(kind).is_some_and(|count| *count >= 20),
            "too few of {kind}: {counts:?}"
        );
    }
}

#[test]
fn processor_and_reference_agree_on_every_number_of_every_regency() {
    let tables = [dataset::CURRENT_TSV, dataset::RETIRED_TSV];
    let lines = tables.iter().flat_map(|table| table.lines());
    let mut regencies: Vec<&str> =
        lines.filter_map(|line| line.split('\t').next()).filter(|code| code.len() == 4).collect();
    regencies.extend(["0000", "0099", "1000", "1199", "9700", "9999"]);
    let day = NaiveDate::from_ymd_opt(2025, 6, 15).expect("a day");
    for mut pair in pairs().into_iter().take(2) {
        for regencies in regencies.chunks(100) {
            let niks: Vec<String> = regencies
                .iter()
                .flat_map(|regency| {
                    (0..100).map(move |number| format!("\"{regency}{number:02}0101900001\""))
                })
                .collect();
            for process in ["full", "explain"] {
                let request = format!(r#"{{"nik":[{}],"process":"{process}"}}"#, niks.join(","));
                let [found, expected] = pair.answers(request.as_bytes(), day);
                assert!(found == expected, "one of {regencies:?} in {process}");
            }
        }
    }
}
