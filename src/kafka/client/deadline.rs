//! Deadlines for operations that may hang: each runs on its own thread.
//!
//! After a broker's restart a transactional call can hang far beyond its own timeout (librdkafka
//! issue 5456). The worker then abandons the producer together with the thread, and restarts with a
//! new one.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::fault::{Cause, Fault};
use super::native::CallError;
use super::spawn;
use crate::telemetry::metrics::Metrics;

type Call = Box<dyn FnOnce() -> Result<(), CallError> + Send>;

/// How far a call may exceed its own timeout.
const GRACE: Duration = Duration::from_secs(3);
/// How long closing a client may take if nobody waits for it.
const BACKGROUND_CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The thread that makes the transactional calls of one producer.
///
/// Dropping this value ends the thread, or abandons it if a call hangs.
pub(super) struct CallThread {
    calls: Sender<Call>,
    results: Receiver<Result<(), CallError>>,
    /// `None` for the producers of commands, which export no metrics.
    metrics: Option<Arc<Metrics>>,
}

impl CallThread {
    pub(super) fn start(worker: usize, metrics: Option<Arc<Metrics>>) -> Result<Self, Fault> {
        let (calls, requested) = mpsc::channel::<Call>();
        let (done, results) = mpsc::channel();
        spawn(format!("calls-{worker}"), move || {
            for call in requested {
                if done.send(call()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { calls, results, metrics })
    }

    /// Makes `call` and waits for its result. `timeout` is the call's own timeout.
    ///
    /// A call that hangs keeps its client, so the client is counted as abandoned here: closing it
    /// does not destroy it, and returns at once.
    pub(super) fn call(
        &self,
        timeout: Duration,
        call: impl FnOnce() -> Result<(), CallError> + Send + 'static,
    ) -> Result<Result<(), CallError>, Cause> {
        self.calls.send(Box::new(call)).map_err(|_| Cause::CallThreadEnded)?;
        self.results.recv_timeout(timeout + GRACE).map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                count_abandoned(self.metrics.as_deref());
                Cause::CallHangs
            }
            RecvTimeoutError::Disconnected => Cause::CallThreadEnded,
        })
    }
}

/// Runs `work` on its own thread; `false` if it is abandoned because it takes longer than
/// `timeout`.
pub fn finishes_within(timeout: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    // The thread drops the sender when it ends, also by a panic.
    let (running, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _running = running;
        work();
    });
    matches!(ended.recv_timeout(timeout), Err(RecvTimeoutError::Disconnected))
}

/// Drops a client on its own thread; abandons it if that takes longer than `timeout`. `what` names
/// the client in the log.
pub fn close(
    what: &str,
    client: impl Send + 'static,
    timeout: Duration,
    metrics: Option<&Metrics>,
) {
    if !finishes_within(timeout, move || drop(client)) {
        count_abandoned(metrics);
        tracing::warn!("the {what} could not be closed in time and is abandoned");
    }
}

/// The same without waiting for it.
pub fn close_in_background(
    what: &'static str,
    client: impl Send + 'static,
    metrics: Option<Arc<Metrics>>,
) {
    thread::spawn(move || close(what, client, BACKGROUND_CLOSE_TIMEOUT, metrics.as_deref()));
}

fn count_abandoned(metrics: Option<&Metrics>) {
    if let Some(metrics) = metrics {
        metrics.clients_abandoned.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_abandoned() {
        let metrics = Arc::new(Metrics::for_tests(&[]));
        let thread = CallThread::start(0, Some(Arc::clone(&metrics))).unwrap();
        assert!(thread.call(Duration::ZERO, || Ok(())).unwrap().is_ok());
        assert_eq!(metrics.clients_abandoned.get(), 0);
        let (release, hang) = mpsc::channel::<()>();
        let result = thread.call(Duration::ZERO, move || {
            let _ = hang.recv();
            Ok(())
        });
        assert!(matches!(result, Err(Cause::CallHangs)));
        assert_eq!(metrics.clients_abandoned.get(), 1);
        drop(release);
    }

    struct Hangs(Receiver<()>);

    impl Drop for Hangs {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn a_client_that_hangs_when_it_is_closed_is_counted() {
        let metrics = Metrics::for_tests(&[]);
        close("client", (), Duration::from_secs(10), Some(&metrics));
        assert_eq!(metrics.clients_abandoned.get(), 0);
        let (release, hang) = mpsc::channel();
        close("client", Hangs(hang), Duration::from_millis(10), Some(&metrics));
        assert_eq!(metrics.clients_abandoned.get(), 1);
        drop(release);
    }

    #[test]
    fn work_that_takes_too_long_is_abandoned() {
        assert!(finishes_within(Duration::from_secs(10), || ()));
        let (release, hang) = mpsc::channel::<()>();
        let work = move || {
            let _ = hang.recv();
        };
        assert!(!finishes_within(Duration::from_millis(10), work));
        drop(release);
    }
}
