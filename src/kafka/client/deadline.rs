//! What may hang, a transactional call or the end of a client: each runs on a helper thread, with a deadline.
//!
//! A transactional call can hang far past its own timeout after a broker's restart (librdkafka #5456). The worker must
//! not hang with it: it leaves the producer behind, on this thread, and starts anew with another.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::spawn;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::CallError;

type Job = Box<dyn FnOnce() -> Result<(), CallError> + Send>;

/// What a call may take beyond its own timeout.
const GRACE: Duration = Duration::from_secs(3);

/// The helper thread of one producer. Dropped while a call hangs, it leaves the thread behind.
pub struct Calls {
    jobs: Sender<Job>,
    results: Receiver<Result<(), CallError>>,
}

impl Calls {
    /// Starts the thread; it ends when this value is dropped.
    pub fn start(worker: usize) -> Result<Self, Fault> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (done, results) = mpsc::channel();
        spawn(format!("calls-{worker}"), move || {
            for job in todo {
                if done.send(job()).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, results })
    }

    /// Makes one call and waits for it; `timeout` is the call's own.
    pub fn make(
        &self,
        timeout: Duration,
        job: impl FnOnce() -> Result<(), CallError> + Send + 'static,
    ) -> Result<Result<(), CallError>, Cause> {
        self.jobs.send(Box::new(job)).map_err(|_| Cause::CallThreadEnded)?;
        self.results.recv_timeout(timeout + GRACE).map_err(|error| match error {
            RecvTimeoutError::Timeout => Cause::CallHangs,
            RecvTimeoutError::Disconnected => Cause::CallThreadEnded,
        })
    }
}

/// Runs `work` on a thread of its own; `false` when it takes longer than `budget` and is left behind.
pub fn finishes_within(budget: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let thread = std::thread::spawn(work);
    let deadline = Instant::now() + budget;
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_ends_in_a_new_start_and_not_in_a_hanging_worker() {
        let calls = Calls::start(0).unwrap();
        assert!(calls.make(Duration::ZERO, || Ok(())).unwrap().is_ok());
        let (release, hang) = mpsc::channel::<()>();
        let outcome = calls.make(Duration::ZERO, move || {
            let _ = hang.recv();
            Ok(())
        });
        assert!(matches!(outcome, Err(Cause::CallHangs)));
        drop(release);
    }
}
