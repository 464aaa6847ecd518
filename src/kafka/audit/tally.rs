//! What an audit found: counts, and the places of the first faults.

use std::collections::BTreeSet;

use super::matching::Place;

/// The most places that are printed, and kept of each kind of fault.
pub const EXAMPLES: usize = 10;

/// How outcomes differ from what requests ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A request without an outcome.
    Lost,
    /// An outcome beyond the first of its request.
    Doubled,
    /// An outcome with other bytes, or in the wrong topic.
    Different,
    /// An outcome of no request.
    Unexplained,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Lost, Self::Doubled, Self::Different, Self::Unexplained];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Different => "different",
            Self::Unexplained => "unexplained",
        }
    }
}

/// The counts of an audit.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests of the span that were looked at.
    pub requests: u64,
    /// Outcomes of the span in the topics.
    pub results: u64,
    pub failures: u64,
    faults: [u64; Fault::ALL.len()],
    /// The first places of each kind.
    places: [BTreeSet<Place>; Fault::ALL.len()],
    /// Requests at or after the group's position without an outcome.
    pub in_flight: u64,
    /// Requests or outcomes that retention deleted or whose time was replaced, and outcomes whose
    /// day is not known.
    pub out_of_reach: u64,
    /// Requests of the span that the sample leaves out.
    pub sampled_out: u64,
    /// Failures of replayed requests, which today's settings would answer otherwise.
    pub replayed: u64,
    /// Outcomes of another release or of other rules, which today's would answer otherwise.
    pub other_release: u64,
}

impl Tally {
    pub fn add(&mut self, fault: Fault, place: Place) {
        self.faults[fault as usize] += 1;
        let places = &mut self.places[fault as usize];
        places.insert(place);
        if places.len() > EXAMPLES {
            places.pop_last();
        }
    }

    pub fn count(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    pub fn has_faults(&self) -> bool {
        self.faults.iter().any(|count| *count > 0)
    }

    /// The first places, of each kind in turn, so that a frequent kind does not hide the others.
    pub fn examples(&self) -> Vec<(Fault, Place)> {
        let of = |fault: Fault| self.places[fault as usize].iter().map(move |it| (fault, *it));
        let mut kinds = Fault::ALL.map(of);
        let mut examples = Vec::new();
        loop {
            let before = examples.len();
            examples.extend(kinds.iter_mut().filter_map(Iterator::next));
            if examples.len() == before {
                break;
            }
        }
        examples.truncate(EXAMPLES);
        examples.sort_unstable();
        examples
    }

    /// Adds the counts of another part of the records.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.results += other.results;
        self.failures += other.failures;
        self.in_flight += other.in_flight;
        self.out_of_reach += other.out_of_reach;
        self.sampled_out += other.sampled_out;
        self.replayed += other.replayed;
        self.other_release += other.other_release;
        for fault in Fault::ALL {
            self.faults[fault as usize] += other.faults[fault as usize];
            let places = &mut self.places[fault as usize];
            places.extend(&other.places[fault as usize]);
            while places.len() > EXAMPLES {
                places.pop_last();
            }
        }
    }
}
