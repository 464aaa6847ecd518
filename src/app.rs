//! Assembles the program from the settings: region data, metrics, the HTTP server and the workers.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::config::Loaded;
use crate::http::api::Api;
use crate::http::server::{self, HttpTimeouts, View};
use crate::http::status::{About, Status};
use crate::kafka::{self, Cause, Fault, Running, SharedBreaker, Stop};
use crate::regions;
use crate::telemetry::health::Health;
use crate::telemetry::logging;
use crate::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};
use nik::dataset;
use nik::region::{Level, Regions, State};
use nik_wire::process::Processor;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source revision that was built.
const REVISION: &str = env!("NIK_STREAM_REVISION");

/// How long a stop may take in all: the commit of the last epochs and leaving the group.
const STOP_BUDGET: Duration = Duration::from_millis(14_500);

/// The running program.
pub(crate) struct App {
    running: Running,
    /// Stops the workers.
    stop_workers: Stop,
    pub health: Arc<Health>,
    /// The address of the HTTP server.
    pub address: SocketAddr,
    pub metrics: Arc<Metrics>,
}

impl App {
    /// Starts everything. When it returns, HTTP is served and the workers are joining the group.
    pub(crate) fn start(loaded: &Loaded) -> Result<Self> {
        let settings = &loaded.settings;
        let manifest = regions::manifest().context("the manifest of the region data")?;
        let regions =
            Arc::new(dataset::regions(settings.rules.retired_codes).context("the region data")?);
        let (librdkafka, features) = kafka::features();

        let metrics = Arc::new(Metrics::new(
            &BuildInfo { version: VERSION, revision: REVISION, librdkafka: &librdkafka },
            &RegionsInfo {
                release: &manifest.release,
                sha256: &manifest.sha256,
                counts: &region_counts(&regions),
            },
            Cause::LABELS,
        ));
        let breaker = settings.delivery.breaker();
        let breaker = Arc::new(SharedBreaker::new(breaker, Arc::clone(&metrics)));
        let workers = settings.kafka.worker_count();
        let health = Arc::new(Health::new(workers, breaker.clone()));
        let processor =
            Processor::new(regions, settings.process()).with_privacy(settings.privacy.process());

        let listen = settings.http.listen;
        let listener = TcpListener::bind(listen)
            .with_context(|| format!("cannot listen on http.listen = {listen}"))?;
        let address = listener.local_addr()?;
        let about = About {
            version: VERSION,
            revision: REVISION,
            librdkafka: librdkafka.clone(),
            regions: manifest.release.clone(),
            guarantee: settings.delivery.guarantee.as_str(),
            group: settings.kafka.group_id.clone(),
            topics: serde_json::to_value(&settings.topics)?,
            workers,
            settings: loaded.show(),
        };
        let view = View {
            status: Arc::new(Status::new(about, Arc::clone(&metrics), Arc::clone(&health))),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            resume_from_anywhere: settings.http.breaker_resume_from_anywhere,
        };
        let timeouts = HttpTimeouts::default();
        let api = settings.http.api.then(|| {
            tracing::info!(api = %format!("http://{address}/api/nik"), "http.api is on: requests are answered over HTTP, too");
            let date = settings.rules.reference_date.fixed();
            Api::new(processor.clone().without_framing(), date, Arc::clone(&metrics), timeouts.body)
        });
        server::start(listener, view, api, timeouts).context("the HTTP server")?;
        tracing::info!(
            version = VERSION, revision = REVISION, librdkafka, features,
            guarantee = settings.delivery.guarantee.as_str(),
            requests = settings.topics.requests, results = settings.topics.results, failures = settings.topics.failures,
            group = settings.kafka.group_id, workers,
            regions = manifest.release, metrics = %format!("http://{address}/metrics"),
            "nik-stream starts"
        );

        let stop_workers = Stop::default();
        let judged_by = settings.judged_by(VERSION, &manifest.release);
        let judged_by = settings.delivery.judged_by.then_some(judged_by);
        let running = kafka::start(
            settings,
            processor,
            judged_by,
            &metrics,
            &health,
            &breaker,
            &stop_workers,
        )?;
        Ok(Self { running, stop_workers, health, address, metrics })
    }

    /// Runs until `stop` is requested or a worker ends with a fault that a restart would not cure,
    /// then shuts down in order.
    pub(crate) fn wait(self, stop: &Stop) -> Result<(), Fault> {
        let mut ended = Ok(());
        while !stop.requested() {
            if let Some(end) = self.running.next_end(Duration::from_millis(50)) {
                ended = end;
                break;
            }
        }
        self.health.set_stopping();
        self.stop_workers.request();
        tracing::info!("stopping: open epochs are committed first");
        let started = Instant::now();
        if self.running.finish(started + STOP_BUDGET) {
            tracing::info!(seconds = started.elapsed().as_secs_f64(), "stopped");
        } else {
            tracing::warn!(
                "the brokers do not answer: open epochs are abandoned, their requests will be processed again"
            );
        }
        logging::report_repeats();
        ended
    }
}

/// The number of region codes for each level and state.
fn region_counts(regions: &Regions) -> Vec<(&'static str, &'static str, usize)> {
    let of =
        |level: Level, state: State| (level.as_str(), state.as_str(), regions.count(level, state));
    Level::ALL.iter().flat_map(|&level| State::ALL.map(|state| of(level, state))).collect()
}
