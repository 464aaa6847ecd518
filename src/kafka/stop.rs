//! The signal to stop, seen by every thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
    pub(super) fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.requested() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
