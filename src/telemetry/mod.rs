//! What operators observe: metrics, lag, health, logs and traces; and the clock.

pub mod health;
pub mod lag;
pub mod logging;
pub mod metrics;
pub mod obstacle;
mod repeats;
pub mod traces;

use std::time::{SystemTime, UNIX_EPOCH};

use nik::Date;

/// The current time in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Today's date in Jakarta.
pub fn today() -> Date {
    Date::from_unix_ms_jakarta(now_ms())
}
