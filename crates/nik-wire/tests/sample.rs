//! A small set of regions, and shorthands to process a request, shared by all modules.

use std::sync::Arc;

use nik_wire::process::{Outcome, Processor, Settings};

#[path = "../../nik/tests/sample.rs"]
mod nik_sample;
pub use nik_sample::{date, regions};

pub fn processor(settings: Settings) -> Processor {
    Processor::new(Arc::new(regions()), settings)
}

/// The outcome of a request on 1 March 2024 under these settings, and its bytes.
pub fn answer_under(settings: Settings, request: &[u8]) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = processor(settings).process(Some(request), date("2024-03-01"), &mut out);
    (outcome, String::from_utf8(out).expect("outcomes are UTF-8"))
}

/// The outcome of a request on 1 March 2024 under the default settings, and its bytes.
pub fn answer(request: &str) -> (Outcome, String) {
    answer_under(Settings::default(), request.as_bytes())
}
