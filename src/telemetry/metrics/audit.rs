//! The metrics of one audit, for a file that the node exporter of Prometheus collects.

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use super::Snapshot;
use crate::telemetry::now_ms;

/// What one audit of a group found.
pub struct AuditMetrics<'a> {
    pub group: &'a str,
    /// Each kind of fault with its count.
    pub faults: &'a [(&'a str, u64)],
    pub requests: u64,
}

impl AuditMetrics<'_> {
    /// The text of the file.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let registry = Registry::new();
        let opts = |name: &str, help: &str| Opts::new(name, help).const_label("group", self.group);
        let faults = IntGaugeVec::new(
            opts("nik_audit_faults", "Outcomes that the latest audit found missing or wrong."),
            &["kind"],
        )?;
        for (kind, count) in self.faults {
            faults.with_label_values(&[kind]).set(whole(*count));
        }
        let requests = IntGauge::with_opts(opts(
            "nik_audit_requests",
            "Requests that the latest audit looked at.",
        ))?;
        requests.set(whole(self.requests));
        let time = IntGauge::with_opts(opts(
            "nik_audit_timestamp_seconds",
            "End of the latest audit, in seconds since 1970.",
        ))?;
        time.set(now_ms() / 1000);
        registry.register(Box::new(faults))?;
        registry.register(Box::new(requests))?;
        registry.register(Box::new(time))?;
        Ok(Snapshot(registry.gather()).text())
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
