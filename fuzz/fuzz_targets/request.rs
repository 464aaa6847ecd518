//! For any bytes, the processor and the reference in `crates/nik-wire/tests/reference` must give
//! the same outcome, byte for byte, under the default limits, under narrow ones, and with
//! tokens.
//!
//! `script/fuzz` runs this.

#![no_main]

#[path = "../../crates/nik-wire/tests/reference/mod.rs"]
mod reference;

use chrono::NaiveDate;
use libfuzzer_sys::fuzz_target;
use nik::Date;
use reference::adapter::ProcessorAdapter;
use reference::regions::{Regions, Retired};
use reference::{Settings, answer};
use std::cell::RefCell;

struct Pair {
    settings: Settings,
    retired: Retired,
    processor: ProcessorAdapter,
}

thread_local! {
    static PAIRS: RefCell<[Pair; 3]> = RefCell::new([
        pair(Settings::default(), Retired::All),
        pair(narrow(), Retired::Confirmed),
        pair(private(), Retired::All),
    ]);
}

/// Limits that requests of a few hundred bytes exceed.
fn narrow() -> Settings {
    Settings {
        niks_per_request: 3,
        request_bytes: 300,
        result_bytes: 500,
        min_age: 17,
        absent_null: true,
        ..Settings::default()
    }
}

fn private() -> Settings {
    Settings { tokens: true, failures_by_reference: true, ..Settings::default() }
}

fn pair(settings: Settings, retired: Retired) -> Pair {
    let processor = ProcessorAdapter::new(&settings, retired);
    Pair { settings, retired, processor }
}

fuzz_target!(|request: &[u8]| {
    // One day is enough: crates/nik/tests/judgement.rs tests the calendar day by day.
    let day = NaiveDate::from_ymd_opt(2025, 6, 15).expect("a day");
    let date = Date::new(2025, 6, 15).expect("a day");
    PAIRS.with_borrow_mut(|pairs| {
        for Pair { settings, retired, processor } in pairs {
            let regions = Regions::of_the_project(*retired);
            assert_eq!(
                processor.answer(Some(request), date),
                answer(Some(request), day, settings, regions)
            );
        }
    });
});
