//! How the transactions of a transactional id ended, and in which partitions markers may be
//! missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;

use parking_lot::Mutex;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Commit,
    Abort,
}

impl Ending {
    pub fn label(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Abort => "abort",
        }
    }

    /// How the last transaction ends, by the state of its transactional id. One that is open is
    /// aborted by the next producer of the id.
    pub fn of_state(state: &str) -> Option<Self> {
        match state {
            "PrepareCommit" | "CompleteCommit" => Some(Self::Commit),
            "Ongoing" | "PrepareEpochFence" | "PrepareAbort" | "CompleteAbort" => Some(Self::Abort),
            _ => None, // no transaction since the last producer began
        }
    }
}

/// A partition of a topic.
pub type Place = (CString, i32);

/// The partitions that the transactions of a producer may reach; `None` until they are known.
pub type Reach = Box<dyn Fn() -> Option<Vec<Place>> + Send>;

/// Those among them that have no leader, as far as is known without asking the brokers.
pub type Leaderless = Box<dyn Fn() -> Vec<Place> + Send>;

/// Shared by the successive producers of an id: a new one makes the coordinator forget how the last
/// transaction ended.
pub type Unsettled = Arc<Mutex<Endings>>;

/// How those transactions of an id ended that are not settled yet.
#[derive(Debug, Default)]
pub struct Endings {
    /// How the last one ended; `None`: it is settled, or only the coordinator may know.
    pub last: Option<Ending>,
    /// Where the last transaction has records if it was aborted; `None` if that is unknown.
    pub written: Option<BTreeSet<Place>>,
    /// How the last one ended, settled or not, until an empty one has ended as the held partitions
    /// require.
    remembered: Option<Ending>,
    /// Partitions that had no leader when their latest transaction ended, and how it ended. No later
    /// one, which may end in the other way, reaches them before they are settled.
    held: BTreeMap<Place, Ending>,
}

impl Endings {
    /// Notes that the next transaction begins.
    pub fn begin(&mut self) {
        (self.last, self.written) = (None, None);
    }

    /// How the latest transaction with records in `place` ended. One that was aborted and has no
    /// record there does not count. The one before it was committed, or aborted and settled.
    fn ending_at(&self, place: &Place) -> Ending {
        match (self.last, &self.written) {
            (Some(Ending::Abort), None) => Ending::Abort,
            (Some(Ending::Abort), Some(written)) if written.contains(place) => Ending::Abort,
            _ => Ending::Commit,
        }
    }

    /// Notes that these partitions have no leader.
    pub fn hold(&mut self, leaderless: impl IntoIterator<Item = Place>) {
        for place in leaderless {
            let ending = self.ending_at(&place);
            self.held.entry(place).or_insert(ending);
        }
    }

    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub fn holds(&self, place: &Place) -> bool {
        self.held.contains_key(place)
    }

    /// The held partitions where transactions ended in this way.
    pub fn held(&self, ending: Ending) -> Vec<Place> {
        let held = self.held.iter().filter(|(_, it)| **it == ending);
        held.map(|(place, _)| place.clone()).collect()
    }

    /// Notes what the coordinator remembers from now on.
    pub fn ended(&mut self, ending: Ending) {
        self.remembered = Some(ending);
    }

    /// How an empty transaction must end, and how the last one has ended, if that is not the way in
    /// which the next process has to end those of the held partitions.
    ///
    /// If they ended in different ways, the abort counts: where something was aborted there are
    /// records, but where something was committed its marker is rarely missing.
    pub fn to_record(&self) -> Option<(Ending, Ending)> {
        let aborted = self.held.values().any(|it| *it == Ending::Abort);
        let ending = if aborted { Ending::Abort } else { Ending::Commit };
        let last = self.remembered.filter(|last| self.holds_any() && *last != ending);
        last.map(|last| (ending, last))
    }

    /// Notes that the empty transaction has ended: none follows before the next ending.
    pub fn recorded(&mut self) {
        self.remembered = None;
    }

    /// Notes that the transactions were ended again in these partitions.
    pub fn release(&mut self, places: &[Place]) {
        self.held.retain(|place, _| !places.contains(place));
    }
}

/// The partitions of a topic that have no leader.
pub fn leaderless_partitions(topic: &MetadataTopic) -> BTreeSet<i32> {
    let partitions = topic.partitions().iter();
    partitions.filter(|it| it.leader() < 0).map(MetadataPartition::id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_that_tells_how_a_transaction_ended_is_repeated() {
        for state in ["PrepareCommit", "CompleteCommit"] {
            assert_eq!(Ending::of_state(state), Some(Ending::Commit));
        }
        for state in ["Ongoing", "PrepareAbort", "PrepareEpochFence", "CompleteAbort"] {
            assert_eq!(Ending::of_state(state), Some(Ending::Abort));
        }
        for state in ["Empty", "Dead", "", "Unknown"] {
            assert_eq!(Ending::of_state(state), None);
        }
    }

    #[test]
    fn a_partition_keeps_the_ending_of_the_latest_transaction_that_wrote_to_it() {
        let place = |partition| (c"results".to_owned(), partition);
        let mut endings = Endings { last: Some(Ending::Commit), ..Endings::default() };
        endings.hold([place(0)]);
        // Nothing of the next one arrived in partition 0 and 1.
        endings.begin();
        let written = Some([place(2)].into());
        (endings.last, endings.written) = (Some(Ending::Abort), written);
        endings.hold((0..3).map(place));
        // A later commit changes nothing where an ending is held already.
        endings.begin();
        endings.last = Some(Ending::Commit);
        endings.hold((0..4).map(place));
        assert_eq!(endings.held(Ending::Commit), [0, 1, 3].map(place));
        assert_eq!(endings.held(Ending::Abort), [place(2)]);
        endings.release(&[place(2), place(3)]);
        assert!(endings.holds(&place(0)) && !endings.holds(&place(2)));
        endings.release(&[place(0), place(1)]);
        assert!(!endings.holds_any());
    }

    #[test]
    fn a_transaction_that_ended_in_another_way_than_the_held_ones_is_followed_by_an_empty_one() {
        use Ending::{Abort, Commit};
        let place = |partition| (c"results".to_owned(), partition);
        let mut endings = Endings { last: Some(Commit), ..Endings::default() };
        endings.ended(Abort);
        assert_eq!(endings.to_record(), None, "nothing is held");
        endings.hold([place(0)]);
        assert_eq!(endings.to_record(), Some((Commit, Abort)));
        endings.recorded();
        assert_eq!(endings.to_record(), None);
        endings.ended(Commit);
        assert_eq!(endings.to_record(), None);
        endings.last = Some(Abort);
        endings.hold([place(1)]);
        assert_eq!(endings.to_record(), Some((Abort, Commit)), "one of them is held for an abort");
        endings.release(&[place(1)]);
        assert_eq!(endings.to_record(), None);
    }

    #[test]
    fn what_an_earlier_process_aborted_may_be_anywhere() {
        let mut endings = Endings { last: Some(Ending::Abort), ..Endings::default() };
        endings.hold([(c"results".to_owned(), 0)]);
        assert_eq!(endings.held(Ending::Abort).len(), 1);
    }
}
