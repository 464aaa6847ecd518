//! Whether this instance is ready, and if not, why not: the basis of `/readyz`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::obstacle::{Obstacle, Problem};

/// How long readiness shows that an epoch was not committed in time. A worker without requests does
/// not commit, and the brokers end a transaction after 15 seconds by default.
const LATE_TIME: Duration = Duration::from_secs(30);

/// What readiness shows of the flood breaker, and what operators can do to it.
pub trait FloodBreaker: Send + Sync {
    /// Why the breaker is open and until when; `None` while it is closed.
    fn problem(&self) -> Option<String>;
    /// Lets an operator accept the dead letters. Returns `false` if the breaker is not open.
    fn accept(&self) -> bool;
}

/// The state that the workers and the topic watch keep up to date.
pub struct Health {
    /// Whether each worker is a member of the group and has its assignment.
    joined: Box<[AtomicBool]>,
    /// When each worker last gave up an epoch since the brokers took too long, unless it has
    /// committed one since.
    late: Mutex<BTreeMap<usize, Instant>>,
    stopping: AtomicBool,
    /// Problems with the brokers and topics; `None` until they were checked for the first time.
    cluster: Mutex<Option<Vec<Problem>>>,
    /// Partitions that are not read, and why.
    standing: Mutex<BTreeMap<i32, Problem>>,
    pub breaker: Arc<dyn FloodBreaker>,
}

impl Health {
    /// Starts with no worker in the group and the cluster not yet checked.
    pub fn new(workers: usize, breaker: Arc<dyn FloodBreaker>) -> Self {
        Self {
            joined: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            late: Mutex::default(),
            stopping: AtomicBool::new(false),
            cluster: Mutex::new(None),
            standing: Mutex::default(),
            breaker,
        }
    }

    /// Records whether a worker is a member of the group and has its assignment.
    pub fn set_joined(&self, worker: usize, joined: bool) {
        self.joined[worker].store(joined, Ordering::Relaxed);
    }

    /// Records that a worker gave up an epoch since the brokers took too long, or committed one.
    pub fn set_late(&self, worker: usize, is_late: bool) {
        let mut late = self.late.lock();
        if is_late {
            late.insert(worker, Instant::now());
        } else {
            late.remove(&worker);
        }
    }

    /// Replaces the problems with the brokers and topics.
    pub fn set_cluster(&self, problems: Vec<Problem>) {
        *self.cluster.lock() = Some(problems);
    }

    /// Records why a partition is not read (`None`: it is). Returns how many are not.
    pub fn set_standing(&self, partition: i32, problem: Option<Problem>) -> i64 {
        let mut standing = self.standing.lock();
        match problem {
            Some(problem) => standing.insert(partition, problem),
            None => standing.remove(&partition),
        };
        i64::try_from(standing.len()).unwrap_or(i64::MAX)
    }

    /// Whether every worker is a member of the group and has its assignment.
    pub fn all_joined(&self) -> bool {
        self.joined.iter().all(|joined| joined.load(Ordering::Relaxed))
    }

    /// Records that the program is shutting down.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Why this instance is not ready; empty if it is.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.is_stopping() {
            problems.push(Obstacle::Stopping.problem("stopping"));
        }
        match &*self.cluster.lock() {
            None => {
                let text = "the brokers have not answered yet";
                problems.push(Obstacle::BrokersUnknown.problem(text));
            }
            Some(cluster) => problems.extend_from_slice(cluster),
        }
        problems.extend(self.standing.lock().values().cloned());
        problems.extend(self.breaker.problem().map(|text| Obstacle::BreakerOpen.problem(text)));
        for (worker, joined) in self.joined.iter().enumerate() {
            if !joined.load(Ordering::Relaxed) {
                let text = format!("worker {worker} has no group assignment yet");
                problems.push(Obstacle::NoAssignment.problem(text));
            }
        }
        let late = self.late.lock();
        problems
            .extend(late.iter().filter(|(_, at)| at.elapsed() < LATE_TIME).map(|(worker, _)| {
            let text = format!(
                "worker {worker} could not commit: the brokers take too long, or a quota limits \
                     its rate (nik_stream_throttle_seconds_total rises)"
            );
            Obstacle::SlowBrokers.problem(text)
        }));
        problems
    }
}
