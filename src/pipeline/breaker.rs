//! The flood breaker: pauses the stream when too many of the latest outcomes are dead letters.
//!
//! Crates for circuit breakers (`failsafe`, `recloser`) watch calls that fail. This one counts
//! outcomes, uncounts those of an aborted epoch, and continues when an operator accepts a flood.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// The largest share of failures among the latest outcomes that keeps the breaker closed. With
    /// 1 it never opens.
    pub ratio: f64,
    /// The number of latest outcomes that are counted.
    pub window: usize,
    /// How long the breaker stays open.
    pub cool_down: Duration,
}

impl Policy {
    /// The most failures in a window that keep the breaker closed.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a window is at most a million"
    )]
    fn limit(&self) -> usize {
        (self.ratio * self.window as f64) as usize
    }
}

/// Whether dead letters may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They may, until there are too many.
    Closed,
    /// They may not.
    Open {
        /// When it becomes half-open.
        until: Instant,
    },
    /// They may. The window starts empty: the breaker opens again if it gets too many failures, and
    /// closes once it is full.
    HalfOpen,
    /// They may, however many, because an operator said so. It closes after a cool-down without a
    /// flood. A good window alone does not close it: records of a flooded partition are interleaved
    /// with those of others.
    Accepted {
        /// When it closes, unless the flood continues.
        until: Instant,
    },
}

/// Counts the latest outcomes of all workers and derives the state. Callers pass in the time.
#[derive(Debug)]
pub struct Breaker {
    policy: Policy,
    state: BreakerState,
    /// The latest outcomes as runs of equal ones, oldest first: whether they failed, and how many.
    runs: VecDeque<(bool, usize)>,
    outcomes: usize,
    failures: usize,
}

impl Breaker {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: BreakerState::Closed,
            runs: VecDeque::new(),
            outcomes: 0,
            failures: 0,
        }
    }

    /// Continues under another policy. If the breaker is open, it becomes half-open, so that the
    /// policy is tried at once.
    pub fn set_policy(&mut self, policy: Policy) {
        if self.policy == policy {
            return;
        }
        self.policy = policy;
        if matches!(self.state, BreakerState::Open { .. }) {
            self.restart(BreakerState::HalfOpen);
        }
        self.count(false, 0); // drops what is too old for a smaller window
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The state at `now`; replaces an expired one.
    pub fn state(&mut self, now: Instant) -> BreakerState {
        match self.state {
            BreakerState::Open { until } if now >= until => self.restart(BreakerState::HalfOpen),
            BreakerState::Accepted { until }
                if now >= until && self.failures <= self.policy.limit() =>
            {
                self.state = BreakerState::Closed;
            }
            _ => {}
        }
        self.state
    }

    /// The state as of the last call.
    pub fn last_state(&self) -> BreakerState {
        self.state
    }

    /// Whether one more dead letter may be written. If so, it is counted; if not, the breaker
    /// opens.
    pub fn allows(&mut self, now: Instant) -> bool {
        let state = self.state(now);
        if matches!(state, BreakerState::Open { .. }) {
            return false;
        }
        // One more outcome drops the oldest of a full window.
        let drops_a_failure =
            self.outcomes == self.policy.window && self.runs.front().is_some_and(|it| it.0);
        if self.failures + 1 - usize::from(drops_a_failure) > self.policy.limit() {
            let until = now + self.policy.cool_down;
            if !matches!(state, BreakerState::Accepted { .. }) {
                self.state = BreakerState::Open { until };
                return false;
            }
            self.state = BreakerState::Accepted { until };
        }
        self.count(true, 1);
        true
    }

    /// Counts `results` outcomes that did not fail.
    pub fn succeeded(&mut self, results: usize, now: Instant) {
        self.count(false, results);
        self.state(now);
    }

    /// Uncounts the latest `failures`: their epoch was aborted, and they will be processed again.
    pub fn uncount(&mut self, failures: usize) {
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

    /// Lets an operator accept the dead letters. Returns false if the breaker is not open.
    pub fn accept(&mut self, now: Instant) -> bool {
        let open = matches!(self.state(now), BreakerState::Open { .. });
        if open {
            self.restart(BreakerState::Accepted { until: now + self.policy.cool_down });
        }
        open
    }

    fn restart(&mut self, state: BreakerState) {
        self.state = state;
        self.runs.clear();
        self.outcomes = 0;
        self.failures = 0;
    }

    fn count(&mut self, failed: bool, count: usize) {
        match self.runs.back_mut() {
            Some(run) if run.0 == failed => run.1 += count,
            _ if count == 0 => {}
            _ => self.runs.push_back((failed, count)),
        }
        self.outcomes += count;
        self.failures += if failed { count } else { 0 };
        while self.outcomes > self.policy.window
            && let Some((failed, count)) = self.runs.front_mut()
        {
            let old = (self.outcomes - self.policy.window).min(*count);
            *count -= old;
            self.outcomes -= old;
            self.failures -= if *failed { old } else { 0 };
            if *count == 0 {
                self.runs.pop_front();
            }
        }
        let full = self.outcomes == self.policy.window;
        if self.state == BreakerState::HalfOpen && full && self.failures <= self.policy.limit() {
            self.state = BreakerState::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COOL_DOWN: Duration = Duration::from_mins(1);

    fn breaker(ratio: f64, window: usize) -> Breaker {
        Breaker::new(Policy { ratio, window, cool_down: COOL_DOWN })
    }

    /// How many dead letters of a flood are allowed.
    fn flood(breaker: &mut Breaker, now: Instant) -> usize {
        (0..10_000).take_while(|_| breaker.allows(now)).count()
    }

    #[test]
    fn a_flood_from_the_start_costs_a_share_of_the_window_and_not_one_more() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        assert_eq!(flood(&mut breaker, now), 500);
        let until = now + COOL_DOWN;
        assert_eq!(breaker.state(now), BreakerState::Open { until });
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
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        }
    }

    #[test]
    fn under_another_policy_an_open_breaker_is_tried_at_once_and_old_outcomes_are_dropped() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        flood(&mut breaker, now);
        let policy = Policy { ratio: 0.1, window: 100, cool_down: COOL_DOWN };
        breaker.set_policy(policy);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        assert_eq!(flood(&mut breaker, now), 10);
        breaker.set_policy(Policy { ratio: 1.0, ..policy });
        assert_eq!(flood(&mut breaker, now), 10_000);
        // Of a smaller window only the latest outcomes count.
        breaker.succeeded(50, now);
        breaker.set_policy(Policy { ratio: 0.2, window: 50, ..policy });
        assert_eq!(flood(&mut breaker, now), 10);
    }

    #[test]
    fn a_half_open_breaker_closes_after_a_good_window() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        flood(&mut breaker, now);
        let now = now + COOL_DOWN;
        assert!(breaker.allows(now));
        breaker.succeeded(998, now);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        breaker.succeeded(1, now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn an_accepted_flood_never_opens_it_until_a_cool_down_has_passed_without_one() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 1_000);
        assert!(!breaker.accept(now), "only an open breaker accepts");
        flood(&mut breaker, now);
        assert!(breaker.accept(now));
        assert_eq!(flood(&mut breaker, now), 10_000);
        // Results of other partitions between the dead letters of the flooded one.
        let later = now + COOL_DOWN / 2;
        breaker.succeeded(1_000, later);
        assert_eq!(flood(&mut breaker, later), 10_000);
        // Time alone does not end the flood.
        let now = later + COOL_DOWN;
        assert!(matches!(breaker.state(now), BreakerState::Accepted { .. }));
        breaker.succeeded(499, now);
        assert!(matches!(breaker.state(now), BreakerState::Accepted { .. }));
        breaker.succeeded(501, now);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(flood(&mut breaker, now), 500);
    }

    #[test]
    fn with_a_ratio_of_one_it_never_opens() {
        let now = Instant::now();
        let mut breaker = breaker(1.0, 10);
        breaker.succeeded(0, now);
        assert_eq!(flood(&mut breaker, now), 10_000);
    }

    #[test]
    fn failures_that_are_processed_again_count_once() {
        let now = Instant::now();
        let mut breaker = breaker(0.5, 100);
        for _ in 0..20 {
            assert!((0..30).all(|_| breaker.allows(now)));
            breaker.succeeded(1, now);
            breaker.succeeded(0, now);
            breaker.uncount(30);
        }
        assert_eq!(flood(&mut breaker, now), 50);
    }

    #[test]
    fn a_failure_that_was_taken_back_is_not_dropped_from_a_full_window() {
        let now = Instant::now();
        let mut breaker = breaker(0.1, 10);
        assert!(breaker.allows(now));
        breaker.uncount(1);
        breaker.succeeded(9, now);
        assert!(breaker.allows(now) && !breaker.allows(now));
    }

    /// What happens to a breaker.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Failure,
        Results(usize),
        /// An epoch with so many failures is aborted.
        Uncount(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::Failure),
            3 => (1_usize..80).prop_map(Step::Results),
            2 => (1_usize..8).prop_map(Step::Uncount),
        ]
    }

    proptest! {
        /// The model keeps every outcome as a separate element.
        #[test]
        fn it_opens_exactly_when_too_many_of_the_latest_outcomes_failed(
            window in 10_usize..60,
            ratio in 0.0..1.0,
            steps in proptest::collection::vec(step(), 0..200),
        ) {
            let now = Instant::now();
            let mut breaker = breaker(ratio, window);
            let mut latest: VecDeque<bool> = VecDeque::new();
            for step in steps {
                match step {
                    Step::Failure => latest.push_back(true),
                    Step::Results(results) => {
                        breaker.succeeded(results, now);
                        latest.extend(std::iter::repeat_n(false, results));
                    }
                    Step::Uncount(failures) => {
                        breaker.uncount(failures);
                        for _ in 0..failures {
                            if let Some(at) = latest.iter().rposition(|failed| *failed) {
                                latest.remove(at);
                            }
                        }
                    }
                }
                latest.drain(..latest.len().saturating_sub(window));
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let too_many = latest.iter().filter(|it| **it).count() as f64 > ratio * window as f64;
                if let Step::Failure = step {
                    prop_assert_eq!(breaker.allows(now), !too_many);
                }
                if too_many {
                    break;
                }
            }
        }
    }
}
