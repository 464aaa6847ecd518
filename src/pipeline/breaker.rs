//! The flood breaker: when too many of the latest outcomes are dead letters, none goes out for a while.
//!
//! Crates for circuit breakers (`failsafe`, `recloser`) watch calls that fail. This one counts outcomes, takes those back whose
//! epoch is given up, and goes on when an operator accepts a flood.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The largest share of failures among the latest outcomes that is no flood; 1: there is none.
    pub ratio: f64,
    /// How many outcomes are looked at.
    pub window: usize,
    /// How long it stays open.
    pub cool_down: Duration,
}

/// Whether dead letters may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They may, as long as they are no flood.
    Closed,
    /// They may not, until then.
    Open {
        /// When it half-opens.
        until: Instant,
    },
    /// They may, from an empty window on: it closes when that is full, or opens again.
    HalfOpen,
    /// They may, flood or not: an operator said so. It closes when a cool-down has passed without a flood: the records of a
    /// flooded partition come between those of others, and a good window says nothing of those to come.
    Accepted {
        /// When it closes, if there is no more flood.
        until: Instant,
    },
}

/// The latest outcomes of all workers, and what follows from them. It has no clock of its own.
#[derive(Debug)]
pub struct Breaker {
    window: usize,
    /// The most failures in a window that are no flood.
    limit: usize,
    cool_down: Duration,
    state: State,
    /// The latest outcomes as runs of equal ones, the oldest first: whether they failed, and how many they are.
    runs: VecDeque<(bool, usize)>,
    outcomes: usize,
    failures: usize,
}

impl Breaker {
    /// A closed one that has seen nothing.
    pub fn new(policy: &Policy) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a million at most"
        )]
        let limit = (policy.ratio * policy.window as f64) as usize;
        Self {
            window: policy.window,
            limit,
            cool_down: policy.cool_down,
            state: State::Closed,
            runs: VecDeque::new(),
            outcomes: 0,
            failures: 0,
        }
    }

    /// What it is now; asking is what half-opens it.
    pub fn state(&mut self, now: Instant) -> State {
        match self.state {
            State::Open { until } if now >= until => self.begin(State::HalfOpen),
            State::Accepted { until } if now >= until && self.failures <= self.limit => {
                self.state = State::Closed;
            }
            _ => {}
        }
        self.state
    }

    /// What it was when it was last asked.
    pub fn last_state(&self) -> State {
        self.state
    }

    /// Whether one more dead letter may go out. It counts, or it is the one too many.
    pub fn allows(&mut self, now: Instant) -> bool {
        let state = self.state(now);
        if matches!(state, State::Open { .. }) {
            return false;
        }
        let oldest = self.outcomes == self.window && self.runs.front().is_some_and(|it| it.0);
        if self.failures + 1 - usize::from(oldest) > self.limit {
            let until = now + self.cool_down;
            if !matches!(state, State::Accepted { .. }) {
                self.state = State::Open { until };
                return false;
            }
            self.state = State::Accepted { until };
        }
        self.note(true, 1);
        true
    }

    /// Notes so many results.
    pub fn succeeded(&mut self, results: usize, now: Instant) {
        self.note(false, results);
        self.state(now);
    }

    /// Takes so many failures back, the latest ones: their epoch was given up, and they will come again.
    pub fn take_back(&mut self, failures: usize) {
        let mut left = failures;
        for (_, count) in self.runs.iter_mut().rev().filter(|(failed, _)| *failed) {
            let taken = left.min(*count);
            *count -= taken;
            left -= taken;
        }
        self.runs.retain(|(_, count)| *count > 0);
        self.failures -= failures - left;
        self.outcomes -= failures - left;
    }

    /// An operator accepts the dead letters; `false` when it is not open.
    pub fn accept(&mut self, now: Instant) -> bool {
        let open = matches!(self.state(now), State::Open { .. });
        if open {
            self.begin(State::Accepted { until: now + self.cool_down });
        }
        open
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.runs.clear();
        self.outcomes = 0;
        self.failures = 0;
    }

    fn note(&mut self, failed: bool, count: usize) {
        match self.runs.back_mut() {
            Some(run) if run.0 == failed => run.1 += count,
            _ if count == 0 => {}
            _ => self.runs.push_back((failed, count)),
        }
        self.outcomes += count;
        self.failures += if failed { count } else { 0 };
        while self.outcomes > self.window
            && let Some((failed, count)) = self.runs.front_mut()
        {
            let old = (self.outcomes - self.window).min(*count);
            *count -= old;
            self.outcomes -= old;
            self.failures -= if *failed { old } else { 0 };
            if *count == 0 {
                self.runs.pop_front();
            }
        }
        let full = self.outcomes == self.window;
        if self.state == State::HalfOpen && full && self.failures <= self.limit {
            self.state = State::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOL_DOWN: Duration = Duration::from_mins(1);

    fn breaker(ratio: f64, window: usize) -> Breaker {
        Breaker::new(&Policy { ratio, window, cool_down: COOL_DOWN })
    }

    /// How many of a flood's dead letters go out.
    fn flood(breaker: &mut Breaker, now: Instant) -> usize {
        (0..10_000).take_while(|_| breaker.allows(now)).count()
    }

    #[test]
    fn a_flood_from_the_start_costs_a_share_of_the_window_and_not_one_more() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        assert_eq!(flood(&mut breaker, now), 500);
        let until = now + COOL_DOWN;
        assert_eq!(breaker.state(now), State::Open { until });
    }

    #[test]
    fn a_flood_after_good_times_costs_as_much() {
        let now = Instant::now();
        let mut breaker = breaker(0.25, 1_000);
        breaker.succeeded(1_000_000, now);
        assert_eq!(flood(&mut breaker, now), 250);
    }

    #[test]
    fn a_flood_that_lasts_costs_as_much_again_for_each_cool_down() {
        let mut now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        for _ in 0..5 {
            assert_eq!(flood(&mut breaker, now), 500);
            now += COOL_DOWN.checked_sub(Duration::from_millis(1)).unwrap();
            assert_eq!(flood(&mut breaker, now), 0);
            now += Duration::from_millis(1);
            assert_eq!(breaker.state(now), State::HalfOpen);
        }
    }

    #[test]
    fn half_open_it_closes_after_a_window_that_is_no_flood() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        flood(&mut breaker, now);
        let now = now + COOL_DOWN;
        assert!(breaker.allows(now));
        breaker.succeeded(998, now);
        assert_eq!(breaker.state(now), State::HalfOpen);
        breaker.succeeded(1, now);
        assert_eq!(breaker.state(now), State::Closed);
    }

    #[test]
    fn accepted_it_stays_shut_until_the_flood_is_over_and_then_watches_again() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        assert!(!breaker.accept(now), "there is nothing to accept");
        flood(&mut breaker, now);
        assert!(breaker.accept(now));
        assert_eq!(flood(&mut breaker, now), 10_000);
        // Good partitions between the flooded one's records.
        let later = now + COOL_DOWN / 2;
        breaker.succeeded(1_000, later);
        assert_eq!(flood(&mut breaker, later), 10_000);
        // A pause is no end.
        let now = later + COOL_DOWN;
        assert!(matches!(breaker.state(now), State::Accepted { .. }));
        breaker.succeeded(499, now);
        assert!(matches!(breaker.state(now), State::Accepted { .. }));
        breaker.succeeded(501, now);
        assert_eq!(breaker.state(now), State::Closed);
        assert_eq!(flood(&mut breaker, now), 500);
    }

    #[test]
    fn with_a_share_of_one_it_never_opens() {
        let now = Instant::now();
        let mut breaker = breaker(1.0, 10);
        breaker.succeeded(0, now);
        assert_eq!(flood(&mut breaker, now), 10_000);
    }

    #[test]
    fn failures_that_come_again_count_once() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 100);
        for _ in 0..20 {
            assert!((0..30).all(|_| breaker.allows(now)));
            breaker.succeeded(1, now);
            breaker.succeeded(0, now);
            breaker.take_back(30);
        }
        assert_eq!(flood(&mut breaker, now), 50);
    }

    proptest! {
        /// Against one that keeps each outcome by itself.
        #[test]
        fn it_opens_exactly_when_too_many_of_the_latest_outcomes_failed(
            window in 10_usize..60,
            ratio in 0.0..1.0,
            outcomes in proptest::collection::vec(prop_oneof![Just(0), Just(0), 1_usize..80], 0..200),
        ) {
            let now = Instant::now();
            let mut breaker = breaker(ratio, window);
            let mut latest: VecDeque<bool> = VecDeque::new();
            for results in outcomes {
                if results > 0 {
                    breaker.succeeded(results, now);
                    latest.extend(std::iter::repeat_n(false, results));
                } else {
                    latest.push_back(true);
                }
                latest.drain(..latest.len().saturating_sub(window));
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let too_many = latest.iter().filter(|it| **it).count() as f64 > ratio * window as f64;
                if results == 0 {
                    prop_assert_eq!(breaker.allows(now), !too_many);
                }
                if too_many {
                    break;
                }
            }
        }
    }
}
