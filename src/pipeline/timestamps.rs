//! Which timestamps of requests are plausible, and what replaces the others.

/// An outcome whose request is dated further ahead of the clock gets the clock's time;
/// milliseconds.
pub const OUTCOME_MAX_AHEAD_MS: i64 = 10 * 60 * 1000;

/// Timestamps beyond these limits are wrong, such as those of a producer that writes seconds or
/// microseconds in place of milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct TimestampLimits {
    /// The first plausible one, in milliseconds since 1970.
    pub earliest: i64,
    /// How far ahead of the clock they may be, in milliseconds.
    pub max_ahead: i64,
}

/// Why an outcome does not carry the timestamp of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replaced {
    Past,
    Future,
    /// The brokers refused it.
    Refused,
    /// The request has none.
    Missing,
}

impl Replaced {
    pub const ALL: [Self; 4] = [Self::Past, Self::Future, Self::Refused, Self::Missing];

    /// The name in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Past => "past",
            Self::Future => "future",
            Self::Refused => "refused",
            Self::Missing => "missing",
        }
    }
}

/// By which time a request is judged, and which timestamp its outcome gets. The two differ if the
/// request's timestamp is plausible and still too far ahead of the clock for an outcome. Times are
/// milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTime {
    /// The request's timestamp, if it is plausible.
    pub plausible: Option<i64>,
    /// The clock.
    pub now: i64,
    /// Why the outcome gets the clock's time; `None` if it gets the request's.
    pub replaced: Option<Replaced>,
}

impl RequestTime {
    /// The time on whose day the request is judged.
    pub fn judged(self) -> i64 {
        self.plausible.unwrap_or(self.now)
    }

    /// The timestamp of the outcome.
    pub fn outcome(self) -> i64 {
        if self.replaced.is_some() { self.now } else { self.judged() }
    }
}

impl TimestampLimits {
    /// Checks a request's `timestamp` when the clock is at `now`.
    pub fn time(&self, timestamp: Option<i64>, now: i64) -> RequestTime {
        let plausible = self.earliest..=now.saturating_add(self.max_ahead);
        let replaced = match timestamp {
            None => Some(Replaced::Missing),
            Some(timestamp) if timestamp < self.earliest => Some(Replaced::Past),
            Some(timestamp) if timestamp > now + OUTCOME_MAX_AHEAD_MS => Some(Replaced::Future),
            Some(_) => None,
        };
        RequestTime { plausible: timestamp.filter(|it| plausible.contains(it)), now, replaced }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 1440 * MINUTE;
    const NOW: i64 = 1_750_000_000_000;
    const LIMITS: TimestampLimits = TimestampLimits { earliest: 946_684_800_000, max_ahead: DAY };

    #[test]
    fn a_timestamp_beyond_the_limits_is_replaced_by_the_clock_for_the_judgement_and_the_outcome() {
        for (timestamp, cause) in [
            (Some(NOW / 1000), Replaced::Past), // seconds
            (Some(LIMITS.earliest - 1), Replaced::Past),
            (Some(NOW + DAY + 1), Replaced::Future),
            (Some(NOW * 1000), Replaced::Future), // microseconds
            (Some(i64::MAX), Replaced::Future),
            (None, Replaced::Missing),
        ] {
            let time = LIMITS.time(timestamp, NOW);
            assert_eq!((time.judged(), time.outcome()), (NOW, NOW), "{timestamp:?}");
            assert_eq!(time.replaced, Some(cause), "{timestamp:?}");
        }
    }

    #[test]
    fn a_timestamp_within_the_limits_is_kept_and_one_somewhat_ahead_only_for_the_judgement() {
        for timestamp in [LIMITS.earliest, NOW, NOW + 10 * MINUTE] {
            let time = LIMITS.time(Some(timestamp), NOW);
            assert_eq!((time.judged(), time.outcome()), (timestamp, timestamp));
            assert_eq!(time.replaced, None);
        }
        for timestamp in [NOW + 10 * MINUTE + 1, NOW + DAY] {
            let time = LIMITS.time(Some(timestamp), NOW);
            assert_eq!((time.judged(), time.outcome()), (timestamp, NOW));
            assert_eq!(time.replaced, Some(Replaced::Future));
        }
    }
}
