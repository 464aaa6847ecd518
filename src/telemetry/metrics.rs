//! Every metric of the program, by the names that docs/reference.md lists: the only place where one is made.

mod requests;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{NaiveDate, NaiveDateTime};
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use self::requests::{ApiRequests, Requests};
use super::lag::Lag;
use super::now_ms;
use crate::pipeline::epoch::Tally;

/// The metrics of one running program.
pub struct Metrics {
    registry: Registry,
    number: IntCounter,
    number_processed: IntCounter,
    error: IntCounter,
    all_section: IntCounter,
    sections: [IntCounter; SECTIONS.len()],
    requests: Requests,
    /// Requests over HTTP, which no reader of the topics can see: apart from those of the stream.
    pub api: ApiRequests,
    /// Epochs committed.
    pub commits: IntCounter,
    /// Epochs given up and processed again.
    pub aborts: IntCounter,
    /// Changes of the assignment.
    pub rebalances: IntCounter,
    commit_duration: Histogram,
    latency: Histogram,
    epoch_records: Histogram,
    /// How far the partitions are behind.
    pub lag: Lag,
    partitions: Mutex<Partitions>,
    /// Outcomes in the producers' queues, not yet taken by the brokers.
    pub queue_records: IntGauge,
    /// Their bytes.
    pub queue_bytes: IntGauge,
    /// 1 while the flood breaker is open.
    pub breaker_open: IntGauge,
    /// Brokers that the cluster's metadata lists; 0 while none answers.
    pub brokers_up: IntGauge,
}

/// What a scrape says of each partition, made anew each time.
struct Partitions {
    assigned: IntGaugeVec,
    records: IntGaugeVec,
    seconds: GaugeVec,
}

const SECTIONS: [&str; 5] = ["length", "area", "dob", "gender", "computerized"];

/// Registers a metric. The names are constants of this file, so a clash is a mistake in it.
fn made<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("names and labels of this file are well-formed");
    registry.register(Box::new(metric.clone())).expect("names of this file are unique");
    metric
}

impl Metrics {
    /// All metrics at 0, every value of a label present.
    ///
    /// # Panics
    /// When a name in this file is malformed or given twice: at every start, or never.
    #[expect(clippy::too_many_lines, reason = "a plain list")]
    pub fn new(build: &BuildInfo<'_>, regions: &RegionsInfo<'_>) -> Self {
        let registry = Registry::new();
        let counter = |name, help| made(&registry, IntCounter::new(name, help));
        let gauge = |name, help| made(&registry, IntGauge::new(name, help));
        let counters = |name, help, labels: &[&str]| {
            made(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges = |name, help, labels: &[&str]| {
            made(&registry, IntGaugeVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name, help, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            made(&registry, Histogram::with_opts(options))
        };
        let info = gauges(
            "nik_stream_build_info",
            "Always 1: the version that runs, its source revision and librdkafka's version.",
            &["version", "revision", "librdkafka"],
        );
        info.with_label_values(&[build.version, build.revision, build.librdkafka]).set(1);
        let info = gauges(
            "nik_stream_regions_info",
            "Always 1: the release and the checksum of the region data in use.",
            &["release", "sha256"],
        );
        info.with_label_values(&[regions.release, regions.sha256]).set(1);
        gauge(
            "nik_stream_regions_release_timestamp_seconds",
            "The middle of the year that the region data's release is named for, in seconds since 1970: its date as exactly as its name tells.",
        )
        .set(regions.middle_of_year());
        let levels = gauges(
            "nik_stream_regions",
            "Region codes known, by level and state.",
            &["level", "state"],
        );
        for &(level, state, count) in regions.counts {
            levels.with_label_values(&[level, state]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .expect("registered once");

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
                    "Requests whose outcome is committed, by outcome and by the process asked for.",
                    &["outcome", "process"],
                ),
                &counters(
                    "nik_stream_failures_total",
                    "Dead letters committed, by reason.",
                    &["reason"],
                ),
            ),
            api: ApiRequests::new(&registry),
            commits: counter("nik_stream_commits_total", "Epochs committed."),
            aborts: counter(
                "nik_stream_aborts_total",
                "Epochs given up, whose records are processed again.",
            ),
            rebalances: counter(
                "nik_stream_rebalances_total",
                "Changes of the partitions assigned to a worker.",
            ),
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
                "Records of a committed epoch.",
                &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5],
            ),
            lag: Lag::default(),
            partitions: Mutex::new(Partitions {
                assigned: gauges(
                    "nik_stream_assigned",
                    "1 while the partition is assigned to this instance, else 0.",
                    &["partition"],
                ),
                records: gauges(
                    "nik_stream_lag_records",
                    "Records not yet committed: the partition's last stable offset less the position committed.",
                    &["partition"],
                ),
                seconds: made(
                    &registry,
                    GaugeVec::new(
                        Opts::new(
                            "nik_stream_lag_seconds",
                            "Age in seconds of the partition's oldest record not yet committed, by its timestamp; 0 when there is none.",
                        ),
                        &["partition"],
                    ),
                ),
            }),
            queue_records: gauge(
                "nik_stream_producer_queue_records",
                "Outcomes in the producers' queues, not yet taken by the brokers.",
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
                "Brokers that the cluster's metadata lists; 0 while none answers.",
            ),
            registry,
        }
    }

    /// Counts a committed epoch: called once its outcomes are visible to a `read_committed` reader, never before.
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
        self.requests.add(tally);
        self.commits.inc();
        self.commit_duration.observe(epoch.duration.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        self.epoch_records.observe(tally.outcomes() as f64);
        let latency = self.latency.local();
        for timestamp in epoch.timestamps {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^52")]
            latency.observe((epoch.now_ms - timestamp).max(0) as f64 / 1e3);
        }
        latency.flush();
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        // A partition that went to another instance has its lag there.
        partitions.records.reset();
        partitions.seconds.reset();
        for behind in self.lag.read(now_ms()) {
            let label = &[&behind.partition.to_string()];
            let assigned = i64::from(behind.lag.is_some());
            partitions.assigned.with_label_values(label).set(assigned);
            if let Some((records, milliseconds)) = behind.lag {
                partitions.records.with_label_values(label).set(records);
                #[expect(clippy::cast_precision_loss, reason = "milliseconds far below 2^52")]
                let seconds = milliseconds as f64 / 1e3;
                partitions.seconds.with_label_values(label).set(seconds);
            }
        }
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_else(|error| format!("# metrics cannot be written: {error}\n"))
    }
}

/// What runs.
#[derive(Debug)]
pub struct BuildInfo<'a> {
    /// The package's version.
    pub version: &'a str,
    /// The source revision, or `unknown`.
    pub revision: &'a str,
    /// librdkafka's version.
    pub librdkafka: &'a str,
}

/// The region data in use.
#[derive(Debug)]
pub struct RegionsInfo<'a> {
    /// The release.
    pub release: &'a str,
    /// The checksum of the release.
    pub sha256: &'a str,
    /// Level, state, how many codes.
    pub counts: &'a [(&'a str, &'a str, usize)],
}

impl RegionsInfo<'_> {
    /// A release is named by its year, such as `2025.1`: this is no more than half a year off. Without a year it is 1970's beginning,
    /// old enough to be asked about.
    fn middle_of_year(&self) -> i64 {
        let year = self.release.split('.').next().and_then(|it| it.parse().ok());
        let day = year.and_then(|year| NaiveDate::from_ymd_opt(year, 7, 1));
        day.map_or(0, |day| NaiveDateTime::from(day).and_utc().timestamp())
    }
}

/// A committed epoch, to be counted.
#[derive(Debug)]
pub struct Committed<'a> {
    /// Its counts.
    pub tally: &'a Tally,
    /// The timestamps of its requests, in milliseconds since 1970.
    pub timestamps: &'a [i64],
    /// The clock at its commit, in milliseconds since 1970.
    pub now_ms: i64,
    /// How long its commit took.
    pub duration: Duration,
}
