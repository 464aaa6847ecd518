//! Assigned partitions whose committed offsets are not known yet, and when to look them up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the first lookup of a committed offset may take; each further one takes twice as long,
/// up to the maximum.
const FIRST_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_TIMEOUT: Duration = Duration::from_secs(1);
/// A lookup blocks the worker. It waits this many times as long before the next one, so that the
/// other partitions get most of the time.
const PAUSE_FACTOR: u32 = 4;

/// The partitions that wait for their committed offsets, looked up one at a time and in turn.
#[derive(Debug)]
pub struct PendingPartitions {
    partitions: VecDeque<i32>,
    next_lookup: Instant,
    timeout: Duration,
    /// When the first of them began to wait, or when a warning was last due.
    since: Instant,
}

impl PendingPartitions {
    pub fn new() -> Self {
        let now = Instant::now();
        Self { partitions: VecDeque::new(), next_lookup: now, timeout: FIRST_TIMEOUT, since: now }
    }

    pub fn add(&mut self, partitions: &[i32], now: Instant) {
        if self.partitions.is_empty() {
            self.since = now;
        }
        self.partitions.extend(partitions);
    }

    pub fn remove(&mut self, partitions: &[i32]) {
        self.partitions.retain(|it| !partitions.contains(it));
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Takes the partition whose lookup is due, and how long the lookup may take.
    pub fn take_due(&mut self, now: Instant) -> Option<(i32, Duration)> {
        if now < self.next_lookup {
            return None;
        }
        Some((self.partitions.pop_front()?, self.timeout))
    }

    /// The last lookup succeeded.
    pub fn found(&mut self) {
        self.timeout = FIRST_TIMEOUT;
    }

    /// The lookup of `partition` failed: it waits for its next turn.
    pub fn not_found(&mut self, partition: i32, now: Instant) {
        self.partitions.push_back(partition);
        self.next_lookup = now + PAUSE_FACTOR * self.timeout;
        self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
    }

    /// The partitions, if they have waited for `timeout` since they were last returned here.
    pub fn overdue(&mut self, timeout: Duration, now: Instant) -> Option<&VecDeque<i32>> {
        if self.partitions.is_empty() || now.duration_since(self.since) <= timeout {
            return None;
        }
        self.since = now;
        Some(&self.partitions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_looked_up_in_turn_with_longer_timeouts_and_pauses() {
        let mut pending = PendingPartitions::new();
        let mut now = Instant::now();
        assert_eq!(pending.take_due(now), None);
        pending.add(&[3, 5], now);
        for (partition, timeout) in [(3, 100), (5, 200), (3, 400), (5, 800), (3, 1_000), (5, 1_000)]
        {
            let timeout = Duration::from_millis(timeout);
            assert_eq!(pending.take_due(now), Some((partition, timeout)));
            pending.not_found(partition, now);
            now += 4 * timeout;
            assert_eq!(pending.take_due(now.checked_sub(Duration::from_millis(1)).unwrap()), None);
        }
        assert_eq!(pending.take_due(now), Some((3, MAX_TIMEOUT)));
        pending.found();
        assert_eq!(pending.take_due(now), Some((5, FIRST_TIMEOUT)));
    }

    #[test]
    fn revoked_partitions_are_not_looked_up() {
        let (mut pending, now) = (PendingPartitions::new(), Instant::now());
        pending.add(&[3, 5, 7], now);
        pending.remove(&[3, 7]);
        assert_eq!(pending.take_due(now), Some((5, FIRST_TIMEOUT)));
        assert!(pending.is_empty());
        pending.not_found(5, now);
        assert!(!pending.is_empty());
        pending.remove(&[5]);
        assert!(pending.is_empty());
    }

    #[test]
    fn partitions_that_wait_for_long_are_reported_once_per_timeout() {
        let mut pending = PendingPartitions::new();
        let (start, minute) = (Instant::now(), Duration::from_mins(1));
        assert_eq!(pending.overdue(minute, start + 2 * minute), None);
        pending.add(&[3, 5], start);
        assert_eq!(pending.overdue(minute, start + minute), None);
        assert!(pending.overdue(minute, start + minute + Duration::from_secs(1)).is_some());
        assert_eq!(pending.overdue(minute, start + 2 * minute), None);
    }
}
