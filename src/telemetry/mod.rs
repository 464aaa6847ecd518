//! What operators see: counters, health, logs, the live page; beside it over HTTP, the door to the judgement.

pub mod api;
pub mod health;
pub mod http;
pub mod lag;
pub mod logging;
pub mod metrics;
mod page;
mod patient;
mod repeats;
mod samples;
pub mod status;

use std::time::{SystemTime, UNIX_EPOCH};

use nik::Date;

/// The clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Today in Jakarta.
pub fn today() -> Date {
    Date::from_unix_ms_jakarta(now_ms())
}
