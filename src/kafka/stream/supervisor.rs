//! Runs one worker, and restarts it from the committed offsets after a fault.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::CLOSE_BUDGET;
use super::shared::Shared;
use super::shutdown::Stop;
use super::worker::{End, Worker};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::producer::unsettled::{Ending, Unsettled};

/// How long a stopping worker waits for the last commits of the others.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long leaving the group may take after a successful last commit. During a rebalance the
/// coordinator answers only when all other members have rejoined, and a member that could not leave
/// keeps its partitions until its session times out.
const LEAVE_BUDGET: Duration = Duration::from_secs(8);
/// If a worker of a named instance is fenced again within this time, and the brokers were up in
/// between, another instance uses the same name.
const RIVAL_WINDOW: Duration = Duration::from_mins(1);
/// The pause after a worker was fenced. A rival fences it more than once as it starts: it takes
/// over the transactional id, ends the open transaction, and joins the group. A worker that
/// restarted in between would count one start as two, and both rivals would exit.
const FENCED_PAUSE: Duration = Duration::from_secs(3);
/// The backoff between restarts; it starts over after a worker has run for `STEADY`.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_mins(1);
/// Clients that hang keep their threads and memory. Beyond this number, a new process is better.
const MOST_ABANDONED: u64 = 64;

/// Runs worker `index` until the stop, or until a fault that a restart does not cure.
pub fn supervise(index: usize, shared: &Arc<Shared>, stop: &Stop) -> Result<(), Fault> {
    let metrics = &shared.telemetry.metrics;
    let mut fenced: Option<(Instant, u64)> = None;
    let mut pause = SHORTEST_PAUSE;
    let unsettled = Unsettled::default();
    while !stop.requested() {
        let started = Instant::now();
        let fault = match run_once(index, shared, &unsettled, stop) {
            Ok(End::Stopped) => return Ok(()),
            Ok(End::Renewed) => continue,
            Err(fault) => fault,
        };
        metrics.fault(fault.label());
        match fault {
            Fault::Fatal(_) => return Err(fault),
            _ if stop.requested() => return Ok(()),
            _ => {}
        }
        if let Fault::Fenced(_) = fault {
            // Brokers that were unreachable for long fence, too.
            let outages = shared.outages();
            let again =
                fenced.is_some_and(|(at, before)| at.elapsed() < RIVAL_WINDOW && before == outages);
            if again && shared.clients.may_have_rival() {
                return Err(fault);
            }
            fenced = Some((Instant::now(), outages));
            // A rival's transaction may be the last one now.
            unsettled.lock().last.take_if(|ending| *ending == Ending::Commit);
        }
        if started.elapsed() > STEADY {
            pause = SHORTEST_PAUSE;
        }
        if let Fault::Denied(_) = fault {
            // Already logged once by name.
            tracing::debug!(worker = index, cause = fault.label(), %fault, "worker restarts");
        } else {
            tracing::warn!(worker = index, cause = fault.label(), %fault, "worker restarts");
        }
        metrics.worker_restarted(fault.label());
        if metrics.clients_abandoned.get() >= MOST_ABANDONED {
            return Err(Cause::ClientsAbandoned.into());
        }
        stop.wait(match fault {
            Fault::Fenced(_) => FENCED_PAUSE,
            Fault::Denied(_) => LONGEST_PAUSE,
            Fault::Abort(_) | Fault::Restart(_) | Fault::Fatal(_) => pause,
        });
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

/// Starts a worker and runs it until the stop or a fault, then closes it.
fn run_once(
    index: usize,
    shared: &Arc<Shared>,
    unsettled: &Unsettled,
    stop: &Stop,
) -> Result<End, Fault> {
    let mut worker = Worker::start(index, shared, unsettled, stop)?;
    // A panic ends the program, but not before the worker has left the group within its budget:
    // a consumer that is dropped by unwinding can hang.
    let work = AssertUnwindSafe(|| worker.run(stop));
    let result = catch_unwind(work).unwrap_or_else(|_| Err(Cause::WorkerPanicked.into()));
    let leave_budget = match &result {
        Err(fault) => {
            if stop.requested() {
                tracing::warn!(
                    worker = index,
                    cause = fault.label(),
                    %fault,
                    "the last epoch was not committed; its requests will be processed again"
                );
            }
            CLOSE_BUDGET
        }
        Ok(End::Renewed) => LEAVE_BUDGET,
        Ok(End::Stopped) => {
            shared.shutdown.arrive_and_wait(index, BARRIER_TIMEOUT);
            LEAVE_BUDGET
        }
    };
    worker.close(leave_budget);
    result
}
