//! What all workers share.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;

use nik::Date;
use nik_wire::process::Processor;

use super::breaker::SharedBreaker;
use super::partitions::{Counts, Output};
use super::reply::Replies;
use super::shutdown::ShutdownBarrier;
use crate::config::{Guarantee, ReferenceDate};
use crate::kafka::client::config::Clients;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native::Offsets;
use crate::kafka::client::producer::OutputProducer;
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::epoch::Cadence;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// What all workers share.
pub struct Shared {
    pub clients: Clients,
    pub requests: String,
    pub group_c: CString,
    pub requests_c: CString,
    pub results_c: CString,
    pub failures_c: CString,
    pub replies: Replies,
    pub group: String,
    pub guarantee: Guarantee,
    pub cadence: Cadence,
    pub reference: ReferenceDate,
    pub processor: Processor,
    pub counts: Arc<Counts>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    pub breaker: Arc<SharedBreaker>,
    pub shutdown: ShutdownBarrier,
}

impl Shared {
    /// Ends what an aborted transaction may have left in the outputs of the records at `starts`.
    pub fn sweep(&self, sink: &mut OutputProducer, starts: &[(i32, i64)]) -> Result<(), Fault> {
        if starts.is_empty() {
            return Ok(());
        }
        let mut places = BTreeSet::new();
        for output in self.counts.outputs() {
            if !self.takes(output) {
                continue;
            }
            for &(partition, _) in starts {
                let reach = self.counts.reach(output, partition);
                places.extend(reach.map(|partition| (self.topic(output).as_c_str(), partition)));
            }
        }
        let positions = Offsets::new(&self.requests_c, starts.iter().copied());
        sink.sweep(places.into_iter(), &self.group_c, positions)
    }

    pub fn topic(&self, output: Output) -> &CString {
        match output {
            Output::Results => &self.results_c,
            Output::Failures => &self.failures_c,
            Output::Reply(place) => &self.replies.0[place],
        }
    }

    /// Whether an output is worth a try: the stream goes on without those for replies.
    pub fn takes(&self, output: Output) -> bool {
        let Output::Reply(_) = output else {
            return true;
        };
        let right = Right::on_topic(Operation::Write, &self.topic(output).to_string_lossy());
        self.counts.of(output) > 0 && !self.clients.access.is_denied(&right)
    }
}

impl ReferenceDate {
    /// The day at which a record is judged: `timestamp` is its own, `now_ms` the clock's, in milliseconds since 1970.
    pub fn date(self, timestamp: Option<i64>, now_ms: i64) -> Date {
        match self {
            ReferenceDate::Record => Date::from_unix_ms_jakarta(timestamp.unwrap_or(now_ms)),
            ReferenceDate::Now => Date::from_unix_ms_jakarta(now_ms),
            ReferenceDate::Date(date) => date,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_judged_on_its_own_day_unless_the_setting_says_another() {
        let (then, now) = (951_760_000_000, 1_709_226_000_000); // 29 February 2000 and 1 March 2024 in Jakarta
        let day = |text| Date::parse(text).unwrap();
        let fixed = ReferenceDate::Date(day("2020-01-02"));
        for (reference, timestamp, expected) in [
            (ReferenceDate::Record, Some(then), "2000-02-29"),
            (ReferenceDate::Record, None, "2024-03-01"),
            (ReferenceDate::Now, Some(then), "2024-03-01"),
            (fixed, Some(then), "2020-01-02"),
        ] {
            assert_eq!(reference.date(timestamp, now), day(expected));
        }
    }
}
