//! Whether the program does its job, and if not, why: what `/readyz` answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The flood breaker of the stream, as readiness and operators use it.
pub trait FloodBreaker: Send + Sync {
    /// Why the program is not ready, and until when; `None` while the breaker is closed.
    fn problem(&self) -> Option<String>;
    /// An operator accepts the dead letters; `false` when the breaker is not open.
    fn accept(&self) -> bool;
}

/// The state that the workers and the watch over the topics keep up to date.
pub struct Health {
    /// Per worker: a member of the group, with its assignment taken.
    joined: Box<[AtomicBool]>,
    stopping: AtomicBool,
    /// What is wrong with brokers and topics; `None` until they were first looked at.
    cluster: Mutex<Option<Vec<String>>>,
    pub(super) breaker: Arc<dyn FloodBreaker>,
}

impl Health {
    /// The health of a program of `workers` workers that has just started.
    pub fn new(workers: usize, breaker: Arc<dyn FloodBreaker>) -> Self {
        Self {
            joined: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            stopping: AtomicBool::new(false),
            cluster: Mutex::new(None),
            breaker,
        }
    }

    /// Notes whether a worker is a member of the group with its assignment taken.
    pub fn set_joined(&self, worker: usize, joined: bool) {
        self.joined[worker].store(joined, Ordering::Relaxed);
    }

    /// Notes what is wrong with brokers and topics (nothing: an empty list).
    pub fn set_cluster(&self, problems: Vec<String>) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = Some(problems);
    }

    /// Notes that the program is about to stop.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Why the program is not ready; empty when it is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.stopping.load(Ordering::Relaxed) {
            problems.push("stopping".to_owned());
        }
        match &*self.cluster.lock().unwrap_or_else(PoisonError::into_inner) {
            None => problems.push("the brokers have not answered yet".to_owned()),
            Some(cluster) => problems.extend_from_slice(cluster),
        }
        problems.extend(self.breaker.problem());
        for (worker, joined) in self.joined.iter().enumerate() {
            if !joined.load(Ordering::Relaxed) {
                problems.push(format!("worker {worker} has no assignment of the group yet"));
            }
        }
        problems
    }
}
