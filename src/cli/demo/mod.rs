//! `nik-stream demo`: the main job with no set-up, on a broker inside this very process.

mod auditor;
mod traffic;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rdkafka::mocking::MockCluster;

use crate::app::App;
use crate::cli::signals;
use crate::config::{self, Loaded, Settings};
use crate::kafka::{Stop, check_property};
use crate::telemetry::logging;
use auditor::{Audit, Auditor};
use traffic::Traffic;

/// Partitions of each topic.
const PARTITIONS: i32 = 6;
/// How long the last outcomes may take after the last request.
const TAIL: Duration = Duration::from_secs(30);

/// Runs the main job on an embedded broker: topics, a generator of valid, invalid and broken requests, the workers, the live page.
///
/// The broker speaks Kafka's protocol on loopback, so any client can join in. It knows no transactions: the demo delivers at
/// least once. With --duration it ends by itself, compares what came out with what went in, and exits 0 only if every
/// request has exactly one outcome.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  nik-stream demo\n  nik-stream demo --duration 20 --rate 2000")]
pub struct DemoArgs {
    /// Requests a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// Seconds until it ends by itself [default: when interrupted]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,

    /// The port of the live page and /metrics; 0 takes a free one
    #[arg(long, value_name = "P", default_value_t = 9464)]
    port: u16,

    /// Ends after this many requests, sent as fast as they are answered when --rate is high
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Elements of each request's list
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    niks_per_request: u32,
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let cluster = MockCluster::new(1).context("the embedded broker")?;
    let loaded = load(args, &cluster.bootstrap_servers())?;
    let settings = &loaded.settings;
    let topics = &settings.topics;
    for topic in [&topics.requests, &topics.results, &topics.failures] {
        cluster.create_topic(topic, PARTITIONS, 1).with_context(|| format!("topic {topic}"))?;
    }
    logging::init(settings.log.format, &settings.log.level)?;
    let stop = signals::stop()?;
    let app = App::start(&loaded)?;
    introduce(&app, settings);
    while !app.health.problems().is_empty() && !stop.requested() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let auditor = Auditor::start(settings)?;
    let traffic = Traffic::start(args, settings, auditor.audit())?;
    watch(args, &app, &auditor.audit(), &traffic, &stop);

    let sent = traffic.finish()?;
    let deadline = Instant::now() + TAIL;
    while auditor.audit().answered() < sent.requests && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let metrics = Arc::clone(&app.metrics);
    stop.request();
    app.wait(&stop)?;
    let audit = auditor.finish();
    reconcile(&audit, sent.requests, sent.broken, &metrics.render())
}

/// The defaults, and what the embedded broker wants otherwise.
fn load(args: &DemoArgs, bootstrap: &str) -> Result<Loaded> {
    let http = format!("127.0.0.1:{}", args.port);
    let given = [
        ("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS", bootstrap),
        // The embedded broker knows no transactions.
        ("NIK_STREAM__DELIVERY__GUARANTEE", "at_least_once"),
        ("NIK_STREAM__KAFKA__SESSION_TIMEOUT_MS", "6000"),
        ("NIK_STREAM__HTTP__LISTEN", &http),
        ("NIK_STREAM__LOG__LEVEL", "warn"),
        // It holds an empty fetch for the whole wait.
        ("NIK_STREAM__KAFKA__CONSUMER__FETCH_WAIT_MAX_MS", "10"),
    ];
    let given = given.map(|(key, value)| (key.into(), value.into()));
    Ok(config::load_from(&[], given, check_property)?)
}

fn introduce(app: &App, settings: &Settings) {
    let (broker, topics, address) =
        (&settings.kafka.bootstrap_servers, &settings.topics, app.address);
    let (requests, results, failures) = (&topics.requests, &topics.results, &topics.failures);
    eprintln!(
        "nik-stream demo: an embedded broker on {broker}, topics {requests}, {results}, {failures}

  live page  http://{address}/
  metrics    http://{address}/metrics
  readiness  http://{address}/readyz

Send a request of your own from another terminal, and read its answer:

  echo '{{\"nik\":[\"3273010101900001\"],\"process\":\"full\"}}' | kcat -b {broker} -t {requests} -P -k mine
  kcat -b {broker} -t {results} -C -o -100 -e -q -f '%k %s\\n' | grep ^mine

or with Python (pip install confluent-kafka):

  python3 -c 'from confluent_kafka import Producer; p = Producer({{\"bootstrap.servers\": \"{broker}\"}}); \\
    p.produce(\"{requests}\", key=\"mine\", value=\"{{\\\"nik\\\":[\\\"3273010101900001\\\"],\\\"process\\\":\\\"limited\\\"}}\"); p.flush()'
"
    );
}

/// A line of counts a second, or a progress bar on a terminal, until it is time to end.
fn watch(args: &DemoArgs, app: &App, audit: &Audit, traffic: &Traffic, stop: &Stop) {
    let started = Instant::now();
    let bar = args.duration.filter(|_| std::io::stderr().is_terminal()).map(|seconds| {
        let style = ProgressStyle::with_template("{bar:30} {elapsed}/{len}s {msg}")
            .expect("a template of ours");
        ProgressBar::new(seconds).with_style(style)
    });
    let goes_on = || !stop.requested() && !traffic.is_done();
    let mut second = 0;
    while goes_on() && args.duration.is_none_or(|seconds| second < seconds) {
        second += 1;
        while started.elapsed() < Duration::from_secs(second) && goes_on() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let line = format!(
            "{second:4} s  requests {}  {}{}",
            traffic.sent(),
            audit.line(),
            if app.health.problems().is_empty() { "" } else { "  (not ready)" }
        );
        match &bar {
            Some(bar) => {
                bar.set_position(second);
                bar.set_message(line);
            }
            None => println!("{line}"),
        }
    }
    if let Some(bar) = bar {
        bar.finish();
    }
}

/// Compares what came out with what went in, and the counters with the results.
fn reconcile(audit: &Audit, requests: u64, broken: u64, metrics: &str) -> Result<ExitCode> {
    let counts = audit.counts();
    println!("\nrequests sent by the demo          {requests} ({broken} of them broken)");
    println!("  answered with a result           {}", counts.our_results);
    println!("  dead-lettered                    {}", counts.our_failures);
    println!("  lost                             {}", requests.saturating_sub(counts.answered));
    println!("  outcomes beyond the first        {}", counts.doubled);
    println!("outcomes of requests of your own   {}", counts.others);
    let mut differences = requests.abs_diff(counts.answered) + counts.doubled;
    println!("\n{:<58}{:>12}{:>12}", "counter", "/metrics", "topics");
    for (name, expected) in audit.expected_counters() {
        let counted = sample(metrics, &name).with_context(|| format!("/metrics has no {name}"))?;
        println!("{name:<58}{counted:>12}{expected:>12}");
        differences += counted.abs_diff(expected);
    }
    println!("\ndifference: {differences}");
    if differences > 0 {
        bail!("what came out differs from what went in");
    }
    Ok(ExitCode::SUCCESS)
}

/// The value of one sample in the text that Prometheus scrapes.
fn sample(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_that_is_missing_and_a_counter_that_is_off_end_the_demo_with_a_fault() {
        let audit = Audit::default();
        let counters = audit.expected_counters().into_iter();
        let lines: Vec<_> = counters.map(|(name, _)| format!("{name} 0\n")).collect();
        let metrics = lines.concat();
        assert!(reconcile(&audit, 0, 0, &metrics).is_ok());
        assert!(reconcile(&audit, 1, 0, &metrics).is_err(), "lost");
        let counted = metrics.replacen(" 0", " 1", 1);
        assert!(reconcile(&audit, 0, 0, &counted).is_err(), "counted");
        assert!(reconcile(&audit, 0, 0, "").is_err(), "no counter");
    }
}
