//! What all workers and the watch share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nik::Date;
use nik_wire::process::Processor;

use super::breaker::SharedBreaker;
use super::headers::OutcomeHeaders;
use super::outputs::Outputs;
use super::positions::OwnPositions;
use super::renewal::Turn;
use super::shutdown::{ShutdownBarrier, Signal};
use crate::config::{Guarantee, ReferenceDate, Settings};
use crate::kafka::client::config::Clients;
use crate::pipeline::epoch::{Cadence, Pace};
use crate::pipeline::timestamps::{Replaced, RequestTime, TimestampLimits};
use crate::telemetry::health::Health;
use crate::telemetry::logging::RepeatLimit;
use crate::telemetry::metrics::Metrics;

pub struct Shared {
    pub clients: Clients,
    pub group: String,
    pub processor: Processor,
    pub outputs: Outputs,
    pub headers: OutcomeHeaders,
    pub policy: StreamPolicy,
    pub pace: Pace,
    pub telemetry: Telemetry,
    /// Set to ask the watch for a look at the cluster now.
    pub refresh: Signal<bool>,
    /// How often no broker answered the watch.
    pub outages: AtomicU64,
    pub own_positions: Arc<OwnPositions>,
    /// Which worker may replace its clients.
    pub turn: Turn,
    pub shutdown: ShutdownBarrier,
}

/// The operator's decisions about the stream.
pub struct StreamPolicy {
    pub guarantee: Guarantee,
    pub cadence: Cadence,
    pub reference_date: ReferenceDate,
    pub timestamps: TimestampLimits,
}

/// What operators see of the stream, and the breaker that they control.
pub struct Telemetry {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub breaker: Arc<SharedBreaker>,
    /// Limits the lines about timestamps that were replaced.
    pub replaced: RepeatLimit<Replaced>,
}

impl Shared {
    /// Asks the watch for a look at the cluster now.
    pub fn refresh_soon(&self) {
        self.refresh.update(|wanted| *wanted = true);
    }

    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }
}

impl StreamPolicy {
    pub fn new(settings: &Settings) -> Self {
        let delivery = &settings.delivery;
        Self {
            guarantee: delivery.guarantee,
            cadence: Cadence {
                interval: Duration::from_millis(delivery.commit_interval_ms),
                min_interval: Duration::from_millis(delivery.commit_min_interval_ms),
                records: delivery.commit_records,
                bytes: delivery.commit_bytes,
            },
            reference_date: settings.rules.reference_date,
            timestamps: settings.rules.timestamps(),
        }
    }

    /// The day for which a record is judged.
    pub fn date(&self, time: RequestTime) -> Date {
        match self.reference_date {
            ReferenceDate::Record => Date::from_unix_ms_jakarta(time.judged()),
            ReferenceDate::Now => Date::from_unix_ms_jakarta(time.now),
            ReferenceDate::Date(date) => date,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_judged_for_its_own_day_unless_the_setting_says_otherwise() {
        let (then, now) = (951_760_000_000, 1_709_226_000_000); // 29 February 2000 and 1 March 2024 in Jakarta
        let day = |text| Date::parse(text).unwrap();
        let fixed = ReferenceDate::Date(day("2020-01-02"));
        for (reference_date, timestamp, expected) in [
            (ReferenceDate::Record, Some(then), "2000-02-29"),
            (ReferenceDate::Record, None, "2024-03-01"),
            (ReferenceDate::Now, Some(then), "2024-03-01"),
            (fixed, Some(then), "2020-01-02"),
        ] {
            let (interval, min_interval) = (Duration::ZERO, Duration::ZERO);
            let timestamps = TimestampLimits { earliest: 0, max_ahead: 0 };
            let policy = StreamPolicy {
                guarantee: Guarantee::ExactlyOnce,
                cadence: Cadence { interval, min_interval, records: 0, bytes: 0 },
                reference_date,
                timestamps,
            };
            assert_eq!(policy.date(timestamps.time(timestamp, now)), day(expected));
        }
    }
}
