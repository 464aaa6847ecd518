//! The flood breaker as the workers share it. Every state change is logged once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use parking_lot::Mutex;

use crate::pipeline::breaker::{Breaker, BreakerState, Policy};
use crate::pipeline::epoch::Tally;
use crate::telemetry::health::FloodBreaker;
use crate::telemetry::metrics::Metrics;

/// One breaker for all workers of an instance, so that a flood costs an instance one window of dead
/// letters and not one per worker.
pub struct SharedBreaker {
    breaker: Mutex<Breaker>,
    /// Read by every worker before every batch, so it is not behind the lock.
    open: AtomicBool,
    metrics: Arc<Metrics>,
}

impl SharedBreaker {
    pub fn new(policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self { breaker: Mutex::new(Breaker::new(policy)), open: AtomicBool::new(false), metrics }
    }

    /// Continues under another policy.
    pub fn set_policy(&self, policy: Policy) {
        self.with(|breaker, _| breaker.set_policy(policy));
    }

    /// Whether the workers must pause.
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) && self.remaining().is_some()
    }

    /// How long the breaker stays open; `None` if it is not.
    fn remaining(&self) -> Option<Duration> {
        self.with(|breaker, now| match breaker.state(now) {
            BreakerState::Open { until } => Some(until - now),
            BreakerState::Closed | BreakerState::HalfOpen | BreakerState::Accepted { .. } => None,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Breaker, Instant) -> T) -> T {
        let mut breaker = self.breaker.lock();
        let before = breaker.last_state();
        let done = work(&mut breaker, Instant::now());
        let after = breaker.last_state();
        let accepted = |state| matches!(state, BreakerState::Accepted { .. });
        if before != after && !(accepted(before) && accepted(after)) {
            let open = matches!(after, BreakerState::Open { .. });
            self.open.store(open, Ordering::Relaxed);
            self.metrics.breaker_open.set(i64::from(open));
            log(after, &breaker.policy());
        }
        done
    }
}

fn log(state: BreakerState, policy: &Policy) {
    match state {
        BreakerState::Open { .. } => tracing::error!(
            breaker = "open",
            max_failure_ratio = policy.ratio,
            failure_window = policy.window,
            failure_cool_down_ms = u64::try_from(policy.cool_down.as_millis()).unwrap_or(u64::MAX),
            "flood breaker opened: too many of the latest requests would be dead letters; the workers pause"
        ),
        BreakerState::HalfOpen => {
            tracing::warn!(
                breaker = "half_open",
                "flood breaker half-open: the workers continue on trial"
            );
        }
        BreakerState::Accepted { .. } => tracing::warn!(
            breaker = "accepted",
            "flood breaker resumed by an operator: dead letters are written until the flood is over"
        ),
        BreakerState::Closed => {
            tracing::info!(breaker = "closed", "flood breaker closed: the flood is over");
        }
    }
}

impl FloodBreaker for SharedBreaker {
    fn accept(&self) -> bool {
        self.with(Breaker::accept)
    }

    fn problem(&self) -> Option<String> {
        let remaining = self.remaining()?;
        let policy = self.with(|breaker, _| breaker.policy());
        let until = (Utc::now() + remaining).to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!(
            "the flood breaker is open until {until}: more than {} of the latest {} requests would be dead letters; POST \
             /breaker/resume accepts them",
            policy.ratio, policy.window
        ))
    }
}

/// One worker's access to the breaker. It reports the worker's results only together with a dead
/// letter or at a commit, so the lock is uncontended in the normal case.
pub struct WorkerBreaker {
    shared: Arc<SharedBreaker>,
    /// How many results of the open epoch were reported.
    reported: u64,
    /// How many dead letters of the open epoch were allowed.
    allowed: usize,
}

impl WorkerBreaker {
    pub fn new(shared: &Arc<SharedBreaker>) -> Self {
        Self { shared: Arc::clone(shared), reported: 0, allowed: 0 }
    }

    /// Whether the workers must pause.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Whether one more dead letter may be written after the outcomes in `epoch`.
    pub fn allows(&mut self, epoch: &Tally) -> bool {
        let results = self.take_unreported(epoch);
        let is_allowed = self.shared.with(|breaker, now| {
            breaker.succeeded(results, now);
            breaker.allows(now)
        });
        self.allowed += usize::from(is_allowed);
        is_allowed
    }

    pub fn committed(&mut self, epoch: &Tally) {
        let results = self.take_unreported(epoch);
        self.shared.with(|breaker, now| breaker.succeeded(results, now));
        (self.reported, self.allowed) = (0, 0);
    }

    /// Takes back the dead letters of an aborted epoch, one that could not be sent included: their
    /// requests will be processed again.
    pub fn aborted(&mut self) {
        let allowed = self.allowed;
        self.shared.with(|breaker, _| breaker.uncount(allowed));
        (self.reported, self.allowed) = (0, 0);
    }

    fn take_unreported(&mut self, epoch: &Tally) -> usize {
        let results = epoch.answered();
        let unreported = results - std::mem::replace(&mut self.reported, results);
        usize::try_from(unreported).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { ratio: 0.5, window: 10, cool_down: Duration::from_mins(1) };

    fn breaker() -> (Arc<SharedBreaker>, WorkerBreaker) {
        let shared = Arc::new(SharedBreaker::new(POLICY, Arc::new(Metrics::for_tests(&[]))));
        let worker = WorkerBreaker::new(&shared);
        (shared, worker)
    }

    fn results(count: u64) -> Tally {
        let mut tally = Tally::default();
        tally.results[0] = count;
        tally
    }

    #[test]
    fn an_open_breaker_is_reported_until_an_operator_accepts_the_dead_letters() {
        let (shared, mut worker) = breaker();
        for _ in 0..5 {
            assert!(worker.allows(&results(0)));
        }
        assert!(!worker.is_open() && shared.problem().is_none());
        assert!(!worker.allows(&results(0)) && worker.is_open());
        assert_eq!(shared.metrics.breaker_open.get(), 1);
        let (problem, remaining) = (shared.problem().unwrap(), shared.remaining().unwrap());
        assert!(problem.contains("more than 0.5 of the latest 10 requests"), "{problem}");
        assert!(remaining <= POLICY.cool_down && remaining > POLICY.cool_down / 2, "{remaining:?}");
        assert!(shared.accept());
        assert!(!worker.is_open() && shared.problem().is_none());
        assert_eq!(shared.metrics.breaker_open.get(), 0);
        assert!(worker.allows(&results(0)));
        assert!(!shared.accept(), "nothing is open");
    }

    #[test]
    fn another_policy_counts_at_once() {
        let (shared, mut worker) = breaker();
        shared.set_policy(Policy { ratio: 0.1, ..POLICY });
        assert!(worker.allows(&results(0)));
        assert!(!worker.allows(&results(0)));
    }

    #[test]
    fn each_result_of_an_epoch_is_counted_once() {
        let (_, mut worker) = breaker();
        for sent in 0..5 {
            assert!(worker.allows(&results(sent)));
        }
        // The latest ten: four results, five dead letters, and one more would be too many.
        worker.committed(&results(4));
        assert!(!worker.allows(&results(0)));
        let (_, mut worker) = breaker();
        for _ in 0..5 {
            assert!(worker.allows(&results(0)));
        }
        worker.committed(&results(10));
        for _ in 0..5 {
            assert!(worker.allows(&results(0)), "only the ten results count now");
        }
    }

    #[test]
    fn a_dead_letter_of_an_aborted_epoch_is_not_counted_even_if_it_was_not_sent() {
        let (_, mut worker) = breaker();
        let unsent = Tally::default();
        for _ in 0..20 {
            assert!(worker.allows(&unsent));
            worker.aborted();
        }
        for _ in 0..5 {
            assert!(worker.allows(&unsent));
        }
        assert!(!worker.allows(&unsent) && worker.is_open());
    }
}
