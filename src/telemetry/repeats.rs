//! Limits what repeats, such as the log lines of many clients whose brokers are down.
//!
//! (The crate `tracing-throttle` treats every number in a text as a different text and needs an
//! async runtime.)

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Bounds the memory: at this number of different keys, all counts start from zero.
const MAX_KEYS: usize = 1000;
/// How often the log writes a line within [`LOG_WINDOW`].
const LOG_LIMIT: usize = 10;
pub(super) const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Allows each key, such as a log line, a limited number of times per window. A window begins with
/// the key's first occurrence.
#[derive(Debug)]
pub struct RepeatLimit<K> {
    limit: usize,
    window: Duration,
    counts: Mutex<HashMap<K, Count>>,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    times: usize,
}

impl<K: Eq + Hash> RepeatLimit<K> {
    /// Allows each key `limit` times per `window`.
    pub fn new(limit: usize, window: Duration) -> Self {
        Self { limit, window, counts: Mutex::default() }
    }

    /// Counts an occurrence of `key`, and returns whether it is within the limit.
    pub fn allows(&self, key: K) -> bool {
        self.allows_at(key, Instant::now())
    }

    /// As [`Self::allows`], at a time that the caller knows.
    pub(super) fn allows_at(&self, key: K, now: Instant) -> bool {
        self.take_expired(now);
        self.count(key, now)
    }

    /// Forgets all keys, so that each is allowed again at once.
    pub fn reset(&self) {
        self.counts.lock().clear();
    }

    fn count(&self, key: K, now: Instant) -> bool {
        let mut counts = self.counts.lock();
        if counts.len() >= MAX_KEYS {
            counts.clear();
        }
        let count = counts.entry(key).or_insert(Count { since: now, times: 0 });
        count.times += 1;
        count.times <= self.limit
    }

    /// Removes the keys whose window is over at `now`; returns how far each exceeded the limit.
    fn take_expired(&self, now: Instant) -> Vec<(K, usize)> {
        let is_over = |_: &K, count: &mut Count| now - count.since >= self.window;
        let mut counts = self.counts.lock();
        let expired = counts.extract_if(is_over);
        expired.map(|(key, count)| (key, count.times.saturating_sub(self.limit))).collect()
    }
}

/// A `tracing` layer that limits every line of the log and counts the suppressed ones. Lines that
/// differ only in numbers count as the same line. Clones share the counts.
#[derive(Clone)]
pub(super) struct RepeatFilter(Arc<RepeatLimit<(Level, String)>>);

impl Default for RepeatFilter {
    fn default() -> Self {
        Self(Arc::new(RepeatLimit::new(LOG_LIMIT, LOG_WINDOW)))
    }
}

impl RepeatFilter {
    /// Logs how often the lines whose window was over at `now` were suppressed.
    pub(super) fn report(&self, now: Instant) {
        let expired = self.0.take_expired(now).into_iter();
        for ((level, line), times) in expired.filter(|(_, times)| *times > 0) {
            match level {
                Level::ERROR => error!(times, "repeated: {line}"),
                Level::WARN => warn!(times, "repeated: {line}"),
                _ => info!(times, "repeated: {line}"),
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for RepeatFilter {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return true; // debugging needs every line
        }
        let mut line = Line::default();
        event.record(&mut line);
        self.0.count((level, without_digits(&line.0)), Instant::now())
    }
}

/// `text` with `#` in place of each number between other characters.
fn without_digits(text: &str) -> String {
    let parts = text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("#")
}

/// The message, then the fields, formatted as in a text log.
#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        let name = field.name();
        let written = if name == "message" {
            write!(self.0, "{space}{value:?}")
        } else {
            write!(self.0, "{space}{name}={value:?}")
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_allowed_as_often_as_its_limit_says_in_each_window() {
        let limit = RepeatLimit::new(2, Duration::from_secs(1));
        let start = Instant::now();
        let allows = |line, ms| limit.allows_at(line, start + Duration::from_millis(ms));
        let found = [0, 500, 999, 1000, 1001, 1999, 2500].map(|ms| allows("topic 1", ms));
        assert_eq!(found, [true, true, false, true, true, false, true]);
        assert!(allows("topic 2", 2500) && allows("topic 2", 2500), "another line");
        assert!(!allows("topic 2", 2500));
        limit.reset();
        assert!(allows("topic 2", 2500));
    }

    #[test]
    fn numbers_do_not_make_lines_different() {
        assert_eq!(without_digits("broker 12 at [::1]:9092"), "broker # at [::#]:");
    }
}
