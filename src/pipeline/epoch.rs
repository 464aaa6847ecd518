//! The records between two commits: which offsets are safe once their outcomes are, and when to commit.

use std::time::{Duration, Instant};

use nik::Summary;
use nik_wire::process::Outcome;
use nik_wire::{Process, Reason};

/// When an epoch ends.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// The longest an epoch stays open.
    pub interval: Duration,
    /// The shortest time between two commits, however soon the input is drained.
    pub min_interval: Duration,
    /// The most records of an epoch.
    pub records: usize,
    /// The most bytes of outcomes of an epoch.
    pub bytes: usize,
}

/// What the outcomes of an epoch add to the counters, once they are committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The summaries of all results.
    pub summary: Summary,
    /// Results, in the order of [`Process::ALL`].
    pub results: [u64; Process::ALL.len()],
    /// Failures whose process could be read, in the order of [`Process::ALL`].
    pub failures: [u64; Process::ALL.len()],
    /// Failures whose process could not be read.
    pub unread: u64,
    /// Failures, in the order of [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
}

impl Tally {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        match *outcome {
            Outcome::Result { process, summary } => {
                self.results[process as usize] += 1;
                self.summary += summary;
            }
            Outcome::Failure { reason, process } => {
                self.reasons[reason as usize] += 1;
                match process {
                    Some(process) => self.failures[process as usize] += 1,
                    None => self.unread += 1,
                }
            }
        }
    }

    /// All results.
    pub fn answered(&self) -> u64 {
        self.results.iter().sum()
    }

    /// All failures.
    pub fn failed(&self) -> u64 {
        self.reasons.iter().sum()
    }

    /// All outcomes.
    pub fn outcomes(&self) -> u64 {
        self.answered() + self.failed()
    }
}

/// The offsets of one partition in an epoch.
#[derive(Clone, Copy, Debug)]
struct Span {
    partition: i32,
    first: i64,
    next: i64,
}

/// The records taken since the last commit. It keeps its buffers from one epoch to the next.
#[derive(Debug, Default)]
pub struct Epoch {
    opened: Option<Instant>,
    spans: Vec<Span>,
    /// Where in `spans` the last record's partition stands: records of a partition come in runs.
    latest: usize,
    timestamps: Vec<i64>,
    bytes: usize,
    records: usize,
    tally: Tally,
}

impl Epoch {
    /// Notes a record whose outcome, of so many `bytes`, was handed to the producer. `timestamp` is the request's, in milliseconds
    /// since 1970. Offsets of a partition must come in ascending order.
    pub fn add(
        &mut self,
        (partition, offset): (i32, i64),
        timestamp: Option<i64>,
        bytes: usize,
        outcome: &Outcome,
        now: Instant,
    ) {
        self.opened.get_or_insert(now);
        if self.spans.get(self.latest).is_none_or(|span| span.partition != partition) {
            let known = self.spans.iter().position(|span| span.partition == partition);
            self.latest = known.unwrap_or_else(|| {
                self.spans.push(Span { partition, first: offset, next: offset });
                self.spans.len() - 1
            });
        }
        self.spans[self.latest].next = offset + 1;
        self.timestamps.extend(timestamp);
        self.bytes += bytes;
        self.records += 1;
        self.tally.add(outcome);
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether it holds none of this partition.
    pub fn has_none_of(&self, partition: i32) -> bool {
        let of = |span: &Span| span.partition == partition;
        !self.spans.get(self.latest).is_some_and(of) && !self.spans.iter().any(of)
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.records
    }

    /// The positions to commit once every outcome is safe: partition and next offset.
    pub fn positions(&self) -> impl Iterator<Item = (i32, i64)> {
        self.spans.iter().map(|span| (span.partition, span.next))
    }

    /// The positions to go back to if the epoch is given up: partition and first offset.
    pub fn starts(&self) -> impl Iterator<Item = (i32, i64)> {
        self.spans.iter().map(|span| (span.partition, span.first))
    }

    /// What to count once it is committed.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The timestamps of its records, in milliseconds since 1970, where they have one.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Whether it must be committed now, more input or not.
    pub fn is_due(&self, cadence: &Cadence, now: Instant) -> bool {
        self.records >= cadence.records
            || self.bytes >= cadence.bytes
            || self.opened.is_some_and(|opened| now.duration_since(opened) >= cadence.interval)
    }

    /// How long to wait for more input before it is committed: nothing where the last commit is long enough ago.
    pub fn patience(&self, cadence: &Cadence, last_commit: Instant, now: Instant) -> Duration {
        let Some(opened) = self.opened else {
            return cadence.interval;
        };
        let next = (last_commit + cadence.min_interval).min(opened + cadence.interval);
        next.saturating_duration_since(now)
    }

    /// Begins the next epoch.
    pub fn clear(&mut self) {
        self.opened = None;
        self.spans.clear();
        self.latest = 0;
        self.timestamps.clear();
        self.bytes = 0;
        self.records = 0;
        self.tally = Tally::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CADENCE: Cadence = Cadence {
        interval: Duration::from_millis(100),
        min_interval: Duration::from_millis(10),
        records: 3,
        bytes: 1_000,
    };

    fn failure() -> Outcome {
        Outcome::Failure { reason: Reason::Tombstone, process: None }
    }

    #[test]
    fn positions_follow_the_last_record_of_each_partition_and_starts_the_first() {
        let now = Instant::now();
        let mut epoch = Epoch::default();
        for (partition, offset) in [(3, 42), (5, 7), (3, 43), (3, 50), (5, 8)] {
            epoch.add((partition, offset), Some(1), 10, &failure(), now);
        }
        assert_eq!(epoch.positions().collect::<Vec<_>>(), [(3, 51), (5, 9)]);
        assert_eq!(epoch.starts().collect::<Vec<_>>(), [(3, 42), (5, 7)]);
        assert_eq!(epoch.tally().outcomes(), 5);
        epoch.clear();
        assert!(epoch.is_empty() && epoch.positions().next().is_none());
    }

    #[test]
    fn an_epoch_ends_by_time_by_records_and_by_bytes() {
        let now = Instant::now();
        let mut epoch = Epoch::default();
        assert!(!epoch.is_due(&CADENCE, now + Duration::from_secs(9)), "an empty epoch never ends");
        epoch.add((0, 0), None, 10, &failure(), now);
        assert!(!epoch.is_due(&CADENCE, now + Duration::from_millis(99)));
        assert!(epoch.is_due(&CADENCE, now + Duration::from_millis(100)));
        epoch.add((0, 1), None, 10, &failure(), now);
        assert!(!epoch.is_due(&CADENCE, now));
        epoch.add((0, 2), None, 10, &failure(), now);
        assert!(epoch.is_due(&CADENCE, now));
        epoch.clear();
        epoch.add((0, 3), None, 1_000, &failure(), now);
        assert!(epoch.is_due(&CADENCE, now));
    }

    #[test]
    fn a_drained_epoch_waits_for_the_shortest_time_between_commits_and_never_past_its_end() {
        let committed = Instant::now();
        let mut epoch = Epoch::default();
        assert_eq!(epoch.patience(&CADENCE, committed, committed), CADENCE.interval);
        let opened = committed + Duration::from_millis(4);
        epoch.add((0, 0), None, 10, &failure(), opened);
        assert_eq!(epoch.patience(&CADENCE, committed, opened), Duration::from_millis(6));
        let late = committed + Duration::from_millis(30);
        assert_eq!(epoch.patience(&CADENCE, committed, late), Duration::ZERO);
    }
}
