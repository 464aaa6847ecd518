//! `nik-stream dlq`: lists, shows, replays and dismisses dead letters.

mod dismiss;
mod list;
mod replay;
mod show;

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use crate::cli::mask::mask;
use crate::cli::time::parse_time;
use crate::kafka::dlq::dead_letter::{DeadLetter, Filter, KeyHash};
use crate::kafka::dlq::replay::ReplayOptions;
use crate::pipeline::Position;
use nik_wire::Reason;

/// Lists, shows, replays and dismisses dead letters: the records of the failures topic
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
    Dismiss(dismiss::DismissArgs),
}

/// Chooses dead letters.
#[derive(Args, Debug)]
struct FilterArgs {
    /// Only dead letters with this reason; can be repeated
    #[arg(long = "reason", value_name = "REASON", value_parser = PossibleValuesParser::new(Reason::ALL.map(Reason::as_str)))]
    reasons: Vec<String>,

    /// Only dead letters of requests with this key; can be repeated
    #[arg(long = "key", value_name = "K")]
    keys: Vec<String>,

    /// Only the dead letter at this place, PARTITION:OFFSET, as printed by `dlq list --each`; can be
    /// repeated
    #[arg(long = "place", value_name = "P:O")]
    places: Vec<Position>,

    /// Only dead letters in this partition of the failures topic; can be repeated
    #[arg(long = "partition", value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partitions: Vec<i32>,

    /// Only dead letters from this time on. The time of a dead letter is the timestamp of its
    /// request. Accepted are 2025-06-01T07:00:00+07:00, 2025-06-01 (midnight in UTC), or how long
    /// ago: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<i64>,

    /// Only dead letters before this time
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<i64>,
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        Filter {
            reasons: self.reasons.iter().cloned().collect(),
            keys: self.keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect(),
            since: self.since,
            until: self.until,
        }
    }

    fn places(&self) -> BTreeSet<Position> {
        self.places.iter().copied().collect()
    }

    fn options(&self, limit: Option<u64>, rate: u32, dismiss: Option<String>) -> ReplayOptions {
        let (filter, partitions) = (self.filter(), self.partitions.clone());
        ReplayOptions { filter, partitions, places: self.places(), dismiss, limit, rate }
    }
}

/// The position of the request as it is printed.
fn request_position(dead_letter: &DeadLetter) -> String {
    format!("{}:{}", mask(&dead_letter.request.topic), dead_letter.request.position)
}

pub fn run(args: &DlqArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Dismiss(args) => dismiss::run(args),
    }
}
