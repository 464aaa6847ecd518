//! How far this instance is behind in each of its partitions: workers note what they do, a scrape asks at its own time, so that
//! the lag of a worker that hangs or pauses goes on growing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So long a worker's word on its partitions stands: two of its looks at them, in milliseconds.
const STANDS_FOR: i64 = 10_000;

/// The partitions that are or were assigned to this instance. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub struct Lag(Mutex<BTreeMap<i32, Partition>>);

#[derive(Debug, Default)]
struct Partition {
    /// Who reads it; `None`: another instance.
    worker: Option<usize>,
    /// The next offset after those committed, or where reading begins.
    position: Option<i64>,
    /// The partition's first and last stable offset.
    bounds: Option<(i64, i64)>,
    /// When its worker told of it last.
    told: Option<i64>,
    /// Offsets and timestamps of records taken and not committed: the first of each epoch, and what the breaker held back.
    taken: VecDeque<(i64, i64)>,
    /// Where none is taken, the oldest record that waits is not older than this.
    waits_since: Option<i64>,
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its first offset.
    pub begin: i64,
    /// Its last stable offset.
    pub end: i64,
    /// The next offset to fetch, where all that was fetched was taken: a producer's commits, which are no records, stand before it.
    pub next: Option<i64>,
}

/// What a scrape shows of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Its number.
    pub partition: i32,
    /// Records, and the age of the oldest in milliseconds; `None` where another instance reads it.
    pub lag: Option<(i64, i64)>,
}

impl Lag {
    /// Notes that there are partitions 0 to `count` - 1, whoever reads them.
    pub fn known(&self, count: i32) {
        let mut all = self.lock();
        for partition in 0..count {
            all.entry(partition).or_default();
        }
    }

    /// Notes that `worker` reads these partitions from now on.
    pub fn assigned(&self, worker: usize, partitions: &[i32]) {
        let mut all = self.lock();
        for &partition in partitions {
            let fresh = Partition { worker: Some(worker), ..Partition::default() };
            all.insert(partition, fresh);
        }
    }

    /// Notes that `worker` no longer reads these partitions. (Another of this instance may have them by now.)
    pub fn revoked(&self, worker: usize, partitions: &[i32]) {
        let mut all = self.lock();
        for partition in partitions {
            if let Some(it) = all.get_mut(partition)
                && it.worker == Some(worker)
            {
                *it = Partition::default();
            }
        }
    }

    /// Notes a record that was taken and is yet to be committed: the first of its partition in an epoch will do.
    pub fn taken(&self, partition: i32, offset: i64, timestamp: i64) {
        if let Some(it) = self.lock().get_mut(&partition)
            && it.taken.back().is_none_or(|last| last.0 < offset)
        {
            it.taken.push_back((offset, timestamp));
        }
    }

    /// Notes positions that `worker` committed, or begins at (0: at the partition's first record).
    pub fn committed(&self, worker: usize, positions: impl Iterator<Item = (i32, i64)>) {
        let mut all = self.lock();
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

    /// Notes what is known of a partition: by the `worker` that reads it, or by one who only looks, and sees less: that
    /// counts where the worker has told nothing for long.
    pub fn seen(&self, worker: Option<usize>, partition: i32, seen: Seen, now: i64) {
        let mut all = self.lock();
        let counts = |it: &&mut Partition| match worker {
            Some(_) => it.worker == worker,
            None => it.worker.is_some() && it.told.is_none_or(|told| told + STANDS_FOR < now),
        };
        let Some(it) = all.get_mut(&partition).filter(counts) else {
            return;
        };
        if worker.is_some() {
            it.told = Some(now);
        }
        it.bounds = Some((seen.begin, seen.end));
        if let Some(next) = seen.next.filter(|_| it.taken.is_empty()) {
            it.position = it.position.max(Some(next));
        }
        if it.records() > 0 {
            it.waits_since.get_or_insert(now);
        } else {
            it.waits_since = None;
        }
    }

    /// The partitions that are assigned.
    pub fn partitions(&self) -> Vec<i32> {
        let all = self.lock();
        let assigned = all.iter().filter(|(_, it)| it.worker.is_some());
        assigned.map(|(partition, _)| *partition).collect()
    }

    /// Where each partition stands.
    pub fn read(&self, now: i64) -> Vec<Behind> {
        let of = |(&partition, it): (&i32, &Partition)| {
            let records = it.records();
            let waiting = it.waits_since.filter(|_| records > 0);
            let oldest = it.taken.front().map(|it| it.1).or(waiting);
            let age = oldest.map_or(0, |oldest| (now - oldest).max(0));
            let lag = it.worker.map(|_| (records, age));
            Behind { partition, lag }
        };
        self.lock().iter().map(of).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Partition>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partition {
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

    /// Records and age.
    fn at(lag: &Lag, now: i64) -> (i64, i64) {
        lag.read(now)[0].lag.expect("assigned")
    }

    fn seen(begin: i64, end: i64) -> Seen {
        Seen { begin, end, next: None }
    }

    #[test]
    fn a_partition_without_a_commit_is_behind_by_all_that_it_holds() {
        let lag = lag();
        lag.seen(None, 3, seen(10, 50), 500);
        assert_eq!(at(&lag, 1_000), (0, 0), "where it begins is not known");
        lag.committed(0, [(3, 0)].into_iter());
        lag.seen(None, 3, seen(10, 50), 1_000);
        assert_eq!(at(&lag, 4_000), (40, 3_000));
        assert_eq!(lag.partitions(), [3]);
    }

    #[test]
    fn partitions_of_others_are_known_and_not_assigned() {
        let lag = lag();
        lag.known(4);
        let told: Vec<_> = lag.read(0).iter().map(|it| it.lag.is_some()).collect();
        assert_eq!(told, [false, false, false, true]);
        assert_eq!(lag.partitions(), [3]);
    }

    #[test]
    fn the_age_is_that_of_the_oldest_record_taken_and_grows_until_it_is_committed() {
        let lag = lag();
        lag.taken(3, 7, 500);
        lag.taken(3, 7, 500); // again, as its epoch was given up
        lag.taken(3, 9, 800); // held back by the breaker
        assert_eq!(at(&lag, 1_000).1, 500);
        assert_eq!(at(&lag, 9_000).1, 8_500);
        lag.committed(0, [(3, 9)].into_iter());
        assert_eq!(at(&lag, 9_000).1, 8_200);
        lag.committed(0, [(3, 10)].into_iter());
        lag.seen(Some(0), 3, seen(0, 10), 9_000);
        assert_eq!(at(&lag, 9_500), (0, 0));
    }

    #[test]
    fn between_two_epochs_of_a_backlog_the_age_stays() {
        let lag = lag();
        lag.seen(Some(0), 3, seen(0, 1_000), 5_000);
        lag.taken(3, 0, 2_000);
        assert_eq!(at(&lag, 3_000), (0, 1_000), "a position is yet to come");
        lag.committed(0, [(3, 100)].into_iter());
        assert_eq!(at(&lag, 5_000), (900, 3_000));
        // Drained and idle: what comes then is no older than when it was seen.
        lag.committed(0, [(3, 1_000)].into_iter());
        lag.seen(Some(0), 3, seen(0, 1_000), 6_000);
        lag.seen(Some(0), 3, seen(0, 1_001), 60_000);
        assert_eq!(at(&lag, 61_000), (1, 1_000));
    }

    #[test]
    fn a_producers_commits_at_the_end_are_no_records() {
        let lag = lag();
        lag.committed(0, [(3, 0)].into_iter());
        lag.taken(3, 4, 0);
        let drained = Seen { next: Some(6), ..seen(0, 6) };
        lag.seen(Some(0), 3, drained, 0);
        assert_eq!(at(&lag, 1).0, 6, "what is taken is not committed");
        lag.committed(0, [(3, 5)].into_iter());
        lag.seen(Some(0), 3, drained, 0);
        assert_eq!(at(&lag, 1), (0, 0));
    }

    #[test]
    fn who_only_looks_is_heard_when_the_worker_is_silent() {
        let lag = lag();
        lag.committed(0, [(3, 0)].into_iter());
        lag.seen(Some(0), 3, seen(0, 5), 1_000);
        lag.seen(None, 3, seen(0, 8), 1_000 + STANDS_FOR);
        assert_eq!(at(&lag, 20_000).0, 5);
        lag.seen(None, 3, seen(0, 8), 1_001 + STANDS_FOR);
        assert_eq!(at(&lag, 20_000).0, 8);
    }

    #[test]
    fn a_partition_that_went_away_has_no_lag_and_only_its_reader_gives_it_up() {
        let lag = lag();
        lag.seen(Some(0), 3, seen(0, 5), 0);
        lag.assigned(1, &[3]);
        lag.revoked(0, &[3]);
        lag.seen(Some(0), 3, seen(0, 5), 0);
        lag.committed(0, [(3, 1)].into_iter());
        assert_eq!(at(&lag, 1), (0, 0), "the other worker's, and nothing known yet");
        lag.revoked(1, &[3]);
        let gone = Behind { partition: 3, lag: None };
        assert_eq!(lag.read(1), [gone]);
    }
}
