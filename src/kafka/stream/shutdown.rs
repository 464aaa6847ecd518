//! Stopping: the request to stop, and the barrier that workers pass before they leave the group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// A value that threads can wait on.
#[derive(Debug, Default)]
pub struct Signal<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Signal<T> {
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    /// Changes the value and wakes all waiting threads.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock());
        self.changed.notify_all();
    }

    /// Waits until `condition` holds, or until `timeout`.
    pub fn wait(&self, timeout: Duration, mut condition: impl FnMut(&mut T) -> bool) {
        let mut value = self.value.lock();
        self.changed.wait_while_for(&mut value, |value| !condition(value), timeout);
    }
}

/// Where the workers wait for each other before they leave the group. A worker that leaves before
/// another has committed its last epoch triggers a rebalance, in which the group may refuse that
/// commit.
#[derive(Debug)]
pub struct ShutdownBarrier(Signal<Box<[bool]>>);

impl ShutdownBarrier {
    pub fn new(workers: usize) -> Self {
        Self(Signal::new((0..workers).map(|_| false).collect()))
    }

    /// Records that this worker will not commit again.
    pub fn arrive(&self, worker: usize) {
        self.0.update(|arrived| arrived[worker] = true);
    }

    /// Arrives, and waits for the other workers, at most for `timeout`.
    pub fn arrive_and_wait(&self, worker: usize, timeout: Duration) {
        self.arrive(worker);
        self.0.wait(timeout, |arrived| arrived.iter().all(|arrived| *arrived));
    }
}

/// A request to stop, made once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<StopState>);

#[derive(Debug, Default)]
struct StopState {
    /// Read before every batch, so it is not behind the lock.
    requested: AtomicBool,
    signal: Signal<()>,
}

impl Stop {
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        self.0.signal.update(|()| {});
    }

    pub fn requested(&self) -> bool {
        self.0.requested.load(Ordering::Relaxed)
    }

    /// Waits for the request, at most for `timeout`.
    pub fn wait(&self, timeout: Duration) {
        self.0.signal.wait(timeout, |()| self.requested());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn a_stop_wakes_those_who_wait_for_it() {
        let (stop, started) = (Stop::default(), Instant::now());
        let waiting = thread::spawn({
            let stop = stop.clone();
            move || stop.wait(LONG)
        });
        stop.wait(Duration::from_millis(10));
        assert!(!stop.requested());
        stop.request();
        waiting.join().unwrap();
        stop.wait(LONG);
        assert!(stop.requested() && started.elapsed() < LONG);
    }

    #[test]
    fn the_barrier_opens_when_every_worker_has_arrived_or_after_the_timeout() {
        let (barrier, started) = (Arc::new(ShutdownBarrier::new(2)), Instant::now());
        barrier.arrive_and_wait(0, Duration::from_millis(10));
        let waiting = thread::spawn({
            let barrier = Arc::clone(&barrier);
            move || barrier.arrive_and_wait(0, LONG)
        });
        barrier.arrive(1);
        waiting.join().unwrap();
        assert!(started.elapsed() < LONG);
    }
}
