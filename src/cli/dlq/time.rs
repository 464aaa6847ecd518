//! Times as operators write and read them.

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};

use crate::cli::topics::parse_duration;

/// Placeholder for a record without a timestamp.
const NO_TIME: &str = "-";

/// Parses a time in RFC 3339, a date (midnight in UTC), or a duration before now; returns
/// milliseconds since 1970.
pub(in crate::cli) fn parse_time(text: &str) -> Result<i64, String> {
    parse_relative_to(text, Utc::now())
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
}
