//! The lag of each partition. Workers report events; the lag is computed at each scrape, so that it
//! keeps growing while a worker hangs or pauses.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

/// How long a worker's report on its partitions is trusted, in milliseconds: two statistics
/// intervals of librdkafka.
const WORKER_REPORT_TTL_MS: i64 = 10_000;

/// A transaction that is open for longer is reported, in milliseconds: the default of
/// `transaction.timeout.ms` of Kafka's producers.
const LONG_TRANSACTION_MS: i64 = 60_000;

/// The lag of all partitions that are or were assigned to this instance. Times are milliseconds
/// since 1970.
#[derive(Debug, Default)]
pub struct Lag(Mutex<BTreeMap<i32, Partition>>);

#[derive(Debug, Default)]
struct Partition {
    /// `None` if another instance has the partition.
    worker: Option<usize>,
    /// The committed offset, or the offset at which consumption begins.
    position: Option<i64>,
    /// The first offset and the last stable offset.
    bounds: Option<(i64, i64)>,
    /// When its worker reported last.
    reported: Option<i64>,
    /// Whether it is not read, so that its worker's reports are stale.
    stands: bool,
    /// Offsets and timestamps of records that were read and are not committed: the first of each
    /// epoch, and one that was held back.
    taken: VecDeque<(i64, i64)>,
    /// A lower bound for the timestamp of the oldest waiting record, used while `taken` is empty.
    waits_since: Option<i64>,
    hidden: Option<Hidden>,
}

/// The records after the last stable offset, which an open transaction hides from readers.
#[derive(Clone, Copy, Debug)]
struct Hidden {
    /// The last stable offset.
    from: i64,
    to: i64,
    since: i64,
}

/// The offsets of a partition at one moment.
#[derive(Clone, Copy, Debug)]
pub struct LogOffsets {
    pub begin: i64,
    /// The last stable offset.
    pub end: i64,
    /// The offset after the last record, those of open transactions included, if it is known.
    pub high: Option<i64>,
    /// The next offset to fetch, if all fetched records were read. It may follow control records.
    pub next: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub partition: i32,
    /// The number of records, and the age of the oldest in milliseconds; `None` if another instance
    /// consumes the partition.
    pub lag: Option<(i64, i64)>,
    /// The number of records that an open transaction hides from readers, and for how many
    /// milliseconds the transaction has done so.
    pub hidden: (i64, i64),
}

impl Lag {
    /// Records that the topic has partitions 0 to `count` - 1.
    pub fn known(&self, count: i32) {
        let mut all = self.0.lock();
        for partition in 0..count {
            all.entry(partition).or_default();
        }
    }

    /// Records that these partitions are assigned to `worker`.
    pub fn assigned(&self, worker: usize, partitions: &[i32]) {
        let mut all = self.0.lock();
        for &partition in partitions {
            let fresh = Partition { worker: Some(worker), ..Partition::default() };
            all.insert(partition, fresh);
        }
    }

    /// Records that these partitions are revoked from `worker`. A partition that was assigned to
    /// another worker in the meantime keeps that assignment.
    pub fn revoked(&self, worker: usize, partitions: &[i32]) {
        let mut all = self.0.lock();
        for partition in partitions {
            if let Some(it) = all.get_mut(partition)
                && it.worker == Some(worker)
            {
                *it = Partition::default();
            }
        }
    }

    /// Records that the partition is not read from this offset on, or (`None`) is read again.
    pub fn stands(&self, partition: i32, from: Option<i64>) {
        if let Some(it) = self.0.lock().get_mut(&partition) {
            it.stands = from.is_some();
            if from.is_some() {
                (it.position, it.reported) = (from, None);
            }
        }
    }

    /// Adds a record that was read and is not committed. The first one of each partition in an
    /// epoch suffices.
    pub fn taken(&self, partition: i32, offset: i64, timestamp: i64) {
        if let Some(it) = self.0.lock().get_mut(&partition)
            && it.taken.back().is_none_or(|last| last.0 < offset)
        {
            it.taken.push_back((offset, timestamp));
        }
    }

    /// Records the offsets that `worker` committed, or at which it starts (0: the partition's first
    /// record).
    pub fn committed(&self, worker: usize, positions: impl Iterator<Item = (i32, i64)>) {
        let mut all = self.0.lock();
        for (partition, position) in positions {
            let Some(it) = all.get_mut(&partition) else {
                continue;
            };
            if it.worker == Some(worker) {
                it.position = Some(position);
                while let Some((_, timestamp)) = it.taken.pop_front_if(|it| it.0 < position) {
                    it.waits_since = Some(timestamp);
                }
            }
        }
    }

    /// Records the offsets of a partition, reported by its `worker` or (`None`) by the topic
    /// watch. A report of the watch counts only if the worker's last one is older than
    /// [`WORKER_REPORT_TTL_MS`].
    pub fn observed(&self, worker: Option<usize>, partition: i32, offsets: LogOffsets, now: i64) {
        let mut all = self.0.lock();
        let counts = |it: &&mut Partition| match worker {
            Some(_) => it.worker == worker && !it.stands,
            None => it.worker.is_some() && !it.is_fresh(now),
        };
        let Some(it) = all.get_mut(&partition).filter(counts) else {
            return;
        };
        if worker.is_some() {
            it.reported = Some(now);
        }
        let end = offsets.end;
        it.bounds = Some((offsets.begin, end));
        if let Some(high) = offsets.high {
            let before = it.hidden.filter(|it| it.from == end).map(|it| it.since);
            let since = before.unwrap_or(now);
            it.hidden = (high > end).then_some(Hidden { from: end, to: high, since });
        } else if it.hidden.is_some_and(|it| it.from < end) {
            it.hidden = None; // that transaction has ended
        }
        if let Some(next) = offsets.next.filter(|_| it.taken.is_empty()) {
            it.position = it.position.map(|position| position.max(next));
        }
        if it.records() > 0 {
            it.waits_since.get_or_insert(now);
        } else {
            it.waits_since = None;
        }
    }

    /// The assigned partitions whose worker has not reported for [`WORKER_REPORT_TTL_MS`], since it
    /// pauses, hangs or has just got them.
    pub fn unreported(&self, now: i64) -> Vec<i32> {
        let all = self.0.lock();
        let unreported = all.iter().filter(|(_, it)| it.worker.is_some() && !it.is_fresh(now));
        unreported.map(|(partition, _)| *partition).collect()
    }

    /// The partitions whose next record an open transaction has hidden for longer than
    /// [`LONG_TRANSACTION_MS`], each with the offset of that record.
    pub fn held_back(&self, now: i64) -> Vec<(i32, i64)> {
        let held = |(&partition, it): (&i32, &Partition)| {
            let hidden = it.hidden.filter(|it| now - it.since > LONG_TRANSACTION_MS)?;
            Some((partition, hidden.from))
        };
        self.0.lock().iter().filter_map(held).collect()
    }

    pub fn read(&self, now: i64) -> Vec<PartitionLag> {
        let lag = |(&partition, it): (&i32, &Partition)| {
            let records = it.records();
            let waiting = it.waits_since.filter(|_| records > 0);
            let oldest = it.taken.front().map(|it| it.1).or(waiting);
            let age = oldest.map_or(0, |oldest| (now - oldest).max(0));
            let lag = it.worker.map(|_| (records, age));
            let hidden = it.hidden.map_or((0, 0), |it| (it.to - it.from, (now - it.since).max(0)));
            PartitionLag { partition, lag, hidden }
        };
        self.0.lock().iter().map(lag).collect()
    }
}

impl Partition {
    /// Whether its worker has reported a moment ago.
    fn is_fresh(&self, now: i64) -> bool {
        self.reported.is_some_and(|reported| reported + WORKER_REPORT_TTL_MS >= now)
    }

    fn records(&self) -> i64 {
        let Some(((begin, end), position)) = self.bounds.zip(self.position) else {
            return 0;
        };
        (end - position.max(begin)).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag() -> Lag {
        let lag = Lag::default();
        lag.assigned(0, &[3]);
        lag
    }

    /// The number of records and the age of the oldest.
    fn at(lag: &Lag, now: i64) -> (i64, i64) {
        lag.read(now)[0].lag.expect("assigned")
    }

    fn offsets(begin: i64, end: i64) -> LogOffsets {
        LogOffsets { begin, end, high: None, next: None }
    }

    #[test]
    fn the_lag_of_a_partition_without_a_commit_is_all_its_records() {
        let lag = lag();
        lag.observed(None, 3, offsets(10, 50), 500);
        assert_eq!(at(&lag, 1_000), (0, 0), "its position is unknown");
        lag.committed(0, [(3, 0)].into_iter());
        lag.observed(None, 3, offsets(10, 50), 1_000);
        assert_eq!(at(&lag, 4_000), (40, 3_000));
    }

    #[test]
    fn the_watch_alone_counts_what_waits_in_a_partition_that_stands() {
        let lag = lag();
        let unread = LogOffsets { next: Some(0), ..offsets(0, 20) };
        lag.observed(Some(0), 3, unread, 0);
        assert_eq!(at(&lag, 1_000), (0, 0), "its position is unknown");
        lag.stands(3, Some(10));
        assert_eq!(at(&lag, 1_000).0, 10);
        assert_eq!(lag.unreported(1_000), [3]);
        lag.observed(Some(0), 3, unread, 1_000);
        lag.observed(None, 3, offsets(0, 50), 2_000);
        assert_eq!(at(&lag, 5_000), (40, 3_000));
        lag.stands(3, None);
        lag.observed(Some(0), 3, offsets(0, 60), 3_000);
        assert_eq!(at(&lag, 5_000).0, 50);
    }

    #[test]
    fn partitions_of_other_instances_are_known_but_not_assigned() {
        let lag = lag();
        lag.known(4);
        let assigned: Vec<_> = lag.read(0).iter().map(|it| it.lag.is_some()).collect();
        assert_eq!(assigned, [false, false, false, true]);
        assert_eq!(lag.unreported(0), [3]);
    }

    #[test]
    fn the_age_of_the_oldest_taken_record_grows_until_it_is_committed() {
        let lag = lag();
        lag.taken(3, 7, 500);
        lag.taken(3, 7, 500); // again, since its epoch was aborted
        lag.taken(3, 9, 800); // held back by the breaker
        assert_eq!(at(&lag, 1_000).1, 500);
        assert_eq!(at(&lag, 9_000).1, 8_500);
        lag.committed(0, [(3, 9)].into_iter());
        assert_eq!(at(&lag, 9_000).1, 8_200);
        lag.committed(0, [(3, 10)].into_iter());
        lag.observed(Some(0), 3, offsets(0, 10), 9_000);
        assert_eq!(at(&lag, 9_500), (0, 0));
    }

    #[test]
    fn the_age_is_kept_between_two_epochs_of_a_backlog() {
        let lag = lag();
        lag.observed(Some(0), 3, offsets(0, 1_000), 5_000);
        lag.taken(3, 0, 2_000);
        assert_eq!(at(&lag, 3_000), (0, 1_000), "its position is unknown");
        lag.committed(0, [(3, 100)].into_iter());
        assert_eq!(at(&lag, 5_000), (900, 3_000));
        // After the backlog, the age of a new record counts from when it is first seen.
        lag.committed(0, [(3, 1_000)].into_iter());
        lag.observed(Some(0), 3, offsets(0, 1_000), 6_000);
        lag.observed(Some(0), 3, offsets(0, 1_001), 60_000);
        assert_eq!(at(&lag, 61_000), (1, 1_000));
    }

    #[test]
    fn control_records_at_the_end_do_not_count() {
        let lag = lag();
        lag.committed(0, [(3, 0)].into_iter());
        lag.taken(3, 4, 0);
        let drained = LogOffsets { next: Some(6), ..offsets(0, 6) };
        lag.observed(Some(0), 3, drained, 0);
        assert_eq!(at(&lag, 1).0, 6, "a taken record is not committed");
        lag.committed(0, [(3, 5)].into_iter());
        lag.observed(Some(0), 3, drained, 0);
        assert_eq!(at(&lag, 1), (0, 0));
    }

    #[test]
    fn what_an_open_transaction_hides_is_counted_from_when_the_stable_offset_stops() {
        let lag = lag();
        let ends = |end, high| LogOffsets { high: Some(high), ..offsets(0, end) };
        let hidden = |now| lag.read(now)[0].hidden;
        lag.observed(Some(0), 3, ends(5, 5), 1_000);
        assert_eq!(hidden(2_000), (0, 0));
        lag.observed(Some(0), 3, ends(6, 9), 3_000);
        lag.observed(Some(0), 3, ends(6, 20), 4_000);
        assert_eq!(hidden(5_000), (14, 2_000));
        // The watch knows only the stable offset.
        lag.observed(None, 3, offsets(0, 6), 4_001 + WORKER_REPORT_TTL_MS);
        assert_eq!(hidden(5_000), (14, 2_000));
        assert!(lag.held_back(3_000 + LONG_TRANSACTION_MS).is_empty());
        assert_eq!(lag.held_back(3_001 + LONG_TRANSACTION_MS), [(3, 6)]);
        lag.observed(Some(0), 3, ends(7, 20), 100_000);
        assert_eq!(hidden(100_500), (13, 500), "another transaction");
        // The watch does not see what is hidden, but that the transaction has ended.
        lag.observed(None, 3, offsets(0, 7), 200_000);
        assert_eq!(hidden(200_000).0, 13);
        lag.observed(None, 3, offsets(0, 8), 210_000);
        assert_eq!((hidden(300_000), lag.held_back(300_000)), ((0, 0), vec![]));
        lag.observed(Some(0), 3, ends(20, 20), 310_000);
        assert_eq!((hidden(400_000), lag.held_back(400_000)), ((0, 0), vec![]));
    }

    #[test]
    fn the_watch_counts_only_while_the_worker_is_silent() {
        let lag = lag();
        lag.committed(0, [(3, 0)].into_iter());
        lag.observed(Some(0), 3, offsets(0, 5), 1_000);
        assert!(lag.unreported(1_000 + WORKER_REPORT_TTL_MS).is_empty());
        lag.observed(None, 3, offsets(0, 8), 1_000 + WORKER_REPORT_TTL_MS);
        assert_eq!(at(&lag, 20_000).0, 5);
        assert_eq!(lag.unreported(1_001 + WORKER_REPORT_TTL_MS), [3]);
        lag.observed(None, 3, offsets(0, 8), 1_001 + WORKER_REPORT_TTL_MS);
        assert_eq!(at(&lag, 20_000).0, 8);
    }

    #[test]
    fn a_revoked_partition_has_no_lag_and_only_its_own_worker_can_revoke_it() {
        let lag = lag();
        lag.observed(Some(0), 3, offsets(0, 5), 0);
        lag.assigned(1, &[3]);
        lag.revoked(0, &[3]);
        lag.observed(Some(0), 3, offsets(0, 5), 0);
        lag.committed(0, [(3, 1)].into_iter());
        assert_eq!(at(&lag, 1), (0, 0), "now of another worker, with nothing known yet");
        lag.revoked(1, &[3]);
        let gone = PartitionLag { partition: 3, lag: None, hidden: (0, 0) };
        assert_eq!(lag.read(1), [gone]);
    }
}
