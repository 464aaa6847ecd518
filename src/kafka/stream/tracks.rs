//! How far each assigned partition was read, and whether it may be read.

use std::mem;
use std::time::{Duration, Instant};

use super::standing::Standing;
use super::start::Committed;
use crate::pipeline::Position;

/// How long a standing partition is still fetched, to learn from which record on it can be read.
const HINT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a standing partition is looked at again.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The same for a partition that only waits for an answer of the brokers.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// A partition that is tried again and reports no error for so long can be read.
const TRIAL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reading {
        since: Instant,
    },
    /// Where it continues is not known yet.
    Undecided {
        look_at: Instant,
    },
    Standing {
        since: Instant,
        look_at: Instant,
    },
}

/// What is wrong with a partition. It remains while the partition is tried again.
#[derive(Clone, Debug)]
struct Trouble {
    reason: Standing,
    /// The first offset after what cannot be read, if a record showed it.
    readable_from: Option<i64>,
    is_announced: bool,
}

#[derive(Debug)]
struct Track {
    partition: i32,
    /// The next offset to read, with the leader epoch of the record before it.
    position: Committed,
    state: State,
    trouble: Option<Trouble>,
}

/// What is to be done with a record that arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrival {
    Process,
    /// The partition is standing or not assigned any more.
    Drop,
    /// Its offset is not above that of the record before it.
    JumpedBack(Standing),
}

/// What operators must learn about a partition.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    Stands(StandingPartition),
    Reads { partition: i32 },
}

/// A partition that is standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingPartition {
    pub partition: i32,
    pub reason: Standing,
    /// The next offset to read.
    pub offset: i64,
    /// The first offset after what cannot be read, if it is known.
    pub readable_from: Option<i64>,
}

/// The assigned partitions that were started.
#[derive(Debug, Default)]
pub struct Tracks {
    all: Vec<Track>,
    /// The index of the last record's partition: records of a partition come in runs.
    latest: usize,
    /// Partitions whose trouble is over.
    healed: Vec<i32>,
}

impl Tracks {
    fn find(&mut self, partition: i32) -> Option<&mut Track> {
        if self.all.get(self.latest).is_none_or(|track| track.partition != partition) {
            self.latest = self.all.iter().position(|track| track.partition == partition)?;
        }
        self.all.get_mut(self.latest)
    }

    /// The partition is read from `position` on.
    pub fn start(&mut self, partition: i32, position: Committed, now: Instant) {
        let state = State::Reading { since: now };
        if let Some(track) = self.find(partition) {
            // A position that an operator has set is not a trial: the trouble is over.
            let is_over = track.position.reset_ms != position.reset_ms;
            (track.position, track.state) = (position, state);
            if is_over && track.trouble.take().is_some() {
                self.healed.push(partition);
            }
        } else {
            self.all.push(Track { partition, position, state, trouble: None });
        }
    }

    /// Stops reading the partition for this reason. Returns whether operators know the reason
    /// already, because it came back when the partition was tried again: then the partition can be
    /// paused at once. Otherwise records still have to show where it can be read again.
    pub fn stand(&mut self, partition: i32, reason: Standing, now: Instant) -> bool {
        if self.find(partition).is_none() {
            self.start(partition, Committed::at(reason.offset()), now);
        }
        let Some(track) = self.find(partition) else { return false };
        track.state = State::Standing { since: now, look_at: now + LOOK_INTERVAL };
        let is_known = |trouble: &Trouble| trouble.reason == reason && trouble.is_announced;
        if track.trouble.as_ref().is_some_and(is_known) {
            return true;
        }
        track.trouble = Some(Trouble { reason, readable_from: None, is_announced: false });
        false
    }

    /// Whether an operator must set the position before the partition is tried again: its log was
    /// truncated, and `position` is still the old one. (To try that would be wrong, because
    /// librdkafka reports a truncation only once.)
    pub fn needs_operator(&mut self, partition: i32, position: &Committed) -> bool {
        self.find(partition).is_some_and(|track| {
            let reason = track.trouble.as_ref().map(|trouble| &trouble.reason);
            matches!(reason, Some(Standing::Truncated { .. }))
                && track.position.key() == position.key()
        })
    }

    /// Where the partition continues must be decided first.
    pub fn decide_again(&mut self, partition: i32, now: Instant) {
        if let Some(track) = self.find(partition) {
            track.state = State::Undecided { look_at: now };
        }
    }

    /// Judges a record, and notes that it was read.
    pub fn arrived(&mut self, partition: i32, offset: i64, leader_epoch: Option<i32>) -> Arrival {
        let Some(track) = self.find(partition) else {
            return Arrival::Drop;
        };
        if !matches!(track.state, State::Reading { .. }) {
            self.dropped(Position { partition, offset });
            return Arrival::Drop;
        }
        if offset < track.position.offset {
            let last = track.position.offset - 1;
            return Arrival::JumpedBack(Standing::OffsetsJumpBack { last, offset });
        }
        (track.position.offset, track.position.leader_epoch) = (offset + 1, leader_epoch);
        if track.trouble.take().is_some() {
            self.healed.push(partition);
        }
        Arrival::Process
    }

    /// The partition was read up to its end, and its position becomes `end`. Returns the position
    /// before if that was lower: between the two are only markers and aborted records.
    pub fn ended(&mut self, end: Position) -> Option<i64> {
        let track = self.find(end.partition)?;
        let is_reading = matches!(track.state, State::Reading { .. });
        if !is_reading || end.offset <= track.position.offset {
            return None;
        }
        let from = track.position.offset;
        // Without a leader epoch: if a later leader wrote the markers, that of the record before them
        // would make the log look truncated.
        (track.position.offset, track.position.leader_epoch) = (end.offset, None);
        Some(from)
    }

    /// A record was fetched and is not processed. The first one after a batch that cannot be read
    /// shows where that ends.
    pub fn dropped(&mut self, record: Position) {
        if let Some(track) = self.find(record.partition)
            && !matches!(track.state, State::Reading { .. })
            && let Some(trouble) = &mut track.trouble
            && record.offset > trouble.reason.offset()
        {
            trouble.readable_from.get_or_insert(record.offset);
        }
    }

    /// The next record of the partition is to be that at `offset`.
    pub fn sought(&mut self, partition: i32, offset: i64) {
        if let Some(track) = self.find(partition) {
            track.position.offset = offset;
        }
    }

    pub fn is_reading(&mut self, partition: i32) -> bool {
        self.find(partition).is_some_and(|track| matches!(track.state, State::Reading { .. }))
    }

    pub fn is_standing(&mut self, partition: i32) -> bool {
        self.find(partition).is_some_and(|track| matches!(track.state, State::Standing { .. }))
    }

    pub fn position(&mut self, partition: i32) -> Option<&Committed> {
        self.find(partition).map(|track| &track.position)
    }

    /// All partitions with their positions, and whether each is read.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Committed, bool)> {
        self.all.iter().map(|track| {
            let is_reading = matches!(track.state, State::Reading { .. });
            (track.partition, &track.position, is_reading)
        })
    }

    pub fn remove(&mut self, partitions: &[i32]) {
        self.all.retain(|track| !partitions.contains(&track.partition));
        self.healed.retain(|it| !partitions.contains(it));
    }

    /// Whether every partition is read and nothing is to be reported, so that [`Self::due`] and
    /// [`Self::changes`] have nothing to return.
    pub fn is_quiet(&self) -> bool {
        let is_quiet =
            |track: &Track| matches!(track.state, State::Reading { .. }) && track.trouble.is_none();
        self.healed.is_empty() && self.all.iter().all(is_quiet)
    }

    /// Takes the partitions that are due to be looked at, and schedules their next look.
    pub fn due(&mut self, now: Instant) -> Vec<i32> {
        let mut due = Vec::new();
        for track in &mut self.all {
            let (look_at, interval) = match &mut track.state {
                State::Reading { .. } => continue,
                State::Undecided { look_at } => (look_at, RETRY_INTERVAL),
                State::Standing { look_at, .. } => (look_at, LOOK_INTERVAL),
            };
            // Before the announcement, records still have to show where it can be read again.
            let is_announced = track.trouble.as_ref().is_none_or(|trouble| trouble.is_announced);
            if *look_at <= now && is_announced {
                *look_at = now + interval;
                due.push(track.partition);
            }
        }
        due
    }

    /// What has changed for operators since the last call.
    pub fn changes(&mut self, now: Instant) -> Vec<Change> {
        for track in &mut self.all {
            if let State::Reading { since } = track.state
                && now.duration_since(since) > TRIAL
                && track.trouble.take().is_some()
            {
                self.healed.push(track.partition);
            }
        }
        let healed = mem::take(&mut self.healed);
        let mut changes: Vec<_> =
            healed.into_iter().map(|partition| Change::Reads { partition }).collect();
        for track in &mut self.all {
            let (State::Standing { since, .. }, Some(trouble)) = (track.state, &mut track.trouble)
            else {
                continue;
            };
            let has_hint = trouble.readable_from.is_some() || !trouble.reason.is_unreadable();
            if !trouble.is_announced && (has_hint || now.duration_since(since) > HINT_TIMEOUT) {
                trouble.is_announced = true;
                changes.push(Change::Stands(StandingPartition {
                    partition: track.partition,
                    reason: trouble.reason.clone(),
                    offset: track.position.offset,
                    readable_from: trouble.readable_from,
                }));
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: i64, reset_ms: i64) -> Committed {
        Committed { reset_ms, ..Committed::at(offset) }
    }

    fn stands(partition: i32, offset: i64, readable_from: Option<i64>) -> Change {
        let reason = Standing::Corrupt { offset };
        Change::Stands(StandingPartition { partition, reason, offset, readable_from })
    }

    #[test]
    fn records_ascend_or_the_partition_stands() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        assert_eq!(tracks.arrived(0, 5, None), Arrival::Drop, "not assigned");
        tracks.start(0, position(5, 0), now);
        tracks.start(1, position(0, 0), now);
        for (partition, offset) in [(0, 5), (1, 0), (0, 8), (1, 1)] {
            assert_eq!(tracks.arrived(partition, offset, Some(2)), Arrival::Process);
        }
        assert_eq!(tracks.position(0).map(|it| (it.offset, it.leader_epoch)), Some((9, Some(2))));
        let reason = Standing::OffsetsJumpBack { last: 8, offset: 8 };
        assert_eq!(tracks.arrived(0, 8, None), Arrival::JumpedBack(reason));
        tracks.sought(0, 5);
        assert_eq!(tracks.arrived(0, 5, None), Arrival::Process);
    }

    #[test]
    fn the_end_of_a_partition_moves_its_position_past_markers_while_it_is_read() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        let end = |offset| Position { partition: 0, offset };
        assert_eq!(tracks.ended(end(7)), None, "not assigned");
        tracks.start(0, position(5, 0), now);
        assert_eq!(tracks.arrived(0, 5, Some(2)), Arrival::Process);
        assert_eq!(tracks.ended(end(6)), None);
        assert_eq!(tracks.position(0).and_then(|it| it.leader_epoch), Some(2));
        assert_eq!(tracks.ended(end(8)), Some(6));
        assert_eq!(tracks.position(0).map(|it| (it.offset, it.leader_epoch)), Some((8, None)));
        assert_eq!(tracks.arrived(0, 8, Some(3)), Arrival::Process);
        tracks.stand(0, Standing::Corrupt { offset: 9 }, now);
        assert_eq!(tracks.ended(end(20)), None);
    }

    #[test]
    fn a_standing_partition_is_announced_once_with_the_next_readable_offset() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        tracks.start(0, position(5, 0), now);
        let corrupt = || Standing::Corrupt { offset: 5 };
        assert!(!tracks.stand(0, corrupt(), now));
        assert_eq!(tracks.changes(now), []);
        assert_eq!(tracks.due(now + LOOK_INTERVAL), [] as [i32; 0], "it is not announced");
        // Before they were handed out. The first one is in what cannot be read.
        for offset in [5, 10] {
            tracks.dropped(Position { partition: 0, offset });
        }
        assert_eq!(tracks.arrived(0, 11, None), Arrival::Drop);
        assert_eq!(tracks.changes(now), [stands(0, 5, Some(10))]);
        // It is tried again, and the trouble comes back.
        let later = now + LOOK_INTERVAL;
        assert_eq!(tracks.due(later), [0]);
        tracks.start(0, position(5, 0), later);
        assert!(tracks.stand(0, corrupt(), later));
        assert_eq!(tracks.changes(later), []);
        assert_eq!(tracks.due(later), [] as [i32; 0]);
        assert_eq!(tracks.due(later + LOOK_INTERVAL), [0]);
        // The data are mended.
        tracks.start(0, position(5, 0), later);
        assert_eq!(tracks.arrived(0, 5, None), Arrival::Process);
        assert_eq!(tracks.changes(later), [Change::Reads { partition: 0 }]);
    }

    #[test]
    fn a_partition_with_another_reason_to_stand_is_announced_again() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        let beyond = Standing::BeyondEnd { committed: 9, end: 5 };
        assert!(!tracks.stand(0, beyond.clone(), now));
        assert!(!tracks.stand(0, beyond.clone(), now), "it was not announced yet");
        assert!(matches!(tracks.changes(now)[..], [Change::Stands(_)]));
        assert!(tracks.stand(0, beyond, now));
        assert!(!tracks.stand(0, Standing::BeyondEnd { committed: 9, end: 6 }, now));
        assert!(matches!(tracks.changes(now)[..], [Change::Stands(_)]));
    }

    #[test]
    fn a_partition_is_not_read_until_it_is_decided_again_where_it_continues() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        tracks.start(0, position(5, 0), now);
        tracks.decide_again(0, now);
        assert!(!tracks.is_reading(0) && !tracks.is_standing(0) && !tracks.is_quiet());
        assert_eq!(tracks.arrived(0, 5, None), Arrival::Drop);
        assert_eq!(tracks.due(now), [0]);
        assert_eq!(tracks.due(now), [] as [i32; 0]);
        assert_eq!(tracks.due(now + RETRY_INTERVAL), [0]);
        tracks.start(0, position(7, 0), now);
        assert!(tracks.is_reading(0) && tracks.is_quiet());
    }

    #[test]
    fn all_partitions_are_listed_until_they_are_removed() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        for partition in 0..3 {
            tracks.start(partition, position(5, 0), now);
        }
        tracks.stand(1, Standing::Corrupt { offset: 5 }, now);
        let listed = |tracks: &Tracks| {
            tracks
                .iter()
                .map(|(it, at, is_reading)| (it, at.offset, is_reading))
                .collect::<Vec<_>>()
        };
        assert_eq!(listed(&tracks), [(0, 5, true), (1, 5, false), (2, 5, true)]);
        tracks.remove(&[0, 1]);
        assert_eq!(listed(&tracks), [(2, 5, true)]);
    }

    #[test]
    fn it_is_quiet_while_all_partitions_are_read_and_nothing_is_to_be_reported() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        for partition in 0..2 {
            tracks.start(partition, position(5, 0), now);
        }
        assert!(tracks.is_quiet());
        tracks.stand(0, Standing::Corrupt { offset: 5 }, now);
        assert!(!tracks.is_quiet());
        tracks.start(0, position(5, 0), now);
        assert!(!tracks.is_quiet(), "it is tried again");
        assert_eq!(tracks.arrived(0, 5, None), Arrival::Process);
        assert!(!tracks.is_quiet(), "it is to be reported as healed");
        assert_eq!(tracks.changes(now), [Change::Reads { partition: 0 }]);
        assert!(tracks.is_quiet());
    }

    #[test]
    fn a_removed_partition_is_not_reported_as_healed() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        for partition in 0..2 {
            tracks.stand(partition, Standing::Corrupt { offset: 5 }, now);
            tracks.start(partition, position(9, 1), now);
        }
        tracks.remove(&[0]);
        assert_eq!(tracks.changes(now), [Change::Reads { partition: 1 }]);
    }

    #[test]
    fn without_later_records_a_standing_partition_is_announced_after_a_moment() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        tracks.start(0, position(5, 0), now);
        tracks.stand(0, Standing::Corrupt { offset: 5 }, now);
        assert_eq!(tracks.changes(now + HINT_TIMEOUT), []);
        let later = now + HINT_TIMEOUT + Duration::from_millis(1);
        assert_eq!(tracks.changes(later), [stands(0, 5, None)]);
        // An operator's word ends it.
        tracks.start(0, position(9, 1), later);
        assert_eq!(tracks.changes(later), [Change::Reads { partition: 0 }]);
        assert_eq!(tracks.arrived(0, 9, None), Arrival::Process);
    }

    #[test]
    fn a_truncated_partition_waits_for_an_operator() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        tracks.start(0, position(5, 0), now);
        assert!(!tracks.needs_operator(0, &position(5, 0)));
        tracks.stand(0, Standing::Truncated { offset: 5 }, now);
        assert!(tracks.needs_operator(0, &position(5, 0)));
        assert!(!tracks.needs_operator(0, &position(5, 1)));
    }

    #[test]
    fn a_partition_without_records_is_readable_after_a_trial() {
        let (mut tracks, now) = (Tracks::default(), Instant::now());
        tracks.stand(0, Standing::BeyondEnd { committed: 9, end: 5 }, now);
        assert!(matches!(tracks.changes(now)[..], [Change::Stands(_)]));
        tracks.start(0, position(9, 0), now);
        assert_eq!(tracks.changes(now + TRIAL), []);
        let later = now + TRIAL + Duration::from_millis(1);
        assert_eq!(tracks.changes(later), [Change::Reads { partition: 0 }]);
    }
}
