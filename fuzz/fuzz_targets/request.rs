//! Any bytes as a request: pipeline and reference (`tests/reference`) must give the same outcome, byte by byte, under roomy
//! limits and under narrow ones.
//!
//! `script/fuzz` runs it.

#![no_main]

#[path = "../../crates/nik-wire/tests/reference/mod.rs"]
mod reference;

use chrono::NaiveDate;
use libfuzzer_sys::fuzz_target;
use nik::Date;
use reference::fast::Fast;
use reference::regions::{Regions, Retired};
use reference::{Settings, answer};
use std::cell::RefCell;

struct Pair {
    settings: Settings,
    retired: Retired,
    fast: Fast,
}

thread_local! {
    static PAIRS: RefCell<[Pair; 2]> = RefCell::new([
        pair(Settings::default(), Retired::All),
        pair(narrow(), Retired::Confirmed),
    ]);
}

/// Limits that requests of a few hundred bytes reach.
fn narrow() -> Settings {
    Settings {
        niks_per_request: 3,
        request_bytes: 300,
        result_bytes: 500,
        min_age: 17,
        absent_null: true,
    }
}

fn pair(settings: Settings, retired: Retired) -> Pair {
    let fast = Fast::new(&settings, retired);
    Pair { settings, retired, fast }
}

fuzz_target!(|request: &[u8]| {
    // One day is enough here: the calendar is checked day by day in tests/judgement.rs.
    let day = NaiveDate::from_ymd_opt(2025, 6, 15).expect("a day");
    let date = Date::new(2025, 6, 15).expect("a day");
    PAIRS.with_borrow_mut(|pairs| {
        for Pair { settings, retired, fast } in pairs {
            let regions = Regions::of_the_project(*retired);
            assert_eq!(
                fast.answer(Some(request), date),
                answer(Some(request), day, settings, regions)
            );
        }
    });
});
