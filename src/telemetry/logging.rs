//! The log: one line an event, on standard error, for eyes or for machines. librdkafka's own lines have the target `librdkafka`.

use std::io::{self, IsTerminal, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::Instant;
use std::{env, thread};

use tracing::{Dispatch, dispatcher, error};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;

use super::repeats::{Repeats, TIME};

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text on a terminal, else JSON.
    Auto,
    /// For eyes.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level cannot be read.
    #[error("the log's level: {0}")]
    Level(#[from] ParseError),
    /// There is one already.
    #[error("a log has been started already")]
    Twice,
    /// No thread can be started.
    #[error("the log's thread: {0}")]
    Thread(io::Error),
}

/// Starts the log of this process: from here on `tracing`'s events are lines on standard error.
pub fn init(format: Format, level: &str) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let colour = terminal && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let repeats = Repeats::default();
    let lines = lines(json, colour, level, io::stderr, repeats.clone())?;
    dispatcher::set_global_default(lines).map_err(|_| LogError::Twice)?;
    REPEATS.get_or_init(|| repeats.clone());
    let tell = move || {
        loop {
            thread::sleep(TIME / 10);
            repeats.tell(Instant::now());
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(tell).map(drop).map_err(LogError::Thread)
}

static REPEATS: OnceLock<Repeats> = OnceLock::new();

/// Tells of all lines that were held back as repetitions: before the process ends.
pub fn tell_repeats() {
    if let Some(repeats) = REPEATS.get() {
        repeats.tell(Instant::now() + TIME);
    }
}

fn lines<W>(
    json: bool,
    colour: bool,
    level: &str,
    writer: W,
    repeats: Repeats,
) -> Result<Dispatch, ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Where the log cannot be written, there is no better place to say so.
    let lines = fmt::Subscriber::builder()
        .with_env_filter(EnvFilter::builder().parse(level)?)
        .with_writer(writer)
        .log_internal_errors(false);
    Ok(if json {
        Dispatch::new(lines.json().flatten_event(true).finish().with(repeats))
    } else {
        Dispatch::new(lines.with_ansi(colour).finish().with(repeats))
    })
}

/// From here on a panic says where it happened and never why: its text may quote the input.
pub fn hide_panic_texts() {
    panic::set_hook(Box::new(tell_panic));
}

fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    if dispatcher::has_been_set() {
        error!(thread, location, "panicked");
    } else {
        // A closed standard error must not panic again.
        let _ = writeln!(io::stderr(), "thread {thread} panicked at {location}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs.
    fn log(json: bool, level: &str, work: impl FnOnce()) -> Vec<String> {
        log_with(Repeats::default(), json, level, work)
    }

    fn log_with(repeats: Repeats, json: bool, level: &str, work: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let lines = lines(json, false, level, move || writer.clone(), repeats).unwrap();
        dispatcher::with_default(&lines, work);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_of_json_is_an_object_with_the_fields_of_the_event() {
        let lines = log(true, "info", || info!(partition = 3, "assigned"));
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "assigned");
        assert_eq!(line["partition"], 3);
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_line_of_text_has_no_colours_unless_asked_for() {
        let lines = log(false, "info", || info!(partition = 3, "assigned"));
        assert!(lines[0].ends_with(": assigned partition=3"), "{lines:?}");
        assert!(!lines[0].contains('\u{1b}'));
    }

    #[test]
    fn a_target_has_a_level_of_its_own() {
        let events = || {
            info!("mine");
            debug!("mine");
            info!(target: "librdkafka", "its");
            debug!(target: "librdkafka", "its");
        };
        assert_eq!(log(true, "info,librdkafka=debug", events).len(), 3);
        assert_eq!(log(true, "warn,librdkafka=info", events).len(), 1);
        assert_eq!(log(true, "off", events).len(), 0);
    }

    #[test]
    fn a_line_that_is_repeated_is_written_ten_times_and_then_counted() {
        let repeats = Repeats::default();
        let lines = log_with(repeats.clone(), true, "info", || {
            for broker in 0..25 {
                tracing::error!(target: "librdkafka", facility = "FAIL", "broker {broker} is away");
                if broker < 3 {
                    tracing::warn!("seldom");
                }
            }
            repeats.tell(Instant::now());
            info!("in between");
            repeats.tell(Instant::now() + TIME);
            tracing::error!(target: "librdkafka", facility = "FAIL", "broker 26 is away");
            repeats.tell(Instant::now() + 2 * TIME);
        });
        let has = |text: &str| lines.iter().filter(|it| it.contains(text)).count();
        assert_eq!((has("is away"), has("seldom"), has("in between")), (12, 3, 1));
        assert_eq!(has("repeated"), 1);
        let told: serde_json::Value = serde_json::from_str(&lines[14]).unwrap();
        assert_eq!(told["times"], 15);
        assert_eq!(told["level"], "ERROR");
        assert_eq!(told["message"], "repeated: broker 0 is away facility=\"FAIL\"");
    }

    #[test]
    fn the_finest_lines_are_never_held_back() {
        let lines = log(true, "debug", || (0..25).for_each(|_| debug!("again")));
        assert_eq!(lines.len(), 25);
    }

    #[test]
    fn a_panic_is_logged_without_its_text() {
        let hook = panic::take_hook();
        let lines = log(true, "info", || {
            hide_panic_texts();
            catch_unwind(|| panic!("1234567891234567")).unwrap_err();
        });
        panic::set_hook(hook);
        assert!(lines[0].contains("panicked") && lines[0].contains("logging.rs:"), "{lines:?}");
        assert!(!lines[0].contains("1234567891234567"));
    }
}
