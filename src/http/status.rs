//! The content of the live page and of `/api/status`: the metrics, the readiness and the history of
//! the last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Value, json};

use crate::telemetry::health::Health;
use crate::telemetry::metrics::{Metrics, Snapshot, quantile};

/// How often [`Status::record`] is to be called.
pub const STEP: Duration = Duration::from_secs(2);
/// The number of steps in the history: 15 minutes.
const HISTORY_STEPS: usize = 450;
/// The time over which the latency is measured.
const LATENCY_WINDOW: Duration = Duration::from_mins(5);

/// What the program is, and what it runs with.
#[derive(Debug, Default, Serialize)]
pub struct About {
    pub version: &'static str,
    pub revision: &'static str,
    pub librdkafka: String,
    pub regions: String,
    pub guarantee: &'static str,
    pub group: String,
    pub topics: Value,
    pub workers: usize,
    /// The settings as `config show` prints them, without secrets.
    pub settings: String,
}

/// The state of the program and its recent history.
pub struct Status {
    about: Mutex<About>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    history: Mutex<VecDeque<Sample>>,
}

/// The counters at one moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    results: u64,
    failures: u64,
    latency: Vec<(f64, u64)>,
}

impl Sample {
    fn new(snapshot: &Snapshot) -> Self {
        Self {
            at: Instant::now(),
            results: requests(snapshot, "result").unwrap_or(0),
            failures: requests(snapshot, "failure").unwrap_or(0),
            latency: snapshot.buckets("nik_stream_latency_seconds"),
        }
    }
}

impl Status {
    pub fn new(about: About, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        let about = Mutex::new(about);
        let status = Self { about, metrics, health, history: Mutex::default() };
        status.record();
        status
    }

    /// Replaces what changes while the program runs: the release of the region data and the settings.
    pub fn reloaded(&self, regions: &str, settings: String) {
        let mut about = self.about.lock();
        regions.clone_into(&mut about.regions);
        about.settings = settings;
    }

    /// Adds the current counters to the history.
    pub fn record(&self) {
        let sample = Sample::new(&self.metrics.snapshot());
        let mut history = self.history.lock();
        history.push_back(sample);
        if history.len() > HISTORY_STEPS + 1 {
            history.pop_front();
        }
    }

    /// The answer of `/api/status`. A value that no metric gives is null.
    pub fn json(&self) -> Value {
        let snapshot = self.metrics.snapshot();
        let value = |name| snapshot.value(name);
        let problems = self.health.problems().into_iter().map(|it| it.text).collect::<Vec<_>>();
        let history = self.history.lock();
        let (results, failures) = rates(&history);
        json!({
            "now": Utc::now().timestamp_millis(),
            "started": value("process_start_time_seconds").map(|seconds| seconds * 1000),
            "ready": problems.is_empty(),
            "problems": problems,
            "about": &*self.about.lock(),
            "summary": {
                "number": value("nik_summary_number_total"),
                "number_processed": value("nik_summary_number_processed_total"),
                "error": value("nik_summary_error_total"),
                "valid": {
                    "all_section": value("nik_summary_valid_all_section_total"),
                    "section": snapshot.counts("nik_summary_valid_section_total", "section"),
                },
            },
            "reasons": snapshot.nested_counts("nik_stream_reasons_total", "section", "reason"),
            "requests": {
                "result": requests(&snapshot, "result"),
                "failure": requests(&snapshot, "failure"),
            },
            "failures": snapshot.counts("nik_stream_failures_total", "reason"),
            "rates": { "step_seconds": STEP.as_secs(), "results": results, "failures": failures },
            "latency": latency(&history, &Sample::new(&snapshot)),
            "partitions": partitions(&snapshot),
            "commits": value("nik_stream_commits_total"),
            "aborts": value("nik_stream_aborts_total"),
            "rebalances": value("nik_stream_rebalances_total"),
            "brokers_up": value("nik_stream_brokers_up"),
            "breaker": {
                "open": value("nik_stream_breaker_open").map(|open| open > 0),
                "why": self.health.breaker.problem(),
            },
            "producer_queue": {
                "records": value("nik_stream_producer_queue_records"),
                "bytes": value("nik_stream_producer_queue_bytes"),
            },
        })
    }
}

fn requests(snapshot: &Snapshot, outcome: &str) -> Option<u64> {
    snapshot.sum("nik_stream_requests_total", "outcome", outcome)
}

/// Results and failures per second in each step, the latest last.
fn rates(history: &VecDeque<Sample>) -> (Vec<f64>, Vec<f64>) {
    let steps = history.iter().zip(history.iter().skip(1));
    let rates = steps.map(|(from, to)| {
        let seconds = (to.at - from.at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let rate = |from: u64, to: u64| ((to - from) as f64 / seconds * 10.0).round() / 10.0;
        (rate(from.results, to.results), rate(from.failures, to.failures))
    });
    rates.unzip()
}

/// The percentiles over [`LATENCY_WINDOW`], and the seconds of it that the history covers.
fn latency(history: &VecDeque<Sample>, now: &Sample) -> Value {
    let is_recent = |sample: &&Sample| now.at - sample.at <= LATENCY_WINDOW;
    let Some(from) = history.iter().find(is_recent) else {
        return Value::Null;
    };
    let buckets = now.latency.iter().zip(&from.latency);
    let buckets: Vec<_> = buckets.map(|(now, from)| (now.0, now.1 - from.1)).collect();
    let longest = buckets.iter().rev().find(|(bound, _)| bound.is_finite());
    json!({
        "seconds": (now.at - from.at).as_secs(),
        "p50": quantile(0.5, &buckets),
        "p95": quantile(0.95, &buckets),
        "p99": quantile(0.99, &buckets),
        // The histogram does not distinguish longer times.
        "longest": longest.map(|(bound, _)| bound),
    })
}

#[derive(Default, Serialize)]
struct Partition {
    #[serde(rename = "partition")]
    number: u32,
    assigned: Option<bool>,
    lag_records: Option<f64>,
    lag_seconds: Option<f64>,
}

/// The partitions in the order of their numbers.
fn partitions(snapshot: &Snapshot) -> Vec<Partition> {
    let mut partitions = BTreeMap::<u32, Partition>::new();
    let mut each = |metric, set: fn(&mut Partition, f64)| {
        for (label, value) in snapshot.by_label(metric, "partition") {
            if let Ok(number) = label.parse() {
                let empty = || Partition { number, ..Partition::default() };
                set(partitions.entry(number).or_insert_with(empty), value);
            }
        }
    };
    each("nik_stream_assigned", |it, value| it.assigned = Some(value > 0.0));
    each("nik_stream_lag_records", |it, value| it.lag_records = Some(value));
    each("nik_stream_lag_seconds", |it, value| it.lag_seconds = Some(value));
    partitions.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(start: Instant, seconds: u64, results: u64, fast: u64, all: u64) -> Sample {
        Sample {
            at: start + Duration::from_secs(seconds),
            results,
            failures: results / 10,
            latency: vec![(0.1, fast), (1.0, all), (f64::INFINITY, all)],
        }
    }

    #[test]
    fn rates_are_computed_for_each_step() {
        let start = Instant::now();
        let samples = [(0, 0), (2, 400), (4, 600)];
        let samples = samples.map(|(at, results)| sample(start, at, results, 0, 0));
        let (results, failures) = rates(&samples.into());
        assert_eq!(results, [200.0, 100.0]);
        assert_eq!(failures, [20.0, 10.0]);
    }

    #[test]
    fn the_latency_covers_only_the_last_minutes() {
        let start = Instant::now();
        let history = [
            sample(start, 0, 0, 0, 0),
            sample(start, 100, 0, 0, 50), // all slow
        ];
        let now = sample(start, 390, 0, 100, 150); // all fast since
        let latency = latency(&history.into(), &now);
        assert_eq!(latency["seconds"], 290);
        assert_eq!(latency["p50"], 0.05);
        assert!(latency["p99"].as_f64() < Some(0.1), "{latency}");
        assert_eq!(latency["longest"], 1.0);
    }
}
