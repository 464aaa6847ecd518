//! The flood breaker as workers, operators and `/readyz` share it: each change of it is one line in the log.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};

use crate::pipeline::breaker::{Breaker, Policy, State};
use crate::telemetry::health::FloodBreaker;
use crate::telemetry::metrics::Metrics;

/// One breaker for all workers of an instance, so that a flood costs an instance one window and not one for each worker.
pub struct SharedBreaker {
    policy: Policy,
    breaker: Mutex<Breaker>,
    /// What a worker looks at before each record.
    open: AtomicBool,
    metrics: Arc<Metrics>,
}

impl SharedBreaker {
    /// A closed one.
    pub fn new(policy: Policy, metrics: Arc<Metrics>) -> Self {
        Self {
            policy,
            breaker: Mutex::new(Breaker::new(&policy)),
            open: AtomicBool::new(false),
            metrics,
        }
    }

    /// Whether workers must pause.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) && self.remaining().is_some()
    }

    /// How long it stays open; `None` when it is not.
    fn remaining(&self) -> Option<Duration> {
        self.with(|breaker, now| match breaker.state(now) {
            State::Open { until } => Some(until - now),
            State::Closed | State::HalfOpen | State::Accepted { .. } => None,
        })
    }

    /// Whether one more dead letter may go out, after so many `results` that were not told of yet.
    pub fn allows(&self, results: usize) -> bool {
        self.with(|breaker, now| {
            breaker.succeeded(results, now);
            breaker.allows(now)
        })
    }

    /// Notes results.
    pub fn succeeded(&self, results: usize) {
        self.with(|breaker, now| breaker.succeeded(results, now));
    }

    /// Takes failures back whose epoch was given up.
    pub fn take_back(&self, failures: usize) {
        self.with(|breaker, _| breaker.take_back(failures));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Breaker, Instant) -> T) -> T {
        let mut breaker = self.breaker.lock();
        let before = breaker.last_state();
        let done = work(&mut breaker, Instant::now());
        let after = breaker.last_state();
        let accepted = |state| matches!(state, State::Accepted { .. });
        if before != after && !(accepted(before) && accepted(after)) {
            let open = matches!(after, State::Open { .. });
            self.open.store(open, Ordering::Relaxed);
            self.metrics.breaker_open.set(i64::from(open));
            self.tell(after);
        }
        done
    }

    fn tell(&self, state: State) {
        match state {
            State::Open { .. } => tracing::error!(
                max_failure_ratio = self.policy.ratio,
                failure_window = self.policy.window,
                failure_cool_down_ms =
                    u64::try_from(self.policy.cool_down.as_millis()).unwrap_or(u64::MAX),
                "flood breaker opens: too many of the latest requests would be dead letters; the workers pause"
            ),
            State::HalfOpen => {
                tracing::warn!("flood breaker half-opens: the workers try again");
            }
            State::Accepted { .. } => tracing::warn!(
                "flood breaker resumed by an operator: dead letters go out until the flood is over"
            ),
            State::Closed => tracing::info!("flood breaker closes: the flood is over"),
        }
    }
}

impl FloodBreaker for SharedBreaker {
    fn accept(&self) -> bool {
        self.with(Breaker::accept)
    }

    fn problem(&self) -> Option<String> {
        let remaining = self.remaining()?;
        let until = (Utc::now() + remaining).to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!(
            "the flood breaker is open until {until}: more than {} of the latest {} requests would be dead letters; POST \
             /breaker/resume accepts them",
            self.policy.ratio, self.policy.window
        ))
    }
}
