//! `nik-stream dlq list`: counts dead letters by reason, partition and replays, or lists them.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use serde_json::json;

use super::{FilterArgs, request_position};
use crate::cli::config::Files;
use crate::cli::time::format_time;
use crate::cli::written;
use crate::kafka::Operation;
use crate::kafka::dlq::dead_letter::DeadLetter;
use crate::kafka::dlq::originals::OriginalLocation;
use crate::kafka::dlq::scan::{DeadLetterTopic, Scanned};

/// Counts dead letters by reason, partition and number of replays, with the first and the last time,
/// or lists them one by one
///
/// The time of a dead letter is the timestamp of its request. The command reads committed records,
/// and stops where each partition ended at the start.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream dlq list
  nik-stream dlq list --each --reason malformed_json --since 2h
  nik-stream dlq list --key onboarding-7
  nik-stream dlq list --each --json | jq -r .place")]
pub(super) struct ListArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    filters: FilterArgs,

    /// Prints one line for each dead letter: its position, time and reason, the position of its
    /// request, and where that can be read: `there` (in its topic), `kept` (in the dead letter),
    /// `lost` (nowhere), or `elsewhere` (in a topic that is not topics.requests)
    #[arg(long)]
    each: bool,

    /// Prints one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut topic = DeadLetterTopic::open(&settings, Operation::Describe)?;
    let mut originals = topic.originals()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let filter = args.filters.filter();
    let mut table = Table::default();
    let mut foreign = 0_u64;
    if args.each && !args.json {
        let (position, request) = ("place", "request");
        written(writeln!(
            out,
            "{position:<12}  {:<24}  {:<17}  {request:<30}  original",
            "time", "reason"
        ))?;
    }
    let places = args.filters.places();
    for partition in topic.choose(&args.filters.partitions, &places)? {
        let offsets = topic.offsets(partition)?;
        for record in topic.records(partition, offsets)? {
            let Scanned::DeadLetter(dead_letter) = record? else {
                foreign += 1;
                continue;
            };
            let is_place = places.is_empty() || places.contains(&dead_letter.position);
            if !is_place || !filter.matches(dead_letter.traits()) {
                continue;
            }
            table.add(&dead_letter);
            if args.each {
                let location = originals.locate(&dead_letter)?;
                if let Err(error) = write_line(&mut out, args.json, &dead_letter, location) {
                    return written(Err(error));
                }
            }
        }
    }
    if !args.each {
        written(table.write(&mut out, args.json))?;
    }
    written(out.flush())?;
    let name = &settings.topics.failures;
    let total = table.total();
    let letters = if total == 1 { "dead letter" } else { "dead letters" };
    eprintln!("{total} {letters} in {name}; times are those of the requests, in UTC");
    if foreign > 0 {
        eprintln!("{foreign} records skipped: they lack the headers of a dead letter");
    }
    Ok(ExitCode::SUCCESS)
}

fn write_line(
    out: &mut impl Write,
    json: bool,
    dead_letter: &DeadLetter,
    location: OriginalLocation,
) -> io::Result<()> {
    let original = match location {
        OriginalLocation::RequestTopic => "there",
        OriginalLocation::DeadLetter => "kept",
        OriginalLocation::Gone => "lost",
        OriginalLocation::OtherTopic => "elsewhere",
    };
    let (position, time) = (dead_letter.position.to_string(), format_time(dead_letter.timestamp));
    let (reason, request) = (&dead_letter.reason, request_position(dead_letter));
    if json {
        let line = json!({
            "place": position, "time": time, "reason": reason, "request": request, "original": original,
            "replays": dead_letter.replays(),
        });
        writeln!(out, "{line}")
    } else {
        writeln!(out, "{position:<12}  {time:<24}  {reason:<17}  {request:<30}  {original}")
    }
}

/// Counts by reason, partition and number of replays.
#[derive(Default)]
struct Table(BTreeMap<(String, i32, u32), Row>);

#[derive(Default)]
struct Row {
    count: u64,
    first: Option<i64>,
    last: Option<i64>,
}

impl Table {
    fn add(&mut self, dead_letter: &DeadLetter) {
        let (reason, replays) = (dead_letter.reason.clone(), dead_letter.replays());
        let key = (reason, dead_letter.position.partition, replays);
        let row = self.0.entry(key).or_default();
        row.count += 1;
        row.first = row.first.or(dead_letter.timestamp).min(dead_letter.timestamp.or(row.first));
        row.last = row.last.max(dead_letter.timestamp);
    }

    fn total(&self) -> u64 {
        self.0.values().map(|row| row.count).sum()
    }

    fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if !json {
            let (reason, partition, replays, count) =
                ("reason", "partition", "replays", "failures");
            writeln!(
                out,
                "{reason:<17} {partition:>9} {replays:>7} {count:>9}  {:<24}  last",
                "first"
            )?;
        }
        for ((reason, partition, replays), row) in &self.0 {
            let (count, first, last) = (row.count, format_time(row.first), format_time(row.last));
            if json {
                let line = json!({
                    "reason": reason, "partition": partition, "replays": replays, "failures": count,
                    "first": first, "last": last,
                });
                writeln!(out, "{line}")?;
            } else {
                writeln!(
                    out,
                    "{reason:<17} {partition:>9} {replays:>7} {count:>9}  {first:<24}  {last}"
                )?;
            }
        }
        Ok(())
    }
}
