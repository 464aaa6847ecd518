//! Which keys a result already holds: a NIK sent twice has one entry.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Up to this many keys a walk over all of them is faster than a table.
const FEW: usize = 8;
/// 2^61 - 1, a prime: arithmetic modulo it needs no division.
const PRIME: u64 = (1 << 61) - 1;
/// The end of a chain.
const NONE: usize = usize::MAX;

/// The keys written so far, as ranges of the output. Reused from request to request.
///
/// Whoever sends requests chooses their NIKs, so a table under a known hash could be flooded: ten thousand keys in one chain
/// are 50 million comparisons. `SipHash` would be safe and cost more than the rest of the work on a NIK. Here a key is a
/// polynomial over a prime field, taken at a secret random point: two keys of n bytes meet for at most n / 7 + 1 of the 2^61
/// points, whatever their author knows of this code, so chains stay short by proof and not by hope (Carter and Wegman 1979).
#[derive(Clone)]
pub(super) struct Seen {
    point: u64,
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
        // The standard library's source of randomness: a fresh `RandomState` hashes with random keys.
        let point = RandomState::new().hash_one(0) % PRIME;
        Self {
            point,
            keys: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// Forgets all keys and makes room for `count`.
    pub(super) fn clear(&mut self, count: usize) {
        self.keys.clear();
        self.chains.clear();
        if count > FEW {
            self.keys.reserve(count);
            self.chains.resize(count.next_power_of_two() * 2, NONE);
        }
    }

    /// Notes that `out` holds a key at `range`; false if it held the same one before.
    pub(super) fn insert(&mut self, out: &[u8], range: Range<usize>) -> bool {
        let key = &out[range.clone()];
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
        let hash = self.hash(key);
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

    /// The polynomial whose coefficients are the key's length and its bytes, seven at a time, at the secret point.
    fn hash(&self, key: &[u8]) -> u64 {
        let mut hash = key.len() as u64;
        for part in key.chunks(7) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            hash = times(hash, self.point) + u64::from_le_bytes(word);
        }
        times(hash, self.point)
    }
}

/// `a * b` modulo [`PRIME`], for a below 2^62 and b below the prime.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is masked, the upper is below 2^62"
)]
fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    // 2^61 is 1 modulo the prime: what is above bit 61 is added to what is below.
    let folded = (product as u64 & PRIME) + (product >> 61) as u64;
    let folded = (folded & PRIME) + (folded >> 61);
    if folded >= PRIME {
        folded - PRIME
    } else {
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_long_division() {
        let numbers = [0, 1, 2, 3, 1 << 60, PRIME - 2, PRIME - 1];
        let larger = [PRIME, PRIME + 1, 1 << 61, (1 << 62) - 1];
        for a in numbers.into_iter().chain(larger) {
            for b in numbers {
                let expected = u128::from(a) * u128::from(b) % u128::from(PRIME);
                assert_eq!(u128::from(times(a, b)), expected, "{a} * {b}");
            }
        }
    }

    /// Puts ten thousand keys in and says how many share the fullest chain.
    fn fullest_chain(key: impl Fn(usize) -> Vec<u8>) -> usize {
        let (mut seen, mut out) = (Seen::new(), Vec::new());
        seen.clear(10_000);
        for index in 0..10_000 {
            let start = out.len();
            out.extend(key(index));
            let end = out.len();
            assert!(seen.insert(&out, start..end), "a new key");
            assert!(!seen.insert(&out, start..end), "the same again");
        }
        let mut chains = vec![0; seen.chains.len()];
        for key in &seen.keys {
            chains[seen.chain(key.hash)] += 1;
        }
        chains.into_iter().max().unwrap_or_default()
    }

    #[test]
    fn keys_that_differ_in_one_place_or_in_length_alone_spread_over_the_chains() {
        let serials = fullest_chain(|index| format!("327301010190{index:04}").into_bytes());
        let areas = fullest_chain(|index| format!("{index:06}0101900001").into_bytes());
        let lengths = fullest_chain(|index| vec![b'0'; index]);
        let zeros = fullest_chain(|index| {
            [vec![0; 7 * (index % 100)], index.to_le_bytes().into()].concat()
        });
        let high_bits = fullest_chain(|index| (index << 40).to_le_bytes().repeat(2));
        for chain in [serials, areas, lengths, zeros, high_bits] {
            assert!(chain < 30, "{chain} keys in one chain of 32,768");
        }
    }
}
