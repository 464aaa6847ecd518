//! Which keys a result already holds, of those that are no sixteen digits: a NIK sent twice has one entry.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Up to this many keys a walk over all of them is faster than a table.
pub(super) const FEW: usize = 8;
/// 2^61 - 1, a prime: arithmetic modulo it needs no division.
const PRIME: u64 = (1 << 61) - 1;
const SEVEN_BYTES: u64 = u64::MAX >> 8;
/// The end of a chain.
const NONE: usize = usize::MAX;

/// The keys written so far, as ranges of the output. Reused from request to request.
///
/// Whoever sends requests chooses their NIKs, so a table under a known hash could be flooded: ten
/// thousand keys in one chain are 50 million comparisons. `SipHash` would be safe and costs some 150
/// instructions more a key: 3 % more for a `limited` list of which every eighth NIK comes here. Here
/// a key is a polynomial over a prime field, taken at a secret random point: two keys of n bytes
/// meet for at most n / 7 + 2 of the 2^59 points, whatever their author knows of this code, so
/// chains stay short by proof and not by hope (Carter and Wegman 1979; Poly1305 does the same for
/// messages).
#[derive(Clone)]
pub(super) struct Seen {
    /// Below 2^59, see [`times`].
    point: u64,
    /// How many keys may come.
    room: usize,
    keys: Vec<Key>,
    /// The first key of each chain; empty while there are few keys.
    chains: Vec<usize>,
}

#[derive(Clone)]
struct Key {
    range: Range<usize>,
    hash: u64,
    /// The next key of the same chain.
    next: usize,
}

impl Seen {
    pub(super) fn new() -> Self {
        // The standard library's source of randomness: a fresh `RandomState` hashes with random
        // keys.
        let point = RandomState::new().hash_one(0) >> 5;
        Self {
            point,
            room: 0,
            keys: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// Forgets all keys; `room` more may come.
    pub(super) fn clear(&mut self, room: usize) {
        self.room = room;
        self.keys.clear();
        self.chains.clear();
    }

    /// Notes that `out` holds the key `text` at `range`; false if it held the same one before.
    pub(super) fn insert(&mut self, out: &[u8], range: Range<usize>, text: &str) -> bool {
        let key = &out[range.clone()];
        if self.keys.is_empty() && self.room > FEW {
            self.keys.reserve(self.room);
            self.chains.resize(self.room.next_power_of_two() * 2, NONE);
        }
        if self.chains.is_empty() {
            let new = self.keys.iter().all(|seen| out[seen.range.clone()] != *key);
            if new {
                self.keys.push(Key {
                    range,
                    hash: 0,
                    next: NONE,
                });
            }
            return new;
        }
        let hash = self.hash(text.as_bytes());
        let chain = self.chain(hash);
        let first = self.chains[chain];
        let mut at = first;
        while let Some(seen) = self.keys.get(at) {
            if seen.hash == hash && out[seen.range.clone()] == *key {
                return false;
            }
            at = seen.next;
        }
        self.chains[chain] = self.keys.len();
        self.keys.push(Key {
            range,
            hash,
            next: first,
        });
        true
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low bits are what is wanted"
    )]
    fn chain(&self, hash: u64) -> usize {
        hash as usize & (self.chains.len() - 1)
    }

    /// The polynomial 1, word, word, ..., 0 at the secret point. A word is seven bytes, the last
    /// one what is left and how much that is: different texts have different polynomials.
    fn hash(&self, text: &[u8]) -> u64 {
        let mut hash = self.point;
        let mut rest = text;
        while let Some(word) = rest.first_chunk() {
            hash = times(hash + (u64::from_le_bytes(*word) & SEVEN_BYTES), self.point);
            rest = &rest[7..];
        }
        let last = rest
            .iter()
            .fold(rest.len() as u64, |word, byte| word << 8 | u64::from(*byte));
        times(hash + last, self.point)
    }
}

/// A number that is `a * b` modulo [`PRIME`], for a below 2^63 and b below 2^59; itself below 2^62.
#[expect(clippy::cast_possible_truncation, reason = "each part fits")]
fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // 2^61 is 1 modulo the prime: what lies above it is added to what lies below.
    (product as u64 & PRIME) + (product >> 61) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_long_division() {
        let larger = [PRIME - 1, PRIME, PRIME + 1, 1 << 62, (1 << 63) - 1];
        for a in [0, 1, 2, 3, 1 << 60].into_iter().chain(larger) {
            for b in [0, 1, 2, 3, 1 << 58, (1 << 59) - 1] {
                let expected = u128::from(a) * u128::from(b) % u128::from(PRIME);
                assert_eq!(u128::from(times(a, b) % PRIME), expected, "{a} * {b}");
                assert!(times(a, b) < 1 << 62, "{a} * {b}");
            }
        }
    }

    /// Puts ten thousand keys in and says how many share the fullest chain.
    fn fullest_chain(key: impl Fn(usize) -> String) -> usize {
        let (mut seen, mut out) = (Seen::new(), Vec::new());
        seen.clear(10_000);
        for index in 0..10_000 {
            let start = out.len();
            let key = key(index);
            out.extend(key.as_bytes());
            let end = out.len();
            assert!(seen.insert(&out, start..end, &key), "a new key");
            assert!(!seen.insert(&out, start..end, &key), "the same again");
        }
        assert_eq!(seen.chains.len(), 32_768);
        let mut chains = vec![0; seen.chains.len()];
        for key in &seen.keys {
            chains[seen.chain(key.hash)] += 1;
        }
        chains.into_iter().max().unwrap_or_default()
    }

    #[test]
    fn keys_that_differ_in_one_place_or_in_length_alone_spread_over_the_chains() {
        let serials = fullest_chain(|index| format!("327301010190{index:04}"));
        let areas = fullest_chain(|index| format!("{index:06}0101900001"));
        let lengths = fullest_chain(|index| "\0".repeat(index));
        let ends = fullest_chain(|index| "\0".repeat(7 * (index % 100)) + &index.to_string());
        let starts = fullest_chain(|index| index.to_string() + &"\0".repeat(7 * (index % 100)));
        for chain in [serials, areas, lengths, ends, starts] {
            assert!(chain < 30, "{chain} keys in one chain of 32,768");
        }
    }

    #[test]
    fn every_byte_and_the_length_tell_in_the_hash() {
        let seen = Seen::new();
        // No text is UTF-8 with these bytes, but none is as near to what a word can hold.
        let text = [0xff; 24];
        for length in 0..text.len() {
            let hash = seen.hash(&text[..length]);
            assert_ne!(hash, seen.hash(&text[..=length]), "one more than {length}");
            for at in 0..length {
                let mut other = text;
                other[at] = b'1';
                assert_ne!(hash, seen.hash(&other[..length]), "{at} of {length}");
            }
        }
    }

    #[test]
    fn keys_of_one_hash_are_told_apart_by_their_bytes() {
        let mut seen = Seen::new();
        seen.point = 0; // every hash is 0
        seen.clear(FEW + 1);
        let out = b"3273010101900001327301010190000232730101019000013273010101900002";
        for (start, new) in [(0, true), (16, true), (32, false), (48, false)] {
            let range = start..start + 16;
            let text = str::from_utf8(&out[range.clone()]).expect("digits");
            assert_eq!(seen.insert(out, range, text), new, "{start}");
        }
    }

    #[test]
    fn few_keys_are_told_apart_without_chains() {
        let mut seen = Seen::new();
        seen.clear(FEW);
        for (range, new) in [(0..2, true), (2..4, true), (4..6, false)] {
            assert_eq!(seen.insert(b"abcdab", range, "unread"), new);
        }
        assert!(seen.chains.is_empty(), "a walk over them is faster");
    }

    #[test]
    fn every_point_is_below_what_a_product_may_have() {
        assert!((0..256).all(|_| Seen::new().point < 1 << 59));
    }
}
