//! All metrics of the program. Every metric is created in this module; docs/reference.md lists
//! their names.

mod audit;
mod explained;
mod partitions;
mod regions;
mod reloads;
mod requests;
mod snapshot;
mod spans;

use std::time::Duration;

use parking_lot::Mutex;
use prometheus::{
    CounterVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

pub use self::audit::AuditMetrics;
use self::explained::Explained;
use self::partitions::{Partitions, seconds};
use self::regions::RegionGauges;
pub use self::regions::RegionsInfo;
pub use self::reloads::{Outcome, Reloaded, Reloads};
use self::requests::{ApiRequests, Requests};
pub use self::snapshot::{Snapshot, quantile};
pub use self::spans::Spans;
use super::lag::Lag;
use super::obstacle::{Obstacle, Problem};
use crate::pipeline::epoch::Tally;
use crate::pipeline::timestamps::Replaced;

pub struct Metrics {
    registry: Registry,
    number: IntCounter,
    number_processed: IntCounter,
    error: IntCounter,
    all_section: IntCounter,
    sections: [IntCounter; SECTIONS.len()],
    requests: Requests,
    explained: Explained,
    /// Requests over HTTP, which are counted apart from those of the stream.
    pub api: ApiRequests,
    niks_in_keys: IntCounter,
    pub commits: IntCounter,
    /// Epochs aborted, whose records are processed again.
    pub aborts: IntCounter,
    /// Changes of a worker's assignment.
    pub rebalances: IntCounter,
    /// Clients that did not close in time, whose threads are left behind.
    pub clients_abandoned: IntCounter,
    faults: IntCounterVec,
    worker_restarts: IntCounterVec,
    pub reloads: Reloads,
    regions: RegionGauges,
    /// Batches and records that cannot be read, by cause.
    pub unreadable_records: IntCounterVec,
    /// Committed offsets that differ from what this program knows, by kind.
    pub ledger_differences: IntCounterVec,
    timestamps_replaced: [IntCounter; Replaced::ALL.len()],
    /// Transactions that were ended a second time, by their ending.
    pub transactions_settled: IntCounterVec,
    obstacles: IntGaugeVec,
    /// Partitions of this instance that are not read.
    pub standing_partitions: IntGauge,
    pub spans: Spans,
    commit_duration: Histogram,
    latency: Histogram,
    epoch_records: Histogram,
    pub lag: Lag,
    partitions: Mutex<Partitions>,
    throttle: CounterVec,
    /// Outcomes in the producers' queues, not yet acknowledged by the brokers.
    pub queue_records: IntGauge,
    /// The bytes of those outcomes.
    pub queue_bytes: IntGauge,
    /// 1 while the flood breaker is open.
    pub breaker_open: IntGauge,
    /// Brokers listed in the cluster's metadata; 0 while no broker answers.
    pub brokers_up: IntGauge,
}

/// The clients that brokers may throttle.
pub const THROTTLED: [&str; 2] = ["consumer", "producer"];

const SECTIONS: [&str; 5] = ["length", "area", "dob", "gender", "computerized"];

/// Registers a metric. It panics on an invalid or duplicate name, since all names are constants of
/// this module.
fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("names and labels in this module are valid");
    registry.register(Box::new(metric.clone())).expect("names in this module are unique");
    metric
}

/// Registers counters, one for each combination of the labels' values.
fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

/// Registers gauges, one for each combination of the labels' values.
fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

impl Metrics {
    /// Those of no build in particular.
    #[cfg(test)]
    pub fn for_tests(causes: &[&'static str]) -> Self {
        let build = BuildInfo { version: "", revision: "", librdkafka: "" };
        let regions = RegionsInfo { release: "", sha256: "", counts: Vec::new() };
        Self::new(&build, &regions, causes)
    }

    /// Creates all metrics at 0, with every label value present. `causes` are the label values of
    /// the workers' faults.
    ///
    /// # Panics
    /// If a name in this module is invalid or used twice, which any test would find.
    #[expect(clippy::too_many_lines, reason = "a plain list")]
    pub fn new(build: &BuildInfo<'_>, regions: &RegionsInfo<'_>, causes: &[&'static str]) -> Self {
        let registry = Registry::new();
        let counter = |name, help| register(&registry, IntCounter::new(name, help));
        let gauge = |name, help| register(&registry, IntGauge::new(name, help));
        let counters = |name, help, labels: &[&str]| counters(&registry, name, help, labels);
        let gauges = |name, help, labels: &[&str]| gauges(&registry, name, help, labels);
        let histogram = |name, help, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            register(&registry, Histogram::with_opts(options))
        };
        let info = gauges(
            "nik_stream_build_info",
            "Always 1; its labels are the program's version, its source revision and librdkafka's version.",
            &["version", "revision", "librdkafka"],
        );
        info.with_label_values(&[build.version, build.revision, build.librdkafka]).set(1);
        let region_gauges = RegionGauges::new(&registry);
        region_gauges.set(regions);
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");

        let faults =
            counters("nik_stream_faults_total", "Faults of the workers, by cause.", &["cause"]);
        let worker_restarts = counters(
            "nik_stream_worker_restarts_total",
            "Restarts of workers after a fault, by the fault's cause.",
            &["cause"],
        );
        for cause in causes {
            faults.with_label_values(&[cause]);
            worker_restarts.with_label_values(&[cause]);
        }
        let unreadable_records = counters(
            "nik_stream_unreadable_records_total",
            "Batches that cannot be read (corrupt, undecodable), and records that retention deleted before they were read (out_of_range).",
            &["cause"],
        );
        for cause in ["corrupt", "undecodable", "out_of_range"] {
            unreadable_records.with_label_values(&[cause]);
        }
        let ledger_differences = counters(
            "nik_stream_ledger_differences_total",
            "Partitions whose committed offset was not the one that this program wrote last, by kind.",
            &["kind"],
        );
        for kind in ["behind", "ahead", "missing", "other_topic"] {
            ledger_differences.with_label_values(&[kind]);
        }
        let replaced = counters(
            "nik_stream_timestamps_replaced_total",
            "Outcomes committed with the clock's time in place of their request's timestamp, by cause.",
            &["cause"],
        );
        let throttle = register(
            &registry,
            CounterVec::new(
                Opts::new(
                    "nik_stream_throttle_seconds_total",
                    "Seconds by which the brokers delayed the answers to this program's clients because of a quota.",
                ),
                &["client"],
            ),
        );
        for client in THROTTLED {
            throttle.with_label_values(&[client]);
        }
        let transactions_settled = counters(
            "nik_stream_transactions_settled_total",
            "Transactions that were ended a second time, because the brokers may have skipped their markers.",
            &["ending"],
        );
        for ending in ["commit", "abort"] {
            transactions_settled.with_label_values(&[ending]);
        }
        let sections =
            counters("nik_summary_valid_section_total", "NIKs valid in one section.", &["section"]);
        Self {
            number: counter(
                "nik_summary_number_total",
                "Elements in the lists of all requests answered with a result.",
            ),
            number_processed: counter(
                "nik_summary_number_processed_total",
                "Elements of those lists that could be read as a NIK.",
            ),
            error: counter(
                "nik_summary_error_total",
                "Elements of those lists that could not be read as a NIK.",
            ),
            all_section: counter(
                "nik_summary_valid_all_section_total",
                "NIKs valid in all five sections.",
            ),
            sections: SECTIONS.map(|section| sections.with_label_values(&[section])),
            requests: Requests::new(
                &counters(
                    "nik_stream_requests_total",
                    "Requests whose outcome is committed, by outcome and requested process.",
                    &["outcome", "process"],
                ),
                &counters(
                    "nik_stream_failures_total",
                    "Dead letters committed, by reason.",
                    &["reason"],
                ),
            ),
            explained: Explained::new(&registry),
            api: ApiRequests::new(&registry),
            niks_in_keys: counter(
                "nik_stream_niks_in_keys_total",
                "Requests whose key holds a run of exactly 16 digits, counted while results hold tokens.",
            ),
            commits: counter("nik_stream_commits_total", "Epochs committed."),
            aborts: counter(
                "nik_stream_aborts_total",
                "Epochs aborted; their records are processed again.",
            ),
            rebalances: counter(
                "nik_stream_rebalances_total",
                "Changes of a worker's partition assignment.",
            ),
            clients_abandoned: counter(
                "nik_stream_clients_abandoned_total",
                "Kafka clients that did not close in time or whose call hangs; their threads are left behind.",
            ),
            faults,
            worker_restarts,
            reloads: Reloads::new(&registry),
            regions: region_gauges,
            unreadable_records,
            ledger_differences,
            timestamps_replaced: Replaced::ALL.map(|it| replaced.with_label_values(&[it.label()])),
            transactions_settled,
            obstacles: gauges(
                "nik_stream_obstacles",
                "What holds requests of this instance back now, by cause; readiness says more.",
                &["cause"],
            ),
            standing_partitions: gauge(
                "nik_stream_standing_partitions",
                "Partitions of this instance that are not read, or whose outcomes readers do not see; readiness says why.",
            ),
            spans: Spans::new(&registry),
            commit_duration: histogram(
                "nik_stream_commit_duration_seconds",
                "Seconds from the end of an epoch to its commit.",
                &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0],
            ),
            latency: histogram(
                "nik_stream_latency_seconds",
                "Seconds from a request's timestamp to the commit of its outcome.",
                &[
                    0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
                    60.0, 300.0,
                ],
            ),
            epoch_records: histogram(
                "nik_stream_epoch_records",
                "Records per committed epoch.",
                &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5],
            ),
            lag: Lag::default(),
            partitions: Mutex::new(Partitions::new(&registry)),
            throttle,
            queue_records: gauge(
                "nik_stream_producer_queue_records",
                "Outcomes in the producers' queues, not yet acknowledged by the brokers.",
            ),
            queue_bytes: gauge(
                "nik_stream_producer_queue_bytes",
                "Bytes of the outcomes in the producers' queues.",
            ),
            breaker_open: gauge(
                "nik_stream_breaker_open",
                "1 while the flood breaker is open and the workers pause, else 0.",
            ),
            brokers_up: gauge(
                "nik_stream_brokers_up",
                "Brokers listed in the cluster's metadata; 0 while no broker answers.",
            ),
            registry,
        }
    }

    /// Counts a committed epoch. Call it once the outcomes are visible to a `read_committed`
    /// consumer, never before.
    pub fn committed(&self, epoch: &Committed<'_>) {
        let tally = epoch.tally;
        let summary = &tally.summary;
        self.number.inc_by(summary.number);
        self.number_processed.inc_by(summary.number_processed);
        self.error.inc_by(summary.error);
        self.all_section.inc_by(summary.all_section);
        let valid =
            [summary.length, summary.area, summary.dob, summary.gender, summary.computerized];
        for (counter, count) in self.sections.iter().zip(valid) {
            counter.inc_by(count);
        }
        for (counter, count) in self.timestamps_replaced.iter().zip(tally.replaced) {
            counter.inc_by(count);
        }
        self.requests.add(tally);
        self.niks_in_keys.inc_by(tally.niks_in_keys);
        self.explained.add(&tally.explained);
        self.commits.inc();
        self.commit_duration.observe(epoch.duration.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        self.epoch_records.observe(tally.outcomes() as f64);
        let latency = self.latency.local();
        for timestamp in epoch.timestamps {
            latency.observe(seconds((epoch.now_ms - timestamp).max(0)));
        }
        latency.flush();
    }

    /// Counts a worker's fault. `cause` must be one of those given to [`Self::new`].
    pub fn fault(&self, cause: &'static str) {
        self.faults.with_label_values(&[cause]).inc();
    }

    /// Counts that brokers delayed the answers to a client, one of [`THROTTLED`].
    pub fn throttled(&self, client: &'static str, by: Duration) {
        self.throttle.with_label_values(&[client]).inc_by(by.as_secs_f64());
    }

    /// Shows what holds requests back now.
    pub fn set_obstacles(&self, problems: &[Problem]) {
        for cause in Obstacle::ALL {
            let count = problems.iter().filter(|it| it.obstacle == cause).count();
            let gauge = self.obstacles.with_label_values(&[cause.label()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Counts the restart of a worker after a fault. `cause` must be one of those given to
    /// [`Self::new`].
    pub fn worker_restarted(&self, cause: &'static str) {
        self.worker_restarts.with_label_values(&[cause]).inc();
    }

    /// Replaces what the metrics say about the region data.
    pub fn set_regions(&self, regions: &RegionsInfo<'_>) {
        self.regions.set(regions);
    }

    pub fn snapshot(&self) -> Snapshot {
        self.partitions.lock().update(&self.lag);
        Snapshot(self.registry.gather())
    }

    pub fn render(&self) -> String {
        self.snapshot().text()
    }
}

#[derive(Debug)]
pub struct BuildInfo<'a> {
    pub version: &'a str,
    /// The source revision; `unknown` if it was not known at the build.
    pub revision: &'a str,
    pub librdkafka: &'a str,
}

#[derive(Debug)]
pub struct Committed<'a> {
    pub tally: &'a Tally,
    /// The plausible timestamps of its requests, in milliseconds since 1970.
    pub timestamps: &'a [i64],
    /// The time of its commit, in milliseconds since 1970.
    pub now_ms: i64,
    /// How long the commit took.
    pub duration: Duration,
}
