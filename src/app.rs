//! The program put together: data, counters, the HTTP server and the workers, from the settings to the last commit.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime;

use crate::config::Loaded;
use crate::kafka::{self, Fault, Running, SharedBreaker, Stop};
use crate::regions;
use crate::telemetry::api::Api;
use crate::telemetry::health::Health;
use crate::telemetry::http::{self, View};
use crate::telemetry::logging;
use crate::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};
use crate::telemetry::status::{About, Status};
use nik::dataset;
use nik::region::{Level, State};
use nik_wire::process::Processor;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The source revision it was built from.
const REVISION: &str = env!("NIK_STREAM_REVISION");

/// How long a stop may take in all: the last epoch's commit, and the leaving of the group.
const STOP_BUDGET: Duration = Duration::from_millis(14_500);

/// The running program.
pub(crate) struct App {
    running: Running,
    /// Tells the workers to stop.
    halt: Stop,
    /// The readiness.
    pub health: Arc<Health>,
    /// Where `/metrics` is.
    pub address: SocketAddr,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl App {
    /// Starts everything: returns once HTTP is served and the workers are joining.
    pub(crate) fn start(loaded: &Loaded) -> Result<Self> {
        let settings = &loaded.settings;
        let manifest = regions::manifest().context("the region data's manifest")?;
        let regions =
            Arc::new(dataset::regions(settings.rules.retired_codes).context("the region data")?);
        let (librdkafka, features) = kafka::features();
        let mut counts = Vec::new();
        for level in Level::ALL {
            for state in State::ALL {
                counts.push((level.as_str(), state.as_str(), regions.count(level, state)));
            }
        }
        let metrics = Arc::new(Metrics::new(
            &BuildInfo { version: VERSION, revision: REVISION, librdkafka: &librdkafka },
            &RegionsInfo { release: &manifest.release, sha256: &manifest.sha256, counts: &counts },
        ));
        let breaker = settings.delivery.breaker();
        let breaker = Arc::new(SharedBreaker::new(breaker, Arc::clone(&metrics)));
        let workers = settings.kafka.worker_count();
        let health = Arc::new(Health::new(workers, breaker.clone()));
        let listen = settings.http.listen;
        let listener = TcpListener::bind(listen)
            .with_context(|| format!("http.listen = {listen} cannot be opened"))?;
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
        let processor = Processor::new(regions, settings.process());
        let api = settings.http.api.then(|| {
            tracing::info!(api = %format!("http://{address}/api/nik"), "http.api: requests are answered over HTTP as well");
            let day = settings.rules.reference_date.fixed();
            Api::new(processor.clone(), day, Arc::clone(&metrics))
        });
        serve_http(listener, view, api)?;
        tracing::info!(
            version = VERSION, revision = REVISION, librdkafka, features,
            guarantee = settings.delivery.guarantee.as_str(),
            requests = settings.topics.requests, results = settings.topics.results, failures = settings.topics.failures,
            group = settings.kafka.group_id, workers,
            regions = manifest.release, metrics = %format!("http://{address}/metrics"),
            "nik-stream starts"
        );
        let halt = Stop::default();
        let running = kafka::start(settings, processor, &metrics, &health, &breaker, &halt)?;
        Ok(Self { running, halt, health, address, metrics })
    }

    /// Works until `stop` is requested or a worker ends for good, by a fault that a new start of it would not mend; then stops in
    /// order.
    pub(crate) fn wait(self, stop: &Stop) -> Result<(), Fault> {
        let mut ended = Ok(());
        while !stop.requested() {
            if let Some(end) = self.running.next_end(Duration::from_millis(50)) {
                ended = end;
                break;
            }
        }
        self.health.set_stopping();
        self.halt.request();
        tracing::info!("stopping: the open epochs are committed first");
        let started = Instant::now();
        if self.running.finish(started + STOP_BUDGET) {
            tracing::info!(seconds = started.elapsed().as_secs_f64(), "stopped");
        } else {
            tracing::warn!(
                "the brokers do not answer: open epochs are given up, their requests will be processed again"
            );
        }
        logging::tell_repeats();
        ended
    }
}

/// Serves HTTP on a thread of its own that lives as long as the process.
fn serve_http(listener: TcpListener, view: View, api: Option<Api>) -> Result<()> {
    listener.set_nonblocking(true)?;
    // Requests over HTTP are judged on threads beside; there are none as long as nobody asks.
    let judges = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime =
        runtime::Builder::new_current_thread().enable_all().max_blocking_threads(judges).build()?;
    let work = async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => http::serve(listener, view, api).await,
            Err(error) => {
                tracing::error!(%error, "HTTP is not served; the stream goes on");
            }
        }
    };
    std::thread::Builder::new().name("http".to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(())
}
