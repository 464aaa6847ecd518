//! Lines that come again and again, as from many clients whose brokers are away: some are written, the rest is counted.
//!
//! (`tracing-throttle` does this as well, but takes each number in a text for another text, and wants a runtime.)

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, error, info, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How often a line is written within the time below.
const OFTEN: usize = 10;
/// After this time what was held back is told as one line, and counted anew.
pub const TIME: Duration = Duration::from_secs(10);

/// The lines of late, by their level and their text without its digits. Clones share them.
#[derive(Clone, Default)]
pub struct Repeats(Arc<Mutex<Lines>>);

type Lines = HashMap<(Level, String), Line>;

struct Line {
    since: Instant,
    text: String,
    count: usize,
}

impl Repeats {
    /// Tells of the lines held back that began before `now` less [`TIME`].
    pub fn tell(&self, now: Instant) {
        let old = |_: &(Level, String), line: &mut Line| now - line.since >= TIME;
        let lines: Vec<_> = self.lock().extract_if(old).collect();
        for ((level, _), Line { text, count, .. }) in lines {
            let Some(times) = count.checked_sub(OFTEN).filter(|times| *times > 0) else {
                continue;
            };
            match level {
                Level::ERROR => error!(times, "repeated: {text}"),
                Level::WARN => warn!(times, "repeated: {text}"),
                _ => info!(times, "repeated: {text}"),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return true; // who asks for the finest lines wants all of them
        }
        let mut text = Text::default();
        event.record(&mut text);
        let Text(text) = text;
        let key = text.replace(|c: char| c.is_ascii_digit(), "");
        let mut lines = self.lock();
        let line = lines.entry((level, key)).or_insert_with(|| Line {
            since: Instant::now(),
            text,
            count: 0,
        });
        line.count += 1;
        line.count <= OFTEN
    }
}

/// The message, then the fields, as a line of text would have them.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        let name = field.name();
        let written = if name == "message" {
            write!(self.0, "{space}{value:?}")
        } else {
            write!(self.0, "{space}{name}={value:?}")
        };
        debug_assert!(written.is_ok(), "a String takes all");
    }
}
