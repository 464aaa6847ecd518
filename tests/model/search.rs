//! An exhaustive breadth-first search: it visits every state that can be reached, and finds a shortest way to a bad one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What can be searched.
pub trait Model {
    type State: Clone + Eq + Hash;
    type Step: Clone;

    fn start(&self) -> Self::State;

    /// Every step that can be taken from `state`, and where it leads.
    fn steps(&self, state: &Self::State) -> Vec<(Self::Step, Self::State)>;

    /// What is wrong with `state`, from which these steps can be taken.
    fn fault(&self, state: &Self::State, steps: &[(Self::Step, Self::State)]) -> Option<String>;
}

/// What a search found.
pub struct Report<Step> {
    /// How many different states were visited.
    pub states: usize,
    /// What is wrong with the first bad state, and the shortest way to it.
    pub found: Option<(String, Vec<Step>)>,
}

/// Searches until a bad state is found or no state is left.
pub fn search<M: Model>(model: &M) -> Report<M::Step> {
    let start = model.start();
    let mut seen: HashMap<_, _, BuildHasherDefault<QuickHasher>> = HashMap::default();
    seen.insert(start.clone(), 0);
    let mut states = vec![start];
    // How each state was reached first; the start has no entry.
    let mut origins: Vec<(usize, M::Step)> = Vec::new();
    let mut next = 0;
    while let Some(state) = states.get(next) {
        let steps = model.steps(state);
        if let Some(fault) = model.fault(state, &steps) {
            let way = way_to(&origins, next);
            return Report { states: states.len(), found: Some((fault, way)) };
        }
        for (step, state) in steps {
            if let Entry::Vacant(vacant) = seen.entry(state) {
                states.push(vacant.key().clone());
                vacant.insert(states.len() - 1);
                origins.push((next, step));
            }
        }
        next += 1;
    }
    Report { states: states.len(), found: None }
}

/// Multiplies and rotates: many times faster than the standard hasher in a build without optimization, where this runs.
#[derive(Default)]
struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u8(byte);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(value)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u8(value.to_le_bytes()[0]);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u8(value.to_le_bytes()[0]);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

fn way_to<Step: Clone>(origins: &[(usize, Step)], mut state: usize) -> Vec<Step> {
    let mut way = Vec::new();
    while let Some((origin, step)) = state.checked_sub(1).map(|index| &origins[index]) {
        way.push(step.clone());
        state = *origin;
    }
    way.reverse();
    way
}
