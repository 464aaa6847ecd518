//! Requests in, outcomes out, exactly once.

mod assignment;
pub mod breaker;
mod consumer;
mod partitions;
mod refusals;
mod reply;
mod shared;
pub mod shutdown;
mod watch;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nik_wire::process::Processor;

use crate::config::Settings;
use crate::kafka::client::config::Clients;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::{c_string, spawn};
use crate::pipeline::epoch::Cadence;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use breaker::SharedBreaker;
use partitions::Counts;
use reply::Replies;
use shared::Shared;
use shutdown::{ShutdownBarrier, Stop};
use watch::Watch;
use worker::Worker;

/// How long a stopping worker waits for the last commits of the others.
const FAREWELL_BUDGET: Duration = Duration::from_secs(3);
/// How long leaving the group may take, and letting a producer go.
const CLOSE_BUDGET: Duration = Duration::from_millis(2500);
/// How long leaving the group may take after a last commit that went well. In the middle of a rebalance the coordinator comes to it
/// only when all other members have joined again, and a member that could not leave holds its partitions for a session.
const LEAVE_BUDGET: Duration = Duration::from_secs(8);
/// Fenced again within this time, with the brokers up, there is a rival.
const RIVAL_WINDOW: Duration = Duration::from_mins(1);
/// The pause after a fence. A rival's start fences more than once: as it begins, as it ends our transaction, as it joins the
/// group. Who came back in between would count one start as two, and of two rivals both would end.
const FENCED_PAUSE: Duration = Duration::from_secs(3);
/// The pauses between starts of a worker that ends again and again: one that worked for this long begins with the shortest.
const STEADY: Duration = Duration::from_mins(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The running workers.
pub(crate) struct Running {
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<Result<(), Fault>>,
}

/// Starts the workers, one thread each, and the watch over the topics.
pub(crate) fn start(
    settings: &Settings,
    processor: Processor,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    breaker: &Arc<SharedBreaker>,
    stop: &Stop,
) -> Result<Running, Fault> {
    let topics = &settings.topics;
    let shared = Arc::new(Shared {
        clients: Clients::new(settings),
        requests: topics.requests.clone(),
        group_c: c_string(&settings.kafka.group_id)?,
        requests_c: c_string(&topics.requests)?,
        results_c: c_string(&topics.results)?,
        failures_c: c_string(&topics.failures)?,
        replies: Replies(topics.replies().map(c_string).collect::<Result<_, _>>()?),
        group: settings.kafka.group_id.clone(),
        guarantee: settings.delivery.guarantee,
        cadence: Cadence {
            interval: Duration::from_millis(settings.delivery.commit_interval_ms),
            min_interval: Duration::from_millis(settings.delivery.commit_min_interval_ms),
            records: settings.delivery.commit_records,
            bytes: settings.delivery.commit_bytes,
        },
        reference: settings.rules.reference_date,
        processor,
        counts: Arc::new(Counts::of_replies(topics.replies().count())),
        metrics: Arc::clone(metrics),
        health: Arc::clone(health),
        breaker: Arc::clone(breaker),
        shutdown: ShutdownBarrier::of(settings.kafka.worker_count()),
    });
    let watch = Watch::new(
        &shared.clients.watch(),
        &shared.clients.access,
        [topics.requests.clone(), topics.results.clone(), topics.failures.clone()],
        topics.replies().map(str::to_owned).collect(),
        Arc::clone(&shared.counts),
        Arc::clone(health),
        Arc::clone(metrics),
    )?;
    let mut threads = vec![spawn("watch".to_owned(), {
        let stop = stop.clone();
        move || watch.run(|| stop.requested())
    })?];
    let (done, ended) = mpsc::channel();
    for index in 0..settings.kafka.worker_count() {
        let (shared, stop, done) = (Arc::clone(&shared), stop.clone(), done.clone());
        threads.push(spawn(format!("worker-{index}"), move || {
            let work = std::panic::AssertUnwindSafe(|| supervise(index, &shared, &stop));
            let outcome = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(Cause::WorkerPanicked.into()));
            shared.shutdown.arrive(index);
            let _ = done.send(outcome); // nobody listens any more when the program is ending
        })?);
    }
    Ok(Running { threads, ended })
}

impl Running {
    /// The end of the next worker to end, if one ends within `timeout`.
    pub(crate) fn next_end(&self, timeout: Duration) -> Option<Result<(), Fault>> {
        self.ended.recv_timeout(timeout).ok()
    }

    /// Waits for all threads; `false` when `deadline` comes first.
    pub(crate) fn finish(self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if self.threads.iter().all(JoinHandle::is_finished) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

/// Runs one worker, and starts it anew from the committed positions whenever a fault ends it.
fn supervise(index: usize, shared: &Arc<Shared>, stop: &Stop) -> Result<(), Fault> {
    let mut fenced: Option<(Instant, u64)> = None;
    let mut pause = SHORTEST_PAUSE;
    let mut left_behind = Vec::new();
    while !stop.requested() {
        let started = Instant::now();
        let outcome = Worker::start(index, shared, &left_behind).and_then(|mut worker| {
            let outcome = worker.run(stop);
            let leave = if outcome.is_ok() {
                shared.shutdown.arrive_and_wait(index, FAREWELL_BUDGET);
                LEAVE_BUDGET
            } else {
                CLOSE_BUDGET
            };
            left_behind = worker.close(leave);
            outcome
        });
        let fault = match outcome {
            Ok(()) => return Ok(()),
            Err(fault @ Fault::Fatal(_)) => return Err(fault),
            Err(fault) => fault,
        };
        shared.metrics.fault(fault.label());
        if stop.requested() {
            tracing::warn!(worker = index, cause = fault.label(), %fault, "the last epoch is given up; its requests will be processed again");
            return Ok(());
        }
        if let Fault::Fenced(_) = fault {
            // Brokers that were away for long fence, too: only a second time with them up proves a rival.
            let outages = shared.counts.outages();
            if fenced.is_some_and(|(at, before)| at.elapsed() < RIVAL_WINDOW && before == outages) {
                return Err(fault);
            }
            fenced = Some((Instant::now(), outages));
        }
        if started.elapsed() > STEADY {
            pause = SHORTEST_PAUSE;
        }
        if let Fault::Denied(_) = fault {
            tracing::debug!(worker = index, cause = fault.label(), %fault, "the worker starts anew");
        } else {
            tracing::warn!(worker = index, cause = fault.label(), %fault, "the worker starts anew");
        }
        shared.metrics.worker_restarted(fault.label());
        stop.pause(match fault {
            Fault::Fenced(_) => FENCED_PAUSE,
            Fault::Denied(_) => LONGEST_PAUSE,
            Fault::Abort(_) | Fault::Restart(_) | Fault::Fatal(_) => pause,
        });
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}
