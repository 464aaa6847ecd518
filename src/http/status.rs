//! What `/api/status` answers and the live page shows: the samples of `/metrics`, the readiness, and the last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::Serialize;
use serde_json::{Value, json};

use super::health::Health;
use super::metrics::Metrics;
use super::samples::{Samples, quantile};

/// How often [`Status::note`] is to be called.
pub const STEP: Duration = Duration::from_secs(2);
/// How many steps are kept: 15 minutes.
const KEPT: usize = 450;
/// The minutes that the latency is told of.
const RECENT: Duration = Duration::from_mins(5);

/// What does not change while the program runs.
#[derive(Debug, Default, Serialize)]
#[expect(missing_docs, reason = "named as in the settings and the metrics")]
pub struct About {
    pub version: &'static str,
    pub revision: &'static str,
    pub librdkafka: String,
    pub regions: String,
    pub guarantee: &'static str,
    pub group: String,
    pub topics: Value,
    pub workers: usize,
    /// As `config show` tells them: secrets hidden.
    pub settings: String,
}

/// The program's state, to be told as often as asked for.
pub struct Status {
    about: About,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    history: Mutex<VecDeque<Moment>>,
}

/// The counters at one moment.
#[derive(Debug)]
struct Moment {
    at: Instant,
    results: u64,
    failures: u64,
    latency: Vec<(f64, f64)>,
}

impl Moment {
    fn new(at: Instant, samples: &Samples<'_>) -> Self {
        let requests = |outcome| samples.sum("nik_stream_requests_total", "outcome", outcome);
        Self {
            at,
            results: requests("result").unwrap_or(0),
            failures: requests("failure").unwrap_or(0),
            latency: samples.buckets("nik_stream_latency_seconds"),
        }
    }
}

impl Status {
    /// The state from now on.
    pub fn new(about: About, metrics: Arc<Metrics>, health: Arc<Health>) -> Self {
        let status = Self { about, metrics, health, history: Mutex::default() };
        status.note();
        status
    }

    fn history(&self) -> MutexGuard<'_, VecDeque<Moment>> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the counters, so that a page opened later can show the last minutes.
    pub fn note(&self) {
        let text = self.metrics.render();
        let moment = Moment::new(Instant::now(), &Samples::read(&text));
        let mut history = self.history();
        history.push_back(moment);
        if history.len() > KEPT + 1 {
            history.pop_front();
        }
    }

    /// Everything, as JSON. What a metric does not tell is null.
    pub fn tell(&self) -> Value {
        let text = self.metrics.render();
        let samples = Samples::read(&text);
        let problems = self.health.problems();
        let counts = |name, label| -> BTreeMap<&str, Option<u64>> {
            let values = samples.labelled(name, label);
            values.map(|(it, text)| (it, text.parse().ok())).collect()
        };
        let requests = |outcome| samples.sum("nik_stream_requests_total", "outcome", outcome);
        let history = self.history();
        let (results, failures) = rates(&history);
        json!({
            "now": Utc::now().timestamp_millis(),
            "started": samples.whole("process_start_time_seconds").map(|seconds| seconds * 1000),
            "ready": problems.is_empty(),
            "problems": problems,
            "about": self.about,
            "summary": {
                "number": samples.whole("nik_summary_number_total"),
                "number_processed": samples.whole("nik_summary_number_processed_total"),
                "error": samples.whole("nik_summary_error_total"),
                "valid": {
                    "all_section": samples.whole("nik_summary_valid_all_section_total"),
                    "section": counts("nik_summary_valid_section_total", "section"),
                },
            },
            "requests": { "result": requests("result"), "failure": requests("failure") },
            "failures": counts("nik_stream_failures_total", "reason"),
            "rates": { "step_seconds": STEP.as_secs(), "results": results, "failures": failures },
            "latency": latency(&history, &Moment::new(Instant::now(), &samples)),
            "partitions": partitions(&samples),
            "commits": samples.whole("nik_stream_commits_total"),
            "aborts": samples.whole("nik_stream_aborts_total"),
            "rebalances": samples.whole("nik_stream_rebalances_total"),
            "brokers_up": samples.whole("nik_stream_brokers_up"),
            "breaker": {
                "open": samples.whole("nik_stream_breaker_open").map(|open| open > 0),
                "why": self.health.breaker.problem(),
            },
            "producer_queue": {
                "records": samples.whole("nik_stream_producer_queue_records"),
                "bytes": samples.whole("nik_stream_producer_queue_bytes"),
            },
        })
    }
}

/// Results and failures a second in each step, the latest last.
fn rates(history: &VecDeque<Moment>) -> (Vec<f64>, Vec<f64>) {
    let steps = history.iter().zip(history.iter().skip(1));
    let rates = steps.map(|(from, to)| {
        let seconds = (to.at - from.at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let rate = |from: u64, to: u64| ((to - from) as f64 / seconds * 10.0).round() / 10.0;
        (rate(from.results, to.results), rate(from.failures, to.failures))
    });
    rates.unzip()
}

/// The percentiles of the last minutes, and how many seconds of them there are.
fn latency(history: &VecDeque<Moment>, now: &Moment) -> Value {
    let recent = |moment: &&Moment| now.at - moment.at <= RECENT;
    let Some(from) = history.iter().find(recent) else {
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
        // The histogram tells longer ones no further.
        "longest": longest.map(|(bound, _)| bound),
    })
}

fn partitions(samples: &Samples<'_>) -> Value {
    let mut partitions = BTreeMap::<u32, BTreeMap<&str, Value>>::new();
    for (name, metric) in [
        ("assigned", "nik_stream_assigned"),
        ("lag_records", "nik_stream_lag_records"),
        ("lag_seconds", "nik_stream_lag_seconds"),
    ] {
        for (partition, value) in samples.labelled(metric, "partition") {
            if let (Ok(partition), Ok(value)) = (partition.parse(), value.parse::<f64>()) {
                let known = partitions.entry(partition).or_default();
                known.insert(name, json!(value));
            }
        }
    }
    let told = partitions.into_iter().map(|(partition, known)| {
        let of = |name| known.get(name);
        json!({
            "partition": partition,
            "assigned": of("assigned").map(|it| it.as_f64() > Some(0.0)),
            "lag_records": of("lag_records"),
            "lag_seconds": of("lag_seconds"),
        })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(start: Instant, seconds: u64, results: u64, fast: f64, all: f64) -> Moment {
        Moment {
            at: start + Duration::from_secs(seconds),
            results,
            failures: results / 10,
            latency: vec![(0.1, fast), (1.0, all), (f64::INFINITY, all)],
        }
    }

    #[test]
    fn rates_are_those_of_each_step() {
        let start = Instant::now();
        let moments = [(0, 0), (2, 400), (4, 600)];
        let moments = moments.map(|(at, results)| moment(start, at, results, 0.0, 0.0));
        let (results, failures) = rates(&moments.into());
        assert_eq!(results, [200.0, 100.0]);
        assert_eq!(failures, [20.0, 10.0]);
    }

    #[test]
    fn the_latency_is_that_of_the_last_minutes_and_no_older() {
        let start = Instant::now();
        let history = [
            moment(start, 0, 0, 0.0, 0.0),
            moment(start, 100, 0, 0.0, 50.0), // all slow
        ];
        let now = moment(start, 390, 0, 100.0, 150.0); // all fast since
        let told = latency(&history.into(), &now);
        assert_eq!(told["seconds"], 290);
        assert_eq!(told["p50"], 0.05);
        assert!(told["p99"].as_f64() < Some(0.1), "{told}");
        assert_eq!(told["longest"], 1.0);
    }
}
