//! `nik-stream demo`: the whole service without any set-up, on a broker inside this process.

mod auditor;
mod traffic;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::app::App;
use crate::cli::{signals, written};
use crate::config::{self, Loaded, Settings};
use crate::kafka::embedded::EmbeddedBroker;
use crate::kafka::{Stop, check_property};
use crate::telemetry::logging;
use auditor::{Audit, Auditor};
use traffic::Traffic;

/// How long the last outcomes may take after the last request.
const LAST_OUTCOMES_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the service on an embedded broker: topics, a generator of valid, invalid and broken
/// requests, workers, the live page
///
/// The broker speaks Kafka's protocol on loopback, so any client can connect. It does not support
/// transactions: the demo delivers at least once. With --duration the demo ends by itself, compares
/// the outcomes with the requests, and exits with 0 only if every request has exactly one outcome.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  nik-stream demo\n  nik-stream demo --duration 20 --rate 2000")]
pub struct DemoArgs {
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,

    /// Seconds until the demo ends [default: when interrupted]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,

    /// The port of the live page and /metrics; 0: any free port
    #[arg(long, value_name = "P", default_value_t = 9464)]
    port: u16,

    /// Ends the demo after this many requests; with a high --rate they are sent as fast as they are
    /// answered
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// NIKs per request
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    niks_per_request: u32,
}

pub fn run(args: &DemoArgs) -> Result<ExitCode> {
    let broker = EmbeddedBroker::start()?;
    let loaded = load(args, &broker.bootstrap_servers())?;
    let settings = &loaded.settings;
    broker.create_topics(&settings.topics)?;
    logging::init(settings.log.format, &settings.log.level)?;
    let interrupted = signals::stop()?;
    // The workers go on after an interruption, until the last request has its outcome.
    let stop = Stop::default();
    let app = App::start(&loaded, &stop).map_err(|error| name_option(error, args.port))?;
    introduce(&app, settings);
    while !app.health.problems().is_empty() && !interrupted.requested() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let auditor = Auditor::start(settings)?;
    let traffic = Traffic::start(args, settings, auditor.audit())?;
    watch(args, &app, &auditor.audit(), &traffic, &interrupted);

    let sent = traffic.finish()?;
    let deadline = Instant::now() + LAST_OUTCOMES_TIMEOUT;
    while auditor.audit().answered() < sent.requests && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    let metrics = Arc::clone(&app.metrics);
    stop.request();
    app.wait(&stop)?;
    let audit = auditor.finish();
    reconcile(&audit, sent.requests, sent.broken, &metrics.render())
}

/// The demo has no settings file, so the error of a port that is taken names the option instead.
fn name_option(error: anyhow::Error, port: u16) -> anyhow::Error {
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::AddrInUse) => {
            anyhow!("port {port} is taken: choose another with --port")
        }
        _ => error,
    }
}

/// The default settings, except for what the embedded broker needs.
fn load(args: &DemoArgs, bootstrap: &str) -> Result<Loaded> {
    let http = format!("127.0.0.1:{}", args.port);
    let given = [
        ("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS", bootstrap),
        // The embedded broker does not support transactions.
        ("NIK_STREAM__DELIVERY__GUARANTEE", "at_least_once"),
        ("NIK_STREAM__KAFKA__SESSION_TIMEOUT_MS", "6000"),
        ("NIK_STREAM__HTTP__LISTEN", &http),
        ("NIK_STREAM__LOG__LEVEL", "warn"),
        // The embedded broker delays an empty fetch response for the whole wait.
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

Send your own request from another terminal, and read its result:

  echo '{{\"nik\":[\"3273010101900001\"],\"process\":\"full\"}}' | kcat -b {broker} -t {requests} -P -k mine
  kcat -b {broker} -t {results} -C -o -100 -e -q -f '%k %s\\n' | grep ^mine

or with Python (pip install confluent-kafka):

  python3 -c 'from confluent_kafka import Producer; p = Producer({{\"bootstrap.servers\": \"{broker}\"}}); \\
    p.produce(\"{requests}\", key=\"mine\", value=\"{{\\\"nik\\\":[\\\"3273010101900001\\\"],\\\"process\\\":\\\"limited\\\"}}\"); p.flush()'
"
    );
}

/// Prints a line of counts every second, until the demo ends.
fn watch(args: &DemoArgs, app: &App, audit: &Audit, traffic: &Traffic, interrupted: &Stop) {
    let started = Instant::now();
    let goes_on = || !interrupted.requested() && !traffic.is_done();
    let mut second = 0;
    while goes_on() && args.duration.is_none_or(|seconds| second < seconds) {
        second += 1;
        while started.elapsed() < Duration::from_secs(second) && goes_on() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let readiness = if app.health.problems().is_empty() { "" } else { "  (not ready)" };
        let (sent, line) = (traffic.sent(), audit.line());
        let printed = writeln!(io::stdout(), "{second:4} s  requests {sent}  {line}{readiness}");
        if printed.is_err() {
            return; // nobody reads on
        }
    }
}

/// Compares the outcomes with the requests, and the counters with the outcomes.
fn reconcile(audit: &Audit, requests: u64, broken: usize, metrics: &str) -> Result<ExitCode> {
    let counts = audit.counts();
    let mut out = String::new();
    writeln!(out, "\nrequests sent by the demo          {requests} ({broken} of them broken)")?;
    writeln!(out, "  answered with a result           {}", counts.demo_results)?;
    writeln!(out, "  dead-lettered                    {}", counts.demo_failures)?;
    writeln!(
        out,
        "  lost                             {}",
        requests.saturating_sub(counts.answered)
    )?;
    writeln!(out, "  outcomes beyond the first        {}", counts.doubled)?;
    writeln!(out, "outcomes of your own requests      {}", counts.others)?;
    let mut differences = requests.abs_diff(counts.answered) + counts.doubled;
    writeln!(out, "\n{:<58}{:>12}{:>12}", "counter", "/metrics", "topics")?;
    for (name, expected) in audit.expected_counters() {
        let counted = sample(metrics, &name).with_context(|| format!("/metrics has no {name}"))?;
        writeln!(out, "{name:<58}{counted:>12}{expected:>12}")?;
        differences += counted.abs_diff(expected);
    }
    writeln!(out, "\ndifference: {differences}")?;
    written(io::stdout().write_all(out.as_bytes()))?;
    if differences > 0 {
        bail!("the outcomes differ from the requests");
    }
    Ok(ExitCode::SUCCESS)
}

/// The value of a sample in the text of /metrics.
fn sample(metrics: &str, name: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_outcome_or_a_wrong_counter_fails_the_demo() {
        let audit = Audit::default();
        let counters = audit.expected_counters().into_iter();
        let lines: Vec<_> = counters.map(|(name, _)| format!("{name} 0\n")).collect();
        let metrics = lines.concat();
        assert!(reconcile(&audit, 0, 0, &metrics).is_ok());
        assert!(reconcile(&audit, 1, 0, &metrics).is_err(), "lost");
        let counted = metrics.replacen(" 0", " 1", 1);
        assert!(reconcile(&audit, 0, 0, &counted).is_err(), "counted");
        assert!(reconcile(&audit, 0, 0, "").is_err(), "missing counter");
    }
}
