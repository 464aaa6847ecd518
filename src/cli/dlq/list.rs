//! `nik-stream dlq list`: how many failures there are, of which reason, where and when.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::json;

use super::moment::show;
use super::{Filters, source};
use crate::cli::config::Files;
use crate::cli::written;
use crate::kafka::dlq::letter::DeadLetter;
use crate::kafka::dlq::originals::OriginalLocation;
use crate::kafka::dlq::scan::{DeadLetterTopic, Seen};
use crate::kafka::{CommandError, Operation};

/// Counts failures by reason and partition, with the first and the last time; or lists them one by one
///
/// The time of a failure is that of its request. It reads what is committed, up to the end of the topic as it is at the start.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream dlq list
  nik-stream dlq list --each --reason malformed_json --since 2h
  nik-stream dlq list --each --json | jq -r .place")]
pub(super) struct ListArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    filters: Filters,

    /// One line for each failure: its place, time and reason, where its request stood, and whether that is to be had: `there`,
    /// `kept` in the failure, or `lost`
    #[arg(long)]
    each: bool,

    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut letters = DeadLetterTopic::open(&settings, Operation::Describe)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let choice = args.filters.choice();
    let mut table = Table::default();
    let mut foreign = 0_u64;
    if args.each && !args.json {
        let (place, request) = ("place", "request");
        written(writeln!(
            out,
            "{place:<12}  {:<24}  {:<17}  {request:<30}  original",
            "time", "reason"
        ))?;
    }
    let listed = letters.each(&args.filters.partitions, |seen, letters| {
        let letter = match seen {
            Seen::DeadLetter(letter) => letter,
            Seen::Foreign(_) => {
                foreign += 1;
                return Ok(());
            }
        };
        if choice.holds(&letter.reason, letter.timestamp) {
            table.add(&letter);
            if args.each {
                line(&mut out, args.json, &letter, letters.whereabouts(&letter)?)?;
            }
        }
        Ok(())
    });
    match listed {
        Err(CommandError::Listener(error)) => return written(Err(error)),
        listed => listed?,
    }
    if !args.each {
        written(table.write(&mut out, args.json))?;
    }
    written(out.flush())?;
    let topic = &settings.topics.failures;
    eprintln!("{} failures in {topic}; times are the requests' own, in UTC", table.total());
    if foreign > 0 {
        eprintln!("{foreign} records passed over: they have not the headers of a failure");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(
    out: &mut impl Write,
    json: bool,
    letter: &DeadLetter,
    whereabouts: OriginalLocation,
) -> io::Result<()> {
    let original = match whereabouts {
        OriginalLocation::There => "there",
        OriginalLocation::Kept => "kept",
        OriginalLocation::Lost => "lost",
    };
    let (place, time) = (letter.place.to_string(), show(letter.timestamp));
    let (reason, request) = (&letter.reason, source(letter));
    if json {
        let line = json!({
            "place": place, "time": time, "reason": reason, "request": request, "original": original,
        });
        writeln!(out, "{line}")
    } else {
        writeln!(out, "{place:<12}  {time:<24}  {reason:<17}  {request:<30}  {original}")
    }
}

/// Failures counted by reason and partition.
///
/// Columns of a fixed width are one format. What a crate for tables adds is a width taken from all rows: it would move from call to
/// call, and `--each`, whose rows are written as they come, could not have it.
#[derive(Default)]
struct Table(BTreeMap<(String, i32), Row>);

#[derive(Default)]
struct Row {
    count: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Table {
    fn add(&mut self, letter: &DeadLetter) {
        let place = (letter.reason.clone(), letter.place.partition);
        let row = self.0.entry(place).or_default();
        row.count += 1;
        row.first = row.first.or(letter.timestamp).min(letter.timestamp.or(row.first));
        row.last = row.last.max(letter.timestamp);
    }

    fn total(&self) -> u64 {
        self.0.values().map(|row| row.count).sum()
    }

    fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if !json {
            let (reason, partition, count) = ("reason", "partition", "failures");
            writeln!(out, "{reason:<17} {partition:>9} {count:>9}  {:<24}  last", "first")?;
        }
        for ((reason, partition), row) in &self.0 {
            let (count, first, last) = (row.count, show(row.first), show(row.last));
            if json {
                let line = json!({
                    "reason": reason, "partition": partition, "failures": count, "first": first, "last": last,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "{reason:<17} {partition:>9} {count:>9}  {first:<24}  {last}")?;
            }
        }
        Ok(())
    }
}
