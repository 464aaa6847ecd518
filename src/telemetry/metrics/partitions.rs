//! The metrics of each partition, computed from [`Lag`] at each scrape.

use prometheus::{GaugeVec, IntGaugeVec};

use crate::telemetry::lag::{Lag, PartitionLag};
use crate::telemetry::now_ms;

pub(super) struct Partitions {
    pub assigned: IntGaugeVec,
    pub lag_records: IntGaugeVec,
    pub lag_seconds: GaugeVec,
    pub stable_lag_records: IntGaugeVec,
    pub stable_lag_seconds: GaugeVec,
}

impl Partitions {
    pub fn update(&self, lag: &Lag) {
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
