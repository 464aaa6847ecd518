//! The keys of a result that are not sixteen digits: a NIK that occurs twice has one entry.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Up to this many keys, comparing with each is faster than hashing.
const FEW: usize = 16;

/// The keys written so far, as ranges of the output. Reused from request to request.
///
/// Senders choose the NIKs, so the hash has a secret key, that of the standard library: with a
/// known hash, ten thousand colliding keys would cost 50 million comparisons. (`HashMap` would have
/// to own the keys.)
#[derive(Clone)]
pub(super) struct SeenKeys {
    /// The first keys, until there are too many; then empty.
    few: Vec<Range<usize>>,
    many: HashTable<Range<usize>>,
    hasher: RandomState,
}

impl SeenKeys {
    pub(super) fn new() -> Self {
        Self { few: Vec::new(), many: HashTable::new(), hasher: RandomState::new() }
    }

    pub(super) fn clear(&mut self) {
        self.few.clear();
        self.many.clear();
    }

    /// Adds the key that `out` holds at `range`; false if the same key was added before.
    pub(super) fn insert(&mut self, out: &[u8], range: Range<usize>) -> bool {
        let text = |range: &Range<usize>| &out[range.clone()];
        let key = text(&range);
        let hash = |range: &Range<usize>| self.hasher.hash_one(text(range));
        if self.many.is_empty() {
            if self.few.iter().any(|seen| text(seen) == key) {
                return false;
            }
            if self.few.len() < FEW {
                self.few.push(range);
                return true;
            }
            for seen in self.few.drain(..) {
                self.many.insert_unique(hash(&seen), seen, hash);
            }
        }
        match self.many.entry(hash(&range), |seen| text(seen) == key, hash) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(range);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_keys_are_distinguished_and_forgotten_on_clear() {
        let (mut seen, mut out) = (SeenKeys::new(), Vec::new());
        for _ in 0..2 {
            seen.clear();
            out.clear();
            for index in 0..10_000 {
                let start = out.len();
                out.extend(format!("32730101019{index}").as_bytes());
                let range = start..out.len();
                assert!(seen.insert(&out, range.clone()), "a new key");
                assert!(!seen.insert(&out, range), "the same key again");
            }
        }
    }
}
