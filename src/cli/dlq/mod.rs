//! `nik-stream dlq`: dead letters listed, shown, and sent again.

mod list;
mod moment;
mod replay;
mod show;

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::mask::mask;
use crate::kafka::dlq::letter::{Choice, DeadLetter};
use crate::kafka::dlq::replay::ReplayOptions;
use moment::moment;
use nik_wire::Reason;

/// Lists, shows and replays dead letters: the records of the topic of failures.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream dlq list --reason malformed_json --since 2h")]
pub struct DlqArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
}

/// Which failures are meant.
#[derive(Args, Debug)]
struct Filters {
    /// Only failures of this reason; several times
    #[arg(long = "reason", value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reasons: Vec<String>,

    /// Only failures in this partition of the topic of failures; several times
    #[arg(long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,

    /// Only failures from this time on. The time of a failure is that of its request: 2025-06-01T07:00:00+07:00, 2025-06-01
    /// (its midnight in UTC), or how long ago: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,

    /// Only failures before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
}

impl Filters {
    fn choice(&self) -> Choice {
        Choice {
            reasons: self.reasons.iter().cloned().collect(),
            since: self.since,
            until: self.until,
        }
    }

    fn order(&self, limit: Option<u64>, rate: u32) -> ReplayOptions {
        ReplayOptions { choice: self.choice(), partitions: self.partitions.clone(), limit, rate }
    }
}

/// Where a failure's request stood, as it is printed.
fn source(letter: &DeadLetter) -> String {
    format!("{}:{}", mask(&letter.request.topic), letter.request.place)
}

/// Runs the command.
pub fn run(args: &DlqArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
    }
}
