//! Traces of sampled requests, for a collector of `OpenTelemetry`.
//!
//! A worker notes the sampled requests of its epoch and hands them over after the commit, through a
//! bounded queue. One thread makes spans of them and sends them. While a collector is slow or away,
//! spans that find no room in the queue are dropped; nothing else suffers.

mod export;
mod parent;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use self::export::Exporter;
pub use self::export::TracesError;
pub use self::parent::Parent;
use super::metrics::Metrics;
use super::repeats::RepeatLimit;
use crate::pipeline::Position;

/// How many commits may wait for the collector.
const QUEUE_COMMITS: usize = 100;
const SECOND: Duration = Duration::from_secs(1);

/// What the spans say about this program, and where they go.
pub struct Options {
    /// Where the collector accepts spans.
    pub url: String,
    /// The most requests that get a span, per second.
    pub max_per_second: u32,
    /// The topic of the requests.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    pub version: &'static str,
}

/// A request that gets a span once its outcome is committed.
pub struct Sampled {
    pub parent: Parent,
    pub position: Position,
    /// When it was sent, in milliseconds since 1970.
    pub timestamp: i64,
    /// The reason, if its outcome is a failure.
    pub failure: Option<&'static str>,
}

/// The sampled requests of a commit.
pub struct CommittedRequests {
    pub requests: Vec<Sampled>,
    /// All records of the commit.
    pub records: usize,
    pub started: SystemTime,
    pub ended: SystemTime,
}

pub struct Traces {
    /// `None` ends the thread.
    queue: SyncSender<Option<CommittedRequests>>,
    limit: RepeatLimit<()>,
    metrics: Arc<Metrics>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Traces {
    /// Starts the thread that sends spans.
    pub fn start(options: Options, metrics: &Arc<Metrics>) -> Result<Self, TracesError> {
        let limit = RepeatLimit::new(options.max_per_second as usize, SECOND);
        let exporter = Exporter::new(options)?;
        let (queue, waiting) = mpsc::sync_channel(QUEUE_COMMITS);
        let (end, ended) = mpsc::channel();
        let shared = Arc::clone(metrics);
        thread::Builder::new().name("traces".to_owned()).spawn(move || {
            exporter.run(&waiting, &shared.spans);
            drop(end);
        })?;
        Ok(Self { queue, limit, metrics: Arc::clone(metrics), ended: Mutex::new(ended) })
    }

    /// Whether a sampled request gets a span: beyond the limit per second it does not.
    pub fn admits(&self, now: Instant) -> bool {
        let admitted = self.limit.allows_at((), now);
        if !admitted {
            self.metrics.spans.dropped.inc();
        }
        admitted
    }

    /// Hands over the sampled requests of a commit.
    pub fn committed(&self, committed: CommittedRequests) {
        let spans = committed.requests.len() as u64 + 1;
        if self.queue.try_send(Some(committed)).is_err() {
            self.metrics.spans.dropped.inc_by(spans);
        }
    }

    /// Sends what is left, within `timeout`.
    pub fn close(&self, timeout: Duration) {
        let is_full = matches!(self.queue.try_send(None), Err(TrySendError::Full(_)));
        let timed_out =
            || self.ended.lock().recv_timeout(timeout) == Err(RecvTimeoutError::Timeout);
        if is_full || timed_out() {
            tracing::warn!("the collector does not answer: the last spans are dropped");
        }
    }
}
