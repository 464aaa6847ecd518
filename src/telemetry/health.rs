//! Whether this instance is ready, and if not, why not: the basis of `/readyz`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::obstacle::{Obstacle, Problem};

/// How long a late epoch is shown. It expires, because an idle worker makes no later commit that clears it.
const LATE_TIME: Duration = Duration::from_secs(30);

/// What is wrong with a partition. It may be several of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartitionTrouble {
    /// It is not read.
    Stands,
    /// An open transaction hides its position or its outcomes.
    Hidden,
    /// The brokers do not say where it continues.
    Waits,
}

impl PartitionTrouble {
    pub const ALL: [Self; 3] = [Self::Stands, Self::Hidden, Self::Waits];
}

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
    /// When each worker last gave up an epoch because the brokers took too long, unless it has
    /// committed one since.
    late: Mutex<BTreeMap<usize, Instant>>,
    stopping: AtomicBool,
    /// Problems with the brokers and topics; `None` until they were checked for the first time.
    cluster: Mutex<Option<Vec<Problem>>>,
    /// What is wrong with partitions, and the worker that says so.
    standing: Mutex<BTreeMap<(i32, PartitionTrouble), (usize, Problem)>>,
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

    /// Records that a worker gave up an epoch because the brokers took too long, or committed one.
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

    /// Records what is wrong with a partition of `worker`.
    pub fn report(
        &self,
        worker: usize,
        partition: i32,
        trouble: PartitionTrouble,
        problem: Problem,
    ) {
        self.standing.lock().insert((partition, trouble), (worker, problem));
    }

    /// Withdraws what `worker` reported. What another worker has reported since, because the
    /// partition is assigned to it now, remains.
    pub fn withdraw(&self, worker: usize, partition: i32, trouble: PartitionTrouble) {
        let mut standing = self.standing.lock();
        if standing.get(&(partition, trouble)).is_some_and(|it| it.0 == worker) {
            standing.remove(&(partition, trouble));
        }
    }

    /// How many partitions something is wrong with.
    pub fn standing_partitions(&self) -> i64 {
        let standing = self.standing.lock();
        let partitions: BTreeSet<_> = standing.keys().map(|it| it.0).collect();
        i64::try_from(partitions.len()).unwrap_or(i64::MAX)
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
        problems.extend(self.standing.lock().values().map(|it| it.1.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl FloodBreaker for Closed {
        fn problem(&self) -> Option<String> {
            None
        }

        fn accept(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_partition_may_stand_and_be_hidden_and_only_the_worker_that_said_so_withdraws_it() {
        let health = Health::new(2, Arc::new(Closed));
        let is_told = |text| health.problems().iter().any(|problem| problem.text == text);
        health.report(0, 3, PartitionTrouble::Hidden, Obstacle::Hidden.problem("hidden"));
        health.report(0, 3, PartitionTrouble::Stands, Obstacle::Corrupt.problem("corrupt"));
        assert!(is_told("hidden") && is_told("corrupt"));
        assert_eq!(health.standing_partitions(), 1);
        health.withdraw(0, 3, PartitionTrouble::Hidden);
        assert!(!is_told("hidden") && is_told("corrupt"));
        // The partition moves to the other worker, before the first one learns of it.
        health.report(1, 3, PartitionTrouble::Stands, Obstacle::Corrupt.problem("corrupt again"));
        health.withdraw(0, 3, PartitionTrouble::Stands);
        assert!(is_told("corrupt again"));
        health.withdraw(1, 3, PartitionTrouble::Stands);
        assert_eq!(health.standing_partitions(), 0);
    }
}
