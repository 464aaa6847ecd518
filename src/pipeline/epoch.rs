//! The epoch: the records between two commits, when to commit them, and which positions to commit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Position;
use super::timestamps::Replaced;
use nik::{ExplainedSummary, Summary};
use nik_wire::process::Outcome;
use nik_wire::{Process, Reason};

/// When an epoch is committed.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// The longest time from an epoch's first record to its commit.
    pub interval: Duration,
    /// The shortest time between two commits of a worker whose input is drained.
    pub min_interval: Duration,
    /// The most records in an epoch.
    pub records: usize,
    /// The most bytes of outcomes in an epoch.
    pub bytes: usize,
}

/// The most bytes of outcomes in an epoch. It falls below the operator's setting while the brokers
/// are so slow (a quota, a full disk) that a transaction comes near its timeout. The workers of an
/// instance share it, since what slows the brokers down concerns all of them.
#[derive(Debug)]
pub struct ByteLimit {
    limit: AtomicUsize,
    most: usize,
    /// A commit that takes longer makes the next epochs smaller.
    longest_commit: Duration,
}

impl ByteLimit {
    /// An epoch may take `timeout`; up to `interval` of it passes before the commit begins.
    pub fn new(most: usize, timeout: Duration, interval: Duration) -> Self {
        let longest_commit = timeout.saturating_sub(interval) / 3;
        Self { limit: AtomicUsize::new(most), most, longest_commit }
    }

    pub fn get(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// An epoch of `bytes` was committed within `took`. Returns the limit if it was lowered.
    pub fn committed(&self, bytes: usize, took: Duration) -> Option<usize> {
        let limit = self.get();
        if took > self.longest_commit {
            return Some(self.lower(bytes / 2));
        }
        // A fast commit of less than half of the limit does not show that more would be as fast.
        if limit < self.most && took < self.longest_commit / 4 && bytes >= limit / 2 {
            self.limit.store(limit.saturating_mul(2).min(self.most), Ordering::Relaxed);
        }
        None
    }

    /// An epoch of `bytes` was not committed in time. Returns the new limit.
    pub fn timed_out(&self, bytes: usize) -> usize {
        self.lower(bytes / 4)
    }

    /// An epoch has at least one record, however large that is.
    fn lower(&self, bytes: usize) -> usize {
        let bytes = bytes.max(1);
        self.limit.fetch_min(bytes, Ordering::Relaxed).min(bytes)
    }
}

/// How long positions without outcomes wait for a commit. Only monitors of the group's lag need it.
const POSITIONS_INTERVAL: Duration = Duration::from_secs(1);

/// What an epoch's outcomes add to the counters when it is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The sum over all results.
    pub summary: Summary,
    /// The sum over the results of the process `explain`.
    pub explained: ExplainedSummary,
    /// Results, in the order of [`Process::ALL`].
    pub results: [u64; Process::ALL.len()],
    /// Failures whose process could be read, in the order of [`Process::ALL`].
    pub failures: [u64; Process::ALL.len()],
    /// Failures whose process could not be read.
    pub unread: u64,
    /// All failures, in the order of [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
    /// Outcomes without the timestamp of their request, in the order of [`Replaced::ALL`].
    pub replaced: [u64; Replaced::ALL.len()],
    /// Requests whose key holds a NIK, counted while results hold tokens.
    pub niks_in_keys: u64,
}

impl Tally {
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

    /// Adds what a result of the process `explain` counts beyond its summary.
    pub fn count_explained(&mut self, outcome: &Outcome, explained: &ExplainedSummary) {
        if let Outcome::Result { process: Process::Explain, .. } = outcome {
            self.explained += explained;
        }
    }

    pub fn answered(&self) -> u64 {
        self.results.iter().sum()
    }

    pub fn failed(&self) -> u64 {
        self.reasons.iter().sum()
    }

    pub fn outcomes(&self) -> u64 {
        self.answered() + self.failed()
    }
}

/// The offsets of one partition in an epoch.
#[derive(Clone, Copy, Debug)]
struct OffsetRange {
    partition: i32,
    first: i64,
    /// The offset after the last record, or after markers that follow it: the one to commit.
    next: i64,
    has_records: bool,
}

/// The records processed since the last commit: their positions, timestamps and counts.
#[derive(Debug, Default)]
pub struct Epoch {
    opened: Option<Instant>,
    ranges: Vec<OffsetRange>,
    /// The index in `ranges` of the last record's partition: records of a partition come in runs.
    latest: usize,
    timestamps: Vec<i64>,
    bytes: usize,
    records: usize,
    tally: Tally,
}

impl Epoch {
    /// Adds a record whose outcome of `bytes` was handed to the producer. `timestamp` is the
    /// request's, in milliseconds since 1970, if it is plausible. Offsets of a partition must
    /// ascend.
    pub fn add(
        &mut self,
        record: impl Into<Position>,
        timestamp: Option<i64>,
        bytes: usize,
        outcome: &Outcome,
        now: Instant,
    ) {
        let Position { partition, offset } = record.into();
        self.opened.get_or_insert(now);
        let range = self.range(partition, offset);
        (range.next, range.has_records) = (offset + 1, true);
        self.timestamps.extend(timestamp);
        self.bytes += bytes;
        self.records += 1;
        self.tally.add(outcome);
    }

    /// Notes that a partition has no request from one offset to another. Offsets must ascend.
    pub fn note_gap(&mut self, partition: i32, from: i64, to: i64) {
        self.range(partition, from).next = to;
    }

    /// The range of a partition, which begins at `first` if it is new.
    fn range(&mut self, partition: i32, first: i64) -> &mut OffsetRange {
        if self.ranges.get(self.latest).is_none_or(|range| range.partition != partition) {
            let known = self.ranges.iter().position(|range| range.partition == partition);
            self.latest = known.unwrap_or_else(|| {
                self.ranges.push(OffsetRange { partition, first, next: first, has_records: false });
                self.ranges.len() - 1
            });
        }
        &mut self.ranges[self.latest]
    }

    /// Counts that the last record's outcome does not carry the timestamp of its request.
    pub fn add_replaced(&mut self, cause: Replaced) {
        self.tally.replaced[cause as usize] += 1;
    }

    /// Counts that the last record's key holds a NIK.
    pub fn note_nik_in_key(&mut self) {
        self.tally.niks_in_keys += 1;
    }

    /// Adds what the last record's outcome counts beyond its summary.
    pub fn count_explained(&mut self, outcome: &Outcome, explained: &ExplainedSummary) {
        self.tally.count_explained(outcome, explained);
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether no record of this partition is in the epoch.
    pub fn has_none_of(&self, partition: i32) -> bool {
        let is_of = |range: &OffsetRange| range.partition == partition && range.has_records;
        !self.ranges.get(self.latest).is_some_and(is_of) && !self.ranges.iter().any(is_of)
    }

    pub fn records(&self) -> usize {
        self.records
    }

    /// The bytes of its outcomes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The positions to commit, one per partition: the offset after the last record.
    pub fn positions(&self) -> impl Iterator<Item = Position> {
        self.ranges.iter().map(|range| Position { partition: range.partition, offset: range.next })
    }

    /// The positions to seek to when the epoch is aborted, one per partition: the offset of the
    /// first record.
    pub fn starts(&self) -> impl Iterator<Item = Position> {
        self.ranges.iter().map(|range| Position { partition: range.partition, offset: range.first })
    }

    /// What to add to the counters after the commit.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The timestamps of the requests that have a plausible one, in milliseconds since 1970.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Whether the epoch has reached a limit and must be committed, even if more records wait.
    pub fn is_due(&self, cadence: &Cadence, now: Instant) -> bool {
        self.records >= cadence.records
            || self.bytes >= cadence.bytes
            || self.opened.is_some_and(|opened| now.duration_since(opened) >= cadence.interval)
    }

    /// How long a worker whose input is drained waits for more records before it commits.
    pub fn time_until_commit(
        &self,
        cadence: &Cadence,
        last_commit: Instant,
        now: Instant,
    ) -> Duration {
        let Some(opened) = self.opened else {
            return if self.is_empty() {
                cadence.interval
            } else {
                (last_commit + POSITIONS_INTERVAL).saturating_duration_since(now)
            };
        };
        let next = (last_commit + cadence.min_interval).min(opened + cadence.interval);
        next.saturating_duration_since(now)
    }

    /// Starts the next epoch. The buffers keep their capacity.
    pub fn clear(&mut self) {
        self.opened = None;
        self.ranges.clear();
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
        assert_eq!(epoch.positions().collect::<Vec<_>>(), [(3, 51), (5, 9)].map(Position::from));
        assert_eq!(epoch.starts().collect::<Vec<_>>(), [(3, 42), (5, 7)].map(Position::from));
        assert_eq!(epoch.tally().outcomes(), 5);
        epoch.clear();
        assert!(epoch.is_empty() && epoch.positions().next().is_none());
    }

    #[test]
    fn an_epoch_counts_all_that_it_holds_until_it_is_cleared() {
        let now = Instant::now();
        let mut epoch = Epoch::default();
        let summary = Summary { number: 3, ..Summary::default() };
        let explained = ExplainedSummary { consistent: 2, ..ExplainedSummary::default() };
        let result = |process| Outcome::Result { process, summary };
        let failure = |process| Outcome::Failure { reason: Reason::TooManyNiks, process };
        let outcomes = [
            result(Process::Explain),
            result(Process::Full),
            result(Process::Explain),
            failure(Some(Process::Limited)),
            failure(Some(Process::Limited)),
            failure(None),
            failure(None),
        ];
        for (outcome, offset) in outcomes.iter().zip(5..) {
            epoch.add((4, offset), Some(offset), 10, outcome, now);
            epoch.count_explained(outcome, &explained);
            epoch.add_replaced(Replaced::Future);
            epoch.note_nik_in_key();
        }
        epoch.note_gap(2, 7, 9);
        let tally = epoch.tally();
        assert_eq!((tally.summary.number, tally.explained.consistent), (9, 4));
        assert_eq!((tally.results, tally.failures, tally.unread), ([0, 1, 2], [2, 0, 0], 2));
        assert_eq!(tally.reasons[Reason::TooManyNiks as usize], 4);
        assert_eq!(tally.replaced[Replaced::Future as usize], 7);
        assert_eq!((tally.niks_in_keys, tally.answered(), tally.failed()), (7, 3, 4));
        assert_eq!((tally.outcomes(), epoch.records(), epoch.bytes()), (7, 7, 70));
        assert_eq!(epoch.timestamps(), [5, 6, 7, 8, 9, 10, 11]);
        assert!(!epoch.has_none_of(4), "it has records");
        assert!(epoch.has_none_of(2) && epoch.has_none_of(3), "a gap has no record");
        epoch.clear();
        assert_eq!(*epoch.tally(), Tally::default());
        assert_eq!((epoch.records(), epoch.bytes(), epoch.timestamps()), (0, 0, &[][..]));
    }

    #[test]
    fn positions_without_outcomes_are_committed_with_the_next_outcome_or_after_a_second() {
        let start = Instant::now();
        let mut epoch = Epoch::default();
        epoch.note_gap(3, 42, 45);
        assert!(!epoch.is_empty() && epoch.has_none_of(3) && !epoch.is_due(&CADENCE, start));
        assert_eq!(epoch.time_until_commit(&CADENCE, start, start), POSITIONS_INTERVAL);
        epoch.add((3, 45), None, 10, &failure(), start);
        epoch.note_gap(3, 46, 47);
        assert_eq!(epoch.positions().collect::<Vec<_>>(), [(3, 47)].map(Position::from));
        assert_eq!(epoch.starts().collect::<Vec<_>>(), [(3, 42)].map(Position::from));
        assert_eq!(epoch.time_until_commit(&CADENCE, start, start), CADENCE.min_interval);
    }

    #[test]
    fn an_epoch_ends_by_time_by_records_and_by_bytes() {
        let now = Instant::now();
        let mut epoch = Epoch::default();
        assert!(
            !epoch.is_due(&CADENCE, now + Duration::from_secs(9)),
            "an empty epoch is never due"
        );
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
    fn slow_commits_make_the_next_epochs_smaller_and_fast_ones_larger_again() {
        let (timeout, interval) = (Duration::from_secs(13), Duration::from_secs(1));
        let limit = ByteLimit::new(1_000, timeout, interval);
        let (slow, neither, fast) =
            (Duration::from_millis(4_001), Duration::from_secs(4), Duration::from_millis(999));
        assert_eq!(limit.committed(900, neither), None);
        assert_eq!(limit.committed(900, slow), Some(450));
        assert_eq!(limit.timed_out(450), 112);
        assert_eq!(limit.timed_out(9_000), 112, "of a worker that began before");
        assert_eq!((limit.committed(112, neither), limit.get()), (None, 112));
        assert_eq!((limit.committed(50, fast), limit.get()), (None, 112), "a small epoch");
        for doubled in [224, 448, 896, 1_000, 1_000] {
            assert_eq!((limit.committed(limit.get(), fast), limit.get()), (None, doubled));
        }
        assert_eq!(limit.timed_out(0), 1, "one record is the smallest epoch");
    }

    #[test]
    fn a_drained_epoch_waits_for_the_shortest_time_between_commits_and_never_past_its_end() {
        let committed = Instant::now();
        let mut epoch = Epoch::default();
        assert_eq!(epoch.time_until_commit(&CADENCE, committed, committed), CADENCE.interval);
        let opened = committed + Duration::from_millis(4);
        epoch.add((0, 0), None, 10, &failure(), opened);
        assert_eq!(epoch.time_until_commit(&CADENCE, committed, opened), Duration::from_millis(6));
        let late = committed + Duration::from_millis(30);
        assert_eq!(epoch.time_until_commit(&CADENCE, committed, late), Duration::ZERO);
    }
}
