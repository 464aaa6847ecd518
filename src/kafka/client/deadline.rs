//! Deadlines for operations that may hang: each runs on its own thread.
//!
//! After a broker's restart a transactional call can hang far beyond its own timeout (librdkafka
//! issue 5456). The worker then abandons the producer together with the thread, and restarts with a
//! new one.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::fault::{Cause, Fault};
use super::native::CallError;
use super::spawn;

type Call = Box<dyn FnOnce() -> Result<(), CallError> + Send>;

/// How far a call may exceed its own timeout.
const GRACE: Duration = Duration::from_secs(3);

/// The thread that makes the transactional calls of one producer.
///
/// Dropping this value ends the thread, or abandons it if a call hangs.
pub(super) struct CallThread {
    calls: Sender<Call>,
    results: Receiver<Result<(), CallError>>,
}

impl CallThread {
    pub(super) fn start(worker: usize) -> Result<Self, Fault> {
        let (calls, requested) = mpsc::channel::<Call>();
        let (done, results) = mpsc::channel();
        spawn(format!("calls-{worker}"), move || {
            for call in requested {
                if done.send(call()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { calls, results })
    }

    /// Makes `call` and waits for its result. `timeout` is the call's own timeout.
    pub(super) fn call(
        &self,
        timeout: Duration,
        call: impl FnOnce() -> Result<(), CallError> + Send + 'static,
    ) -> Result<Result<(), CallError>, Cause> {
        self.calls.send(Box::new(call)).map_err(|_| Cause::CallThreadEnded)?;
        self.results.recv_timeout(timeout + GRACE).map_err(|error| match error {
            RecvTimeoutError::Timeout => Cause::CallHangs,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_is_abandoned() {
        let thread = CallThread::start(0).unwrap();
        assert!(thread.call(Duration::ZERO, || Ok(())).unwrap().is_ok());
        let (release, hang) = mpsc::channel::<()>();
        let result = thread.call(Duration::ZERO, move || {
            let _ = hang.recv();
            Ok(())
        });
        assert!(matches!(result, Err(Cause::CallHangs)));
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
