//! Assembles the program from the settings: region data, metrics, the HTTP server and the workers.

mod reload;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::config::{Loaded, Settings};
use crate::http::api::Api;
use crate::http::server::{self, HttpTimeouts, View};
use crate::http::status::{About, Status};
use crate::kafka::{self, Cause, Fault, Running, SharedBreaker, Stop, Telemetry};
use crate::pipeline::judge::{Judge, JudgeInForce};
use crate::regions::{Manifest, Release};
use crate::telemetry::health::Health;
use crate::telemetry::logging;
use crate::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};
use crate::telemetry::traces::{self, Traces};
use nik::region::{Level, Regions, State};

use reload::Reloader;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source revision that was built.
const REVISION: &str = env!("NIK_STREAM_REVISION");

/// How long a stop may take in all: the commit of the last epochs and leaving the group.
const STOP_BUDGET: Duration = Duration::from_millis(14_500);

/// How long a stop waits for the collector to take the last spans.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(2);

/// The running program.
pub(crate) struct App {
    running: Running,
    pub health: Arc<Health>,
    traces: Option<Arc<Traces>>,
    /// The address of the HTTP server.
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
    pub reloader: Reloader,
}

impl App {
    /// Starts everything. When it returns, HTTP is served and the workers are joining the group,
    /// until `stop` is requested.
    pub(crate) fn start(loaded: &Loaded, stop: &Stop) -> Result<Self> {
        let settings = &loaded.settings;
        let release = &loaded.release;
        let regions = release.regions(settings.rules.retired_codes).context("the region data")?;
        let (librdkafka, features) = kafka::features();

        let metrics = Arc::new(Metrics::new(
            &BuildInfo { version: VERSION, revision: REVISION, librdkafka: &librdkafka },
            &regions_info(release, &regions),
            Cause::LABELS,
        ));
        let breaker = settings.delivery.breaker();
        let breaker = Arc::new(SharedBreaker::new(breaker, Arc::clone(&metrics)));
        let workers = settings.kafka.worker_count();
        let health = Arc::new(Health::new(workers, breaker.clone()));
        let judge = Arc::new(JudgeInForce::new(judge(settings, release, regions)));

        let listen = settings.http.listen;
        let listener = TcpListener::bind(listen)
            .with_context(|| format!("cannot listen on http.listen = {listen}"))?;
        let address = listener.local_addr()?;
        let about = about(loaded, &librdkafka)?;
        let status = Arc::new(Status::new(about, Arc::clone(&metrics), Arc::clone(&health)));
        let view = View {
            status: Arc::clone(&status),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            resume_from_anywhere: settings.http.breaker_resume_from_anywhere,
        };
        let timeouts = HttpTimeouts::default();
        let api = settings.http.api.then(|| {
            tracing::info!(api = %format!("http://{address}/api/nik"), "http.api is on: requests are answered over HTTP, too");
            Api::new(Arc::clone(&judge), Arc::clone(&metrics), timeouts.body)
        });
        server::start(listener, view, api, timeouts).context("the HTTP server")?;
        tracing::info!(
            version = VERSION, revision = REVISION, librdkafka, features, openssl = openssl::version::version(),
            guarantee = settings.delivery.guarantee.as_str(),
            requests = settings.topics.requests, results = settings.topics.results, failures = settings.topics.failures,
            group = settings.kafka.group_id, workers,
            regions = release.manifest.release, metrics = %format!("http://{address}/metrics"),
            "nik-stream starts"
        );

        let traces = start_traces(settings, &metrics)?;
        let telemetry = Telemetry::new(&metrics, &health, &breaker, traces.as_ref());
        let running = kafka::start(settings, &judge, telemetry, stop)?;
        let loaded = loaded.clone();
        let reloader = Reloader { loaded, judge, breaker, status, metrics: Arc::clone(&metrics) };
        Ok(Self { running, health, traces, address, metrics, reloader })
    }

    /// Runs until the `stop` of [`Self::start`] is requested, by a signal or by a worker that ended
    /// with a fault which a restart would not cure; then shuts down in order.
    pub(crate) fn wait(self, stop: &Stop) -> Result<(), Fault> {
        stop.wait(Duration::MAX);
        let mut ended = self.running.first_end().unwrap_or(Ok(()));
        self.health.set_stopping();
        tracing::info!("stopping: open epochs are committed first");
        let started = Instant::now();
        let deadline = started + STOP_BUDGET;
        if let Some(others) = self.running.finish(deadline) {
            ended = ended.and(others);
            tracing::info!(seconds = started.elapsed().as_secs_f64(), "stopped");
        } else {
            tracing::warn!(
                "the brokers do not answer: open epochs are abandoned, their requests will be processed again"
            );
        }
        if let Some(traces) = self.traces {
            let left = deadline.saturating_duration_since(Instant::now());
            traces.close(left.min(LAST_SPANS_TIMEOUT));
        }
        logging::report_repeats();
        ended
    }
}

/// What the live page says about the program.
fn about(loaded: &Loaded, librdkafka: &str) -> Result<About> {
    let Loaded { settings, release, .. } = loaded;
    Ok(About {
        version: VERSION,
        revision: REVISION,
        librdkafka: librdkafka.to_owned(),
        regions: release.manifest.release.clone(),
        guarantee: settings.delivery.guarantee.as_str(),
        group: settings.kafka.group_id.clone(),
        topics: serde_json::to_value(&settings.topics)?,
        workers: settings.kafka.worker_count(),
        settings: loaded.show(),
    })
}

/// The judge under these settings.
fn judge(settings: &Settings, release: &Release, regions: Regions) -> Judge {
    let judged_by = settings.judged_by(VERSION, &release.manifest.release);
    let judged_by = settings.delivery.judged_by.then_some(judged_by);
    Judge::new(settings.processor(regions), settings.rules.dating(), judged_by)
}

/// What the metrics say about a release and its `regions`.
fn regions_info<'a>(release: &'a Release, regions: &Regions) -> RegionsInfo<'a> {
    let Manifest { release, sha256, .. } = &release.manifest;
    let count =
        |level: Level, state: State| (level.as_str(), state.as_str(), regions.count(level, state));
    let counts = Level::ALL.iter().flat_map(|&level| State::ALL.map(|state| count(level, state)));
    RegionsInfo { release, sha256, counts: counts.collect() }
}

/// Starts the traces, if the settings name a collector.
fn start_traces(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<Arc<Traces>>> {
    let Some(url) = settings.traces.url() else {
        return Ok(None);
    };
    tracing::info!(url, "sampled requests get spans");
    let options = traces::Options {
        url,
        max_per_second: settings.traces.max_per_second,
        topic: settings.topics.requests.clone(),
        group: settings.kafka.group_id.clone(),
        version: VERSION,
    };
    Ok(Some(Arc::new(Traces::start(options, metrics)?)))
}
