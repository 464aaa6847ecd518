//! How fast an audit reads, how far it is, and whether it goes on.

use std::time::{Duration, Instant};

use super::Progress;
use crate::kafka::stream::shutdown::Stop;

/// How often the progress is reported, in records.
const INTERVAL: u64 = 1 << 12;
/// The longest sleep, so that a stop is noticed.
const SLEEP: Duration = Duration::from_millis(100);

pub struct Pace<'a> {
    /// Records a second; 0: unlimited.
    rate: u32,
    stop: &'a Stop,
    progress: &'a mut Progress<'a>,
    started: Instant,
    read: u64,
    planned: u64,
}

impl<'a> Pace<'a> {
    pub fn new(rate: u32, stop: &'a Stop, progress: &'a mut Progress<'a>) -> Self {
        Self { rate, stop, progress, started: Instant::now(), read: 0, planned: 0 }
    }

    /// Plans to read this many further offsets, in place of what was planned and is not read yet.
    pub fn plan(&mut self, offsets: u64) {
        self.planned = self.read + offsets;
    }

    /// Counts a record, and waits until it is due; false once a stop is requested.
    pub fn next(&mut self) -> bool {
        self.read += 1;
        if self.rate > 0 {
            self.wait();
        }
        if self.read.is_multiple_of(INTERVAL) {
            (self.progress)(self.read, self.planned);
        }
        !self.is_stopped()
    }

    fn wait(&self) {
        let due = Duration::from_nanos(self.read * 1_000_000_000 / u64::from(self.rate));
        loop {
            let early = due.saturating_sub(self.started.elapsed());
            if early.is_zero() || self.is_stopped() {
                break;
            }
            std::thread::sleep(early.min(SLEEP));
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.requested()
    }

    /// The number of records that were read, and the time that this took.
    pub fn finish(self) -> (u64, Duration) {
        (self.progress)(self.read, self.read);
        (self.read, self.started.elapsed())
    }
}
