//! Times and durations as operators write and read them.

use std::sync::LazyLock;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

/// Placeholder for a record without a timestamp.
const NO_TIME: &str = "-";

/// Parses a time in RFC 3339, a date (midnight in UTC), or a duration before now, which is the same
/// moment for all options of a command; returns milliseconds since 1970.
pub(super) fn parse_time(text: &str) -> Result<i64, String> {
    static NOW: LazyLock<DateTime<Utc>> = LazyLock::new(Utc::now);
    parse_relative_to(text, *NOW)
}

fn parse_relative_to(text: &str, now: DateTime<Utc>) -> Result<i64, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.timestamp_millis());
    }
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(date.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
    }
    match parse_duration(text) {
        Ok(ago) => Ok(now.timestamp_millis() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
        Err(_) => Err("expected a time such as 2025-06-01T07:00:00+07:00, a date such as 2025-06-01, or how long ago: 90s, 30m, 2h, 7d".to_owned()),
    }
}

/// Parses a whole number of seconds, minutes, hours or days.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || {
        "expected a positive whole number with the unit s, m, h or d: 90s, 30m, 12h, 7d".to_owned()
    };
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(expected()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    if number == 0 {
        return Err(expected());
    }
    Ok(Duration::from_secs(u64::from(number) * unit))
}

/// Formats the timestamp of a record, in UTC.
pub(super) fn format_time(timestamp: Option<i64>) -> String {
    timestamp
        .and_then(DateTime::from_timestamp_millis)
        .map_or(NO_TIME.to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_a_date_or_a_duration_before_now() {
        let now = DateTime::from_timestamp_millis(1_750_000_000_123).unwrap();
        for (text, expected) in [
            ("2025-06-01T07:00:00+07:00", "2025-06-01T00:00:00.000Z"),
            ("2025-06-01T00:00:00.5Z", "2025-06-01T00:00:00.500Z"),
            ("2025-06-01", "2025-06-01T00:00:00.000Z"),
            ("2h", "2025-06-15T13:06:40.123Z"),
        ] {
            assert_eq!(format_time(parse_relative_to(text, now).ok()), expected, "{text}");
        }
        for text in ["", "yesterday", "2025-02-30", "2025-06-01T07:00:00", "2", "-2h"] {
            assert!(parse_relative_to(text, now).is_err(), "{text}");
        }
        assert_eq!(format_time(None), "-");
        assert_eq!(format_time(Some(i64::MAX)), "-");
    }

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "7", "d", "0d", "-7d", "7.5d", "7w", "99999999999d", "7é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
