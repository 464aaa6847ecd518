//! `nik-stream positions`: how far the group has read, and an operator's decision where to continue.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::config::Files;
use super::written;
use crate::kafka::positions::{PartitionPositions, Positions};
use crate::pipeline::Position;

/// Shows how far the requests were read, and sets where they continue
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions show")]
pub struct PositionsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows the group's position and the ledger's in each partition
    #[command(after_help = "Example:\n  nik-stream positions show --config /etc/nik-stream.toml")]
    Show(Files),
    Accept(AcceptArgs),
    Set(SetArgs),
}

/// Continues at the group's position where it differs from the ledger's
///
/// The partition must not be read at the moment: either it stands, or the service is stopped.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions accept 3")]
struct AcceptArgs {
    #[command(flatten)]
    files: Files,

    #[arg(required = true, value_name = "PARTITION")]
    partitions: Vec<i32>,
}

/// Continues at these offsets, in the group and in the ledger
///
/// The partition must not be read at the moment: either it stands, or the service is stopped.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream positions set 3:4211")]
struct SetArgs {
    #[command(flatten)]
    files: Files,

    #[arg(required = true, value_name = "PARTITION:OFFSET")]
    positions: Vec<Position>,
}

/// Runs the command.
pub fn run(args: &PositionsArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.command {
        Command::Show(files) => {
            let positions = Positions::connect(&files.load()?.settings)?;
            let all: Vec<_> = (0..positions.count).collect();
            table(&positions.read(&all)?)?
        }
        Command::Accept(args) => {
            let positions = Positions::connect(&args.files.load()?.settings)?;
            continued(&positions.accept(&args.partitions)?)?
        }
        Command::Set(args) => {
            let positions = Positions::connect(&args.files.load()?.settings)?;
            positions.check(&args.positions)?;
            positions.set(&args.positions)?;
            continued(&args.positions)?
        }
    };
    written(io::stdout().write_all(text.as_bytes()))
}

fn continued(positions: &[Position]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for Position { partition, offset } in positions {
        writeln!(text, "partition {partition} continues at {offset}")?;
    }
    Ok(text)
}

fn table(all: &[PartitionPositions]) -> Result<String, std::fmt::Error> {
    let mut text = format!(
        "{:>9}  {:>12}  {:>12}  {:>12}  {:>12}  {}\n",
        "partition", "first", "end", "group", "ledger", "difference"
    );
    let number = |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |it| it.to_string());
    for row in all {
        let difference = match (row.group, row.ledger) {
            (Some(group), Some(ledger)) if group < ledger => "the group is behind",
            (Some(group), Some(ledger)) if group > ledger => "the group is ahead",
            (None, Some(_)) => "the group has none",
            _ => "",
        };
        let (group, ledger) = (number(row.group), number(row.ledger));
        let PartitionPositions { partition, low, high, .. } = row;
        let line = format!(
            "{partition:>9}  {low:>12}  {high:>12}  {group:>12}  {ledger:>12}  {difference}"
        );
        writeln!(text, "{}", line.trim_end())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_difference() {
        let row = |partition, group, ledger| {
            let (low, high) = (0, 100);
            PartitionPositions { partition, low, high, group, ledger }
        };
        let rows = [
            row(0, Some(90), Some(90)),
            row(1, Some(80), Some(90)),
            row(2, Some(95), Some(90)),
            row(3, None, Some(90)),
            row(4, Some(7), None),
        ];
        let text = table(&rows).unwrap();
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(lines[1], ["0", "0", "100", "90", "90"]);
        assert_eq!(lines[2][3..], ["80", "90", "the", "group", "is", "behind"]);
        assert_eq!(lines[3][3..], ["95", "90", "the", "group", "is", "ahead"]);
        assert_eq!(lines[4][3..], ["-", "90", "the", "group", "has", "none"]);
        assert_eq!(lines[5][3..], ["7", "-"]);
    }
}
