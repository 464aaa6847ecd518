//! Traces of sampled requests, for a collector of `OpenTelemetry`.
//!
//! A worker notes the sampled requests of its epoch and hands them over after the commit, through a
//! bounded queue. One thread makes spans of them and sends them. A collector that is slow or away
//! costs the spans that find no room in the queue, and nothing else.

mod export;
mod parent;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use self::export::Exporter;
pub use self::export::TracesError;
pub use self::parent::Parent;
use super::metrics::Metrics;
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
    limit: SecondLimit,
    metrics: Arc<Metrics>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Traces {
    /// Starts the thread that sends spans.
    pub fn start(options: Options, metrics: &Arc<Metrics>) -> Result<Self, TracesError> {
        let limit = SecondLimit::new(options.max_per_second);
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
        let admitted = self.limit.admits(now);
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
        if self.queue.try_send(None).is_ok() {
            let ended = self.ended.lock().recv_timeout(timeout);
            if ended == Err(RecvTimeoutError::Timeout) {
                tracing::warn!("the collector does not answer: the last spans are dropped");
            }
        }
    }
}

/// Admits a number of requests in each second.
struct SecondLimit {
    most: u32,
    /// The beginning of the second, and how many it has admitted.
    second: Mutex<Option<(Instant, u32)>>,
}

impl SecondLimit {
    fn new(most: u32) -> Self {
        Self { most, second: Mutex::new(None) }
    }

    fn admits(&self, now: Instant) -> bool {
        let mut second = self.second.lock();
        let is_over = |since: Instant| now.saturating_duration_since(since) >= SECOND;
        let (since, admitted) = second.filter(|(since, _)| !is_over(*since)).unwrap_or((now, 0));
        let admits = admitted < self.most;
        *second = Some((since, admitted + u32::from(admits)));
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_admits_as_many_as_the_limit() {
        let limit = SecondLimit::new(2);
        let start = Instant::now();
        let admits = |ms| limit.admits(start + Duration::from_millis(ms));
        let found: Vec<_> = [0, 500, 999, 1000, 1001, 1999, 2500].into_iter().map(admits).collect();
        assert_eq!(found, [true, true, false, true, true, false, true]);
    }
}
