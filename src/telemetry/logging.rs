//! The log: one line per event on standard error, as text or JSON. librdkafka's lines have the
//! target `librdkafka`.

use std::io::{self, IsTerminal, Write as _};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::time::Instant;
use std::{env, thread};

use tracing::{Dispatch, dispatcher, error};
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;

pub use super::repeats::RepeatLimit;
use super::repeats::{LOG_WINDOW, RepeatFilter};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text if standard error is a terminal, else JSON.
    Auto,
    /// Human-readable text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log level: {0}")]
    Level(#[from] ParseError),
    /// This process has a log already.
    #[error("the log has already been started")]
    Twice,
    /// This process has no log yet.
    #[error("the log has not been started")]
    NotStarted,
    /// The thread that reports repeated lines cannot be started.
    #[error("the log's thread: {0}")]
    Thread(io::Error),
}

/// Starts the log of this process: from now on every `tracing` event is a line on standard error.
pub fn init(format: Format, level: &str) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let colour = terminal && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    let repeats = RepeatFilter::default();
    let (subscriber, set_filter) = subscriber(json, colour, level, io::stderr, repeats.clone())?;
    dispatcher::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    let _ = SET_FILTER.set(set_filter); // the first log is the only one
    REPEATS.get_or_init(|| repeats.clone());
    let report = move || {
        loop {
            thread::sleep(LOG_WINDOW / 10);
            repeats.report(Instant::now());
        }
    };
    thread::Builder::new().name("log".to_owned()).spawn(report).map(drop).map_err(LogError::Thread)
}

/// Replaces the filter of a log.
type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Changes the level of the log of this process. librdkafka keeps the level of the start, so a more
/// detailed level shows no more of its lines.
pub fn set_level(level: &str) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(level)?;
    let set = SET_FILTER.get().ok_or(LogError::NotStarted)?;
    set(filter).map_err(|_| LogError::NotStarted)
}

static REPEATS: OnceLock<RepeatFilter> = OnceLock::new();

/// Logs how often lines were suppressed as repetitions. Call it before the process ends.
pub fn report_repeats() {
    if let Some(repeats) = REPEATS.get() {
        repeats.report(Instant::now() + LOG_WINDOW);
    }
}

fn subscriber<W>(
    json: bool,
    colour: bool,
    level: &str,
    writer: W,
    repeats: RepeatFilter,
) -> Result<(Dispatch, SetFilter), ParseError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // An error of writing the log cannot be logged.
    let lines = fmt::Subscriber::builder()
        .with_env_filter(EnvFilter::builder().parse(level)?)
        .with_writer(writer)
        .log_internal_errors(false);
    Ok(if json {
        let lines = lines.json().flatten_event(true).with_filter_reloading();
        let handle = lines.reload_handle();
        let set_filter: SetFilter = Box::new(move |filter| handle.reload(filter));
        (Dispatch::new(lines.finish().with(repeats)), set_filter)
    } else {
        let lines = lines.with_ansi(colour).with_filter_reloading();
        let handle = lines.reload_handle();
        let set_filter: SetFilter = Box::new(move |filter| handle.reload(filter));
        (Dispatch::new(lines.finish().with(repeats)), set_filter)
    })
}

/// From now on a panic logs its location without its message, which may quote the input.
pub fn hide_panic_messages() {
    panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    if dispatcher::has_been_set() {
        error!(thread, location, "panicked");
    } else {
        // Not `eprintln!`, which panics if standard error is closed.
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

    fn log(json: bool, level: &str, work: impl FnOnce()) -> Vec<String> {
        log_with(RepeatFilter::default(), json, level, work)
    }

    fn log_with(
        repeats: RepeatFilter,
        json: bool,
        level: &str,
        work: impl FnOnce(),
    ) -> Vec<String> {
        let written = Written::default();
        let writer = written.clone();
        let (subscriber, _) =
            subscriber(json, false, level, move || writer.clone(), repeats).unwrap();
        dispatcher::with_default(&subscriber, work);
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
    fn each_target_can_have_its_own_level() {
        let events = || {
            info!("ours");
            debug!("ours");
            info!(target: "librdkafka", "theirs");
            debug!(target: "librdkafka", "theirs");
        };
        assert_eq!(log(true, "info,librdkafka=debug", events).len(), 3);
        assert_eq!(log(true, "warn,librdkafka=info", events).len(), 1);
        assert_eq!(log(true, "off", events).len(), 0);
    }

    #[test]
    fn a_repeated_line_is_written_ten_times_and_then_counted() {
        let repeats = RepeatFilter::default();
        let lines = log_with(repeats.clone(), true, "info", || {
            for broker in 0..25 {
                tracing::error!(target: "librdkafka", facility = "FAIL", "broker {broker} is down");
                if broker < 3 {
                    tracing::warn!("rare");
                }
            }
            repeats.report(Instant::now());
            info!("in between");
            repeats.report(Instant::now() + LOG_WINDOW);
            tracing::error!(target: "librdkafka", facility = "FAIL", "broker 26 is down");
            repeats.report(Instant::now() + 2 * LOG_WINDOW);
        });
        let has = |text: &str| lines.iter().filter(|it| it.contains(text)).count();
        assert_eq!((has("is down"), has("rare"), has("in between")), (12, 3, 1));
        assert_eq!(has("repeated"), 1);
        let report: serde_json::Value = serde_json::from_str(&lines[14]).unwrap();
        assert_eq!(report["times"], 15);
        assert_eq!(report["level"], "ERROR");
        assert_eq!(report["message"], "repeated: broker # is down facility=\"FAIL\"");
    }

    #[test]
    fn debug_lines_are_never_suppressed() {
        let lines = log(true, "debug", || (0..25).for_each(|_| debug!("again")));
        assert_eq!(lines.len(), 25);
    }

    #[test]
    fn a_panic_is_logged_without_its_message() {
        let hook = panic::take_hook();
        let lines = log(true, "info", || {
            hide_panic_messages();
            catch_unwind(|| panic!("1234567891234567")).unwrap_err();
        });
        panic::set_hook(hook);
        assert!(lines[0].contains("panicked") && lines[0].contains("logging.rs:"), "{lines:?}");
        assert!(!lines[0].contains("1234567891234567"));
    }
}
