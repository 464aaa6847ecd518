//! Which sixteen digits a result already holds: a NIK sent twice has one entry.

use std::hash::{BuildHasher, RandomState};

/// Up to this many keys, comparing with each is faster than hashing.
pub(super) const FEW: usize = 8;

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// The numbers written so far, by their [`key`](nik::Digits::key). Reused from request to
/// request.
///
/// Whoever sends requests chooses their NIKs, so the hash is one that nobody can flood: under a
/// secret random factor two keys meet with a chance of at most two in the number of chains,
/// whatever their author knows of this code (Dietzfelbinger, Hagerup, Katajainen and Penttonen
/// 1997). Two multiplications, where `SipHash` would cost more than the judgement.
#[derive(Clone)]
pub(super) struct SeenNiks {
    factor: u128,
    keys: Vec<u64>,
    /// For each key the one before it in its chain.
    next: Vec<u32>,
    /// The latest key of each chain, a power of two of them; none while there are few keys.
    chains: Vec<u32>,
}

impl SeenNiks {
    pub(super) fn new() -> Self {
        // The standard library's source of randomness.
        let random = || u128::from(RandomState::new().hash_one(0));
        Self {
            factor: random() << 64 | random() | 1,
            keys: Vec::new(),
            next: Vec::new(),
            chains: Vec::new(),
        }
    }

    /// Forgets all keys and makes room for `count`.
    pub(super) fn clear(&mut self, count: usize) {
        self.keys.clear();
        self.next.clear();
        self.chains.clear();
        if count > FEW {
            self.chains.resize(count.next_power_of_two(), NONE);
        }
    }

    /// Notes a key; false if it was there before.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "no request holds 2^32 NIKs")]
    pub(super) fn insert(&mut self, key: u64) -> bool {
        if self.chains.is_empty() {
            let new = !self.keys.contains(&key);
            if new {
                self.keys.push(key);
            }
            return new;
        }
        let chain = self.chain(key);
        let first = self.chains[chain];
        let mut at = first;
        while let Some(seen) = self.keys.get(at as usize) {
            if *seen == key {
                return false;
            }
            at = self.next[at as usize];
        }
        self.chains[chain] = self.keys.len() as u32;
        self.keys.push(key);
        self.next.push(first);
        true
    }

    /// The upper bits of the product, as many as the chains have.
    fn chain(&self, key: u64) -> usize {
        let bits = self.chains.len().trailing_zeros();
        (self.factor.wrapping_mul(u128::from(key)) >> (128 - bits)) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Puts ten thousand keys in and says how many share the fullest chain.
    fn fullest_chain(key: impl Fn(u64) -> u64) -> usize {
        let mut numbers = SeenNiks::new();
        numbers.clear(10_000);
        for index in 0..10_000 {
            assert!(numbers.insert(key(index)), "a new key");
            assert!(!numbers.insert(key(index)), "the same again");
        }
        let mut chains = vec![0; numbers.chains.len()];
        for key in &numbers.keys {
            chains[numbers.chain(*key)] += 1;
        }
        chains.into_iter().max().unwrap_or_default()
    }

    #[test]
    fn keys_that_differ_in_a_few_places_spread_over_the_chains() {
        for shift in [0, 17, 32, 48] {
            let chain = fullest_chain(|index| index << shift);
            assert!(chain < 40, "{chain} keys in one chain of 16,384");
        }
    }

    #[test]
    fn keys_of_one_chain_are_told_apart() {
        let mut numbers = SeenNiks::new();
        numbers.factor = 0; // every key is in the first chain
        numbers.clear(FEW + 1);
        for (key, new) in [(7, true), (8, true), (7, false), (9, true), (8, false)] {
            assert_eq!(numbers.insert(key), new, "{key}");
        }
    }

    #[test]
    fn few_keys_are_told_apart_and_forgotten() {
        let mut numbers = SeenNiks::new();
        for _ in 0..2 {
            numbers.clear(FEW);
            assert!(numbers.insert(7) && numbers.insert(8) && !numbers.insert(7));
            assert!(numbers.chains.is_empty(), "a walk over them is faster");
        }
    }

    #[test]
    fn every_factor_is_odd_and_both_its_halves_are_its_own() {
        let factors = [(); 64].map(|()| SeenNiks::new().factor);
        assert!(factors.iter().all(|factor| factor % 2 == 1));
        for half in [0, 64] {
            let halves: HashSet<u128> = factors.map(|factor| factor >> half << 64).into();
            assert_eq!(halves.len(), factors.len(), "from bit {half}");
        }
    }
}
