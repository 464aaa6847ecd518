//! What `audit` and `compare` share: which records they read, and a bar that shows how far they are.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::WRONG_USAGE;
use super::time::parse_time;
use crate::kafka::audit::Span;
use crate::telemetry::now_ms;

/// How often the progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// The width of the bar, in characters.
const BAR: usize = 40;

/// What `audit` and `compare` read, and how they print what they found.
#[derive(clap::Args, Debug)]
pub(super) struct ReadingArgs {
    /// Only records dated from this time on: 2025-06-01T07:00:00+07:00, 2025-06-01 (midnight in
    /// UTC), or how long ago: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: i64,

    /// Only records dated before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,

    /// Records read per second at most; 0: unlimited
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) rate: u32,

    /// Prints one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

impl ReadingArgs {
    /// The span; an empty one is a mistake of the operator.
    pub(super) fn span(&self) -> Result<Span, ExitCode> {
        let mistake = if self.since > now_ms() {
            "--since is in the future"
        } else if self.until.is_some_and(|until| until <= self.since) {
            "--until is not after --since"
        } else {
            return Ok(Span { since: self.since, until: self.until });
        };
        eprintln!("nik-stream: {mistake}: no record is in this span");
        Err(ExitCode::from(WRONG_USAGE))
    }
}

/// The progress on standard error, if that is a terminal.
pub(super) struct ProgressBar {
    next: Option<Instant>,
}

impl ProgressBar {
    pub(super) fn new() -> Self {
        Self { next: io::stderr().is_terminal().then(Instant::now) }
    }

    /// Shows that `read` of `planned` records are read.
    pub(super) fn show(&mut self, read: u64, planned: u64) {
        if self.next.is_some_and(|next| Instant::now() >= next) {
            self.next = Some(Instant::now() + PROGRESS_INTERVAL);
            let percent = (read * 100).checked_div(planned).unwrap_or(0).min(100);
            let full = usize::try_from(percent).unwrap_or(0) * BAR / 100;
            eprint!("\r[{:<BAR$}] {percent:>3} %  {read} records", "#".repeat(full));
        }
    }

    pub(super) fn clear(&self) {
        if self.next.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
