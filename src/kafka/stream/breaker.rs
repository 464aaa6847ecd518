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
    policy: Mutex<Policy>,
    breaker: Mutex<Breaker>,
    /// Read by every worker before every batch, so it is not behind the lock.
    open: AtomicBool,
    metrics: Arc<Metrics>,
}

impl SharedBreaker {
    pub fn new(policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self {
            policy: Mutex::new(policy),
            breaker: Mutex::new(Breaker::new(&policy)),
            open: AtomicBool::new(false),
            metrics,
        }
    }

    /// Continues under another policy.
    pub fn set_policy(&self, policy: Policy) {
        if std::mem::replace(&mut *self.policy.lock(), policy) != policy {
            self.with(|breaker, _| breaker.set_policy(&policy));
        }
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
            self.log(after);
        }
        done
    }

    fn log(&self, state: BreakerState) {
        let policy = *self.policy.lock();
        match state {
            BreakerState::Open { .. } => tracing::error!(
                breaker = "open",
                max_failure_ratio = policy.ratio,
                failure_window = policy.window,
                failure_cool_down_ms =
                    u64::try_from(policy.cool_down.as_millis()).unwrap_or(u64::MAX),
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
}

impl FloodBreaker for SharedBreaker {
    fn accept(&self) -> bool {
        self.with(Breaker::accept)
    }

    fn problem(&self) -> Option<String> {
        let remaining = self.remaining()?;
        let policy = *self.policy.lock();
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
}

impl WorkerBreaker {
    pub fn new(shared: &Arc<SharedBreaker>) -> Self {
        Self { shared: Arc::clone(shared), reported: 0 }
    }

    /// Whether the workers must pause.
    pub fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Whether one more dead letter may be written after the outcomes in `epoch`.
    pub fn allows(&mut self, epoch: &Tally) -> bool {
        let results = self.take_unreported(epoch);
        self.shared.with(|breaker, now| {
            breaker.succeeded(results, now);
            breaker.allows(now)
        })
    }

    pub fn committed(&mut self, epoch: &Tally) {
        let results = self.take_unreported(epoch);
        self.shared.with(|breaker, now| breaker.succeeded(results, now));
        self.reported = 0;
    }

    /// Takes back the failures of an aborted epoch: they will be processed again.
    pub fn aborted(&mut self, epoch: &Tally) {
        let failures = usize::try_from(epoch.failed()).unwrap_or(usize::MAX);
        self.shared.with(|breaker, _| breaker.uncount(failures));
        self.reported = 0;
    }

    fn take_unreported(&mut self, epoch: &Tally) -> usize {
        let results = epoch.answered();
        let unreported = results - std::mem::replace(&mut self.reported, results);
        usize::try_from(unreported).unwrap_or(usize::MAX)
    }
}
