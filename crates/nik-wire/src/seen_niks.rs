//! The keys of a result that are sixteen digits: a NIK that occurs twice has one entry.

use std::hash::{BuildHasher, RandomState};

/// Up to this many keys, comparing with each is faster than hashing.
const FEW: usize = 8;

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// The NIKs written so far, by their [`key`](nik::Digits::key). Reused from request to request.
///
/// Senders choose the NIKs, so the hash must not be predictable: with a secret random factor,
/// multiply-shift makes two keys collide with a probability of at most 2 / the number of chains,
/// even for a sender who knows this code (Dietzfelbinger, Hagerup, Katajainen and Penttonen 1997).
/// It costs two multiplications; `SipHash` would cost more than judging the NIK.
///
/// With at least 100 NIKs per request, `hashbrown::HashTable` with the same hash cost up to 31 %
/// more instructions per NIK: its `clear` touches the buckets of the largest request so far, and
/// its probes cost more than a chain of one.
#[derive(Clone)]
pub(super) struct SeenNiks {
    factor: u128,
    keys: Vec<u64>,
    /// For each key, the index of the previous key in its chain.
    previous: Vec<u32>,
    /// For each chain, the index of its latest key. The length is a power of two, or 0 for a short
    /// list.
    chains: Vec<u32>,
}

impl SeenNiks {
    pub(super) fn new() -> Self {
        // The standard library has no other public source of randomness.
        let random = || u128::from(RandomState::new().hash_one(0));
        Self {
            factor: random() << 64 | random() | 1,
            keys: Vec::new(),
            previous: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// Removes all keys, and prepares for at most `count` new ones.
    pub(super) fn clear(&mut self, count: usize) {
        self.keys.clear();
        self.previous.clear();
        self.chains.clear();
        if count > FEW {
            self.chains.resize(count.next_power_of_two(), NONE);
        }
    }

    /// Adds a key; false if it was added before.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called, it costs a limited result 3 %")]
    #[expect(clippy::cast_possible_truncation, reason = "a request has fewer than 2^32 NIKs")]
    pub(super) fn insert(&mut self, key: u64) -> bool {
        if self.chains.is_empty() {
            let new = !self.keys.contains(&key);
            if new {
                self.keys.push(key);
            }
            return new;
        }
        let chain = self.chain(key);
        let latest = self.chains[chain];
        let mut at = latest;
        while let Some(seen) = self.keys.get(at as usize) {
            if *seen == key {
                return false;
            }
            at = self.previous[at as usize];
        }
        self.chains[chain] = self.keys.len() as u32;
        self.keys.push(key);
        self.previous.push(latest);
        true
    }

    /// The highest bits of the product, as many as the index of a chain has.
    fn chain(&self, key: u64) -> usize {
        let bits = self.chains.len().trailing_zeros();
        (self.factor.wrapping_mul(u128::from(key)) >> (128 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Adds ten thousand keys and returns the length of the longest chain.
    fn longest_chain(key: impl Fn(u64) -> u64) -> usize {
        let mut seen = SeenNiks::new();
        seen.clear(10_000);
        for index in 0..10_000 {
            assert!(seen.insert(key(index)), "a new key");
            assert!(!seen.insert(key(index)), "the same key again");
        }
        let mut chains = vec![0; seen.chains.len()];
        for key in &seen.keys {
            chains[seen.chain(*key)] += 1;
        }
        chains.into_iter().max().unwrap_or_default()
    }

    #[test]
    fn keys_that_differ_in_a_few_bits_spread_over_the_chains() {
        for shift in [0, 17, 32, 48] {
            let longest = longest_chain(|index| index << shift);
            assert!(longest < 40, "{longest} keys in one of 16,384 chains");
        }
    }

    #[test]
    fn keys_in_one_chain_are_distinguished() {
        let mut seen = SeenNiks::new();
        seen.factor = 0; // every key is in the first chain
        seen.clear(FEW + 1);
        for (key, new) in [(7, true), (8, true), (7, false), (9, true), (8, false)] {
            assert_eq!(seen.insert(key), new, "{key}");
        }
    }

    #[test]
    fn a_few_keys_need_no_chains() {
        let mut seen = SeenNiks::new();
        for _ in 0..2 {
            seen.clear(FEW);
            assert!(seen.insert(7) && seen.insert(8) && !seen.insert(7));
            assert!(seen.chains.is_empty());
        }
    }

    #[test]
    fn every_factor_is_odd_and_random_in_both_halves() {
        let factors = [(); 64].map(|()| SeenNiks::new().factor);
        assert!(factors.iter().all(|factor| factor % 2 == 1));
        for half in [0, 64] {
            let halves: HashSet<u128> = factors.map(|factor| factor >> half << 64).into();
            assert_eq!(halves.len(), factors.len(), "from bit {half}");
        }
    }
}
