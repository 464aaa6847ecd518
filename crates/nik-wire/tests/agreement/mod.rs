//! Pipeline and reference give the same bytes for any request: near-valid ones in every disguise, and broken ones.
//!
//! `PROPTEST_CASES=1000000 cargo test agreement` asks for longer.

mod requests;

use crate::golden::{kind, shown};
use crate::reference::fast::Fast;
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

/// Pipeline and reference under the same settings.
struct Pair {
    settings: Settings,
    regions: &'static Regions,
    fast: Fast,
}

impl Pair {
    fn new(settings: Settings, retired: Retired) -> Self {
        let fast = Fast::new(&settings, retired);
        Self { settings, regions: Regions::of_the_project(retired), fast }
    }

    fn answers(&mut self, request: &[u8], day: NaiveDate) -> [Answer; 2] {
        let date = Date::parse(&day.to_string()).expect("a date");
        [
            self.fast.answer(Some(request), date),
            answer(Some(request), day, &self.settings, self.regions),
        ]
    }
}

/// As it comes; strict; and with limits that small requests reach.
fn pairs() -> [Pair; 3] {
    let strict = Settings { min_age: 17, absent_null: true, ..Settings::default() };
    let small = Settings {
        niks_per_request: 3,
        request_bytes: 400,
        result_bytes: 400,
        ..Settings::default()
    };
    [
        Pair::new(Settings::default(), Retired::All),
        Pair::new(strict, Retired::Confirmed),
        Pair::new(small, Retired::None),
    ]
}

#[test]
fn any_request_has_one_answer() {
    let pairs = RefCell::new(pairs());
    let mut counts = HashMap::new();
    let counted = RefCell::new(&mut counts);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let question = (damaged(), day(), 0..3_usize);
    TestRunner::new(ProptestConfig { cases: config.cases.max(4096), ..config })
        .run(&question, |(request, day, pair)| {
            let [fast, slow] = pairs.borrow_mut()[pair].answers(&request, day);
            *counted.borrow_mut().entry(kind(&slow)).or_insert(0) += 1;
            prop_assert_eq!(shown(&fast.bytes), shown(&slow.bytes), "request {}", shown(&request));
            prop_assert_eq!(fast.kind, slow.kind, "request {}", shown(&request));
            Ok(())
        })
        .unwrap_or_else(|problem| panic!("{problem}"));
    println!("{counts:?}");
    // Requests that all fail for the same reason would agree about nothing.
    for kind in [
        "limited",
        "full",
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
fn every_number_of_every_regency_has_one_answer() {
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
            let request = format!(r#"{{"nik":[{}],"process":"full"}}"#, niks.join(","));
            let [fast, slow] = pair.answers(request.as_bytes(), day);
            assert!(fast == slow, "one of {regencies:?}");
        }
    }
}
