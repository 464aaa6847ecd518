//! `nik-stream positions`: shows and sets how far the requests were read.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::config::Files;
use super::written;
use crate::kafka::operator::{Shown, accept, set, show};
use crate::pipeline::Position;

/// Shows and sets the positions of the service's group in the topic of requests
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions show")]
pub struct PositionsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Prints the committed offset, the ledger's position, the first offset, the end and the lag of
    /// each partition
    #[command(after_help = "Example: nik-stream positions show --config /etc/nik-stream.toml")]
    Show(Files),
    Accept(AcceptArgs),
    Set(SetArgs),
    Skip(SkipArgs),
}

/// Accepts the committed offset of a partition, which differs from the ledger's position
///
/// A running service continues there within 5 seconds.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions accept 3")]
struct AcceptArgs {
    #[command(flatten)]
    files: Files,

    #[arg(value_name = "PARTITION")]
    partition: i32,
}

/// Sets the position of a partition
///
/// A running service continues there within 5 seconds if the partition is standing (see /readyz).
/// To set the position of a partition that is being read, stop the service first.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions set 3:4200")]
struct SetArgs {
    #[command(flatten)]
    files: Files,

    /// The partition and the next offset to read
    #[arg(value_name = "PARTITION:OFFSET")]
    position: Position,

    /// Even if an instance reads the partition; it continues there after its next start
    #[arg(long)]
    force: bool,
}

/// Skips records that cannot be read: they get no outcome
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions skip 3:4200 --to 4300")]
struct SkipArgs {
    #[command(flatten)]
    files: Files,

    /// The partition, and its position now
    #[arg(value_name = "PARTITION:OFFSET")]
    position: Position,

    /// The next offset to read
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to: i64,

    /// Even if an instance reads the partition; it continues there after its next start
    #[arg(long)]
    force: bool,
}

pub fn run(args: &PositionsArgs) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    match &args.command {
        Command::Show(files) => {
            let settings = files.load()?.settings;
            writeln!(
                text,
                "{:>9} {:>12} {:>12} {:>12} {:>12} {:>12}",
                "partition", "committed", "ledger", "first", "end", "lag"
            )?;
            for shown in show(&settings)? {
                let (committed, ledger) = (offset(shown.committed), offset(shown.ledger));
                let Shown { partition, low, high, .. } = shown;
                let lag = shown.lag();
                writeln!(
                    text,
                    "{partition:>9} {committed:>12} {ledger:>12} {low:>12} {high:>12} {lag:>12}"
                )?;
            }
        }
        Command::Accept(AcceptArgs { files, partition }) => {
            let settings = files.load()?.settings;
            let accepted = accept(&settings, *partition)?;
            let topic = &settings.topics.requests;
            writeln!(
                text,
                "{topic} partition {partition}: the ledger's position was {} and is {}",
                offset(accepted.ledger),
                offset(accepted.committed)
            )?;
        }
        Command::Set(SetArgs { files, position, force }) => {
            let settings = files.load()?.settings;
            let before = set(&settings, *position, None, *force)?;
            let Position { partition, offset } = position;
            let topic = &settings.topics.requests;
            writeln!(
                text,
                "{topic} partition {partition}: the position was {} and is {offset}",
                self::offset(before.committed)
            )?;
        }
        Command::Skip(SkipArgs { files, position, to, force }) => {
            let settings = files.load()?.settings;
            set(&settings, *position, Some(*to), *force)?;
            let Position { partition, offset } = position;
            let topic = &settings.topics.requests;
            writeln!(
                text,
                "{topic} partition {partition}: offsets {offset} to before {to} are skipped and get no outcome"
            )?;
        }
    }
    written(io::stdout().write_all(text.as_bytes()))
}

fn offset(offset: Option<i64>) -> String {
    offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string())
}
