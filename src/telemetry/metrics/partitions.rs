//! The metrics of each partition, computed from [`Lag`] at each scrape.

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use super::{gauges, register};
use crate::telemetry::lag::{Lag, PartitionLag};
use crate::telemetry::now_ms;

pub(super) struct Partitions {
    assigned: IntGaugeVec,
    lag_records: IntGaugeVec,
    lag_seconds: GaugeVec,
    stable_lag_records: IntGaugeVec,
    stable_lag_seconds: GaugeVec,
}

impl Partitions {
    pub(super) fn new(registry: &Registry) -> Self {
        const LABELS: &[&str] = &["partition"];
        let whole = |name, help| gauges(registry, name, help, LABELS);
        let seconds = |name, help| register(registry, GaugeVec::new(Opts::new(name, help), LABELS));
        Self {
            assigned: whole(
                "nik_stream_assigned",
                "1 while the partition is assigned to this instance, else 0.",
            ),
            lag_records: whole(
                "nik_stream_lag_records",
                "Records not yet committed: the partition's last stable offset minus the committed offset.",
            ),
            lag_seconds: seconds(
                "nik_stream_lag_seconds",
                "Age in seconds, by its timestamp, of the partition's oldest record not yet committed; 0 if there is none.",
            ),
            stable_lag_records: whole(
                "nik_stream_stable_lag_records",
                "Records that an open transaction of a producer holds back: the partition's high watermark minus its last stable offset.",
            ),
            stable_lag_seconds: seconds(
                "nik_stream_stable_lag_seconds",
                "Seconds for which one open transaction has held back records of the partition.",
            ),
        }
    }

    pub(super) fn update(&self, lag: &Lag) {
        // Only the instance that a partition is assigned to reports its lag.
        self.lag_records.reset();
        self.lag_seconds.reset();
        self.stable_lag_records.reset();
        self.stable_lag_seconds.reset();
        for PartitionLag { partition, lag, hidden } in lag.read(now_ms()) {
            let label = &[&partition.to_string()];
            self.assigned.with_label_values(label).set(i64::from(lag.is_some()));
            if let Some((records, milliseconds)) = lag {
                self.lag_records.with_label_values(label).set(records);
                self.lag_seconds.with_label_values(label).set(seconds(milliseconds));
                let (records, milliseconds) = hidden;
                self.stable_lag_records.with_label_values(label).set(records);
                self.stable_lag_seconds.with_label_values(label).set(seconds(milliseconds));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^52")]
pub(super) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}
