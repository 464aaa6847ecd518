//! The signal to stop, seen by every thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where workers wait for each other before they leave the group: whoever leaves while another has yet to commit its last
/// epoch begins a rebalance, in which the group may refuse that commit.
#[derive(Debug)]
pub struct ShutdownBarrier(Box<[AtomicBool]>);

impl ShutdownBarrier {
    /// The farewell of so many workers.
    pub fn of(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicBool::new(false)).collect())
    }

    /// Notes that this worker commits no more.
    pub fn arrive(&self, worker: usize) {
        self.0[worker].store(true, Ordering::SeqCst);
    }

    /// Says it, and waits for the others, but no longer than `budget`.
    pub fn arrive_and_wait(&self, worker: usize, budget: Duration) {
        self.arrive(worker);
        let end = Instant::now() + budget;
        while Instant::now() < end && !self.0.iter().all(|said| said.load(Ordering::SeqCst)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A flag that is raised once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Raises it.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was raised.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits, at most until it is raised.
    pub fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.requested() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
