//! Which keys a result already holds, of those that are no sixteen digits: a NIK sent twice has one entry.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Up to this many keys a walk over all of them is faster than a table.
pub(super) const FEW: usize = 8;
/// The end of a chain.
const NONE: usize = usize::MAX;

/// The keys written so far, as ranges of the output. Reused from request to request.
///
/// Whoever sends requests chooses their NIKs, so a table under a known hash could be flooded: ten
/// thousand keys in one chain are 50 million comparisons. The standard library's hash has a secret
/// key. (Its map would have to own the keys.)
#[derive(Clone)]
pub(super) struct Seen {
    hasher: RandomState,
    /// How many keys may come.
    room: usize,
    keys: Vec<Key>,
    /// The first key of each chain; empty while there are few keys.
    chains: Vec<usize>,
}

#[derive(Clone)]
struct Key {
    range: Range<usize>,
    /// The next key of the same chain.
    next: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), room: 0, keys: Vec::new(), chains: Vec::new() }
    }

    /// Forgets all keys; `room` more may come.
    pub(super) fn clear(&mut self, room: usize) {
        self.room = room;
        self.keys.clear();
        self.chains.clear();
    }

    /// Notes that `out` holds a key at `range`; false if it held the same one before.
    pub(super) fn insert(&mut self, out: &[u8], range: Range<usize>) -> bool {
        let key = &out[range.clone()];
        if self.keys.is_empty() && self.room > FEW {
            self.keys.reserve(self.room);
            self.chains.resize(self.room.next_power_of_two() * 2, NONE);
        }
        if self.chains.is_empty() {
            let new = self.keys.iter().all(|seen| out[seen.range.clone()] != *key);
            if new {
                self.keys.push(Key { range, next: NONE });
            }
            return new;
        }
        let chain = self.chain(key);
        let first = self.chains[chain];
        let mut at = first;
        while let Some(seen) = self.keys.get(at) {
            if out[seen.range.clone()] == *key {
                return false;
            }
            at = seen.next;
        }
        self.chains[chain] = self.keys.len();
        self.keys.push(Key { range, next: first });
        true
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are what is wanted")]
    fn chain(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize & (self.chains.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_keys_are_told_apart_and_forgotten() {
        let (mut seen, mut out) = (Seen::new(), Vec::new());
        for _ in 0..2 {
            seen.clear(10_000);
            out.clear();
            for index in 0..10_000 {
                let start = out.len();
                out.extend(format!("32730101019{index}").as_bytes());
                let range = start..out.len();
                assert!(seen.insert(&out, range.clone()), "a new key");
                assert!(!seen.insert(&out, range), "the same again");
            }
        }
    }

    #[test]
    fn keys_of_one_chain_are_told_apart_by_their_bytes() {
        let (mut seen, mut out) = (Seen::new(), Vec::new());
        seen.clear(FEW + 1); // 32 chains
        for index in 10..99 {
            out.extend(index.to_string().as_bytes());
            let end = out.len();
            assert!(seen.insert(&out, end - 2..end), "{index}");
        }
        for start in (0..out.len()).step_by(2) {
            assert!(!seen.insert(&out, start..start + 2), "{start}");
        }
    }

    #[test]
    fn few_keys_are_told_apart_without_chains() {
        let mut seen = Seen::new();
        seen.clear(FEW);
        for (range, new) in [(0..2, true), (2..4, true), (4..6, false)] {
            assert_eq!(seen.insert(b"abcdab", range), new);
        }
        assert!(seen.chains.is_empty(), "a walk over them is faster");
    }
}
