//! `nik-stream dlq replay`: sends the requests behind dead letters again.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::time::format_time;
use super::{FilterArgs, request_position};
use crate::cli::config::Files;
use crate::cli::written;
use crate::kafka::Operation;
use crate::kafka::dlq::dead_letter::DeadLetter;
use crate::kafka::dlq::error::DlqError;
use crate::kafka::dlq::replay::{ReplayEvent, ReplayOptions, ReplaySummary, replay};
use crate::kafka::dlq::scan::DeadLetterTopic;

/// How often the progress is printed on a terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Sends the requests behind dead letters again, each exactly once
///
/// They go to the requests topic with their original key, value, headers, partition and
/// timestamp, so that ages are computed for the original day. The committed offsets of the group
/// `<kafka.group_id>-replay` record what was sent: a second run sends none of it again, and a run
/// that was killed continues where it stopped.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream dlq replay --dry-run --reason internal
  nik-stream dlq replay --reason internal --rate 200

Exit: 0 done, 1 fault, 64 settings, 75 another replay took over")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    filters: FilterArgs,

    /// Prints what would be sent, and sends nothing
    #[arg(long)]
    dry_run: bool,

    /// Does not ask for confirmation. (Without a terminal, the command never asks.)
    #[arg(long)]
    yes: bool,

    /// Requests per second at most; 0: unlimited
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u32,

    /// How many requests are sent at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut topic = DeadLetterTopic::open(&settings, Operation::Read)?;
    let options = args.filters.options(args.limit, args.rate);
    if args.dry_run {
        return dry_run(&mut topic, &options);
    }
    if !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal() {
        let expected = replay(&mut topic, &options, true, &mut |_| Ok(()))?;
        if !confirm(expected.sent, &settings.topics.requests)? {
            eprintln!("nothing was sent");
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut progress_due = io::stderr().is_terminal().then(|| Instant::now() + PROGRESS_INTERVAL);
    let summary = replay(&mut topic, &options, false, &mut |event| {
        match event {
            ReplayEvent::Committed(sent) => {
                if progress_due.is_some_and(|due| Instant::now() >= due) {
                    eprintln!("{sent} sent so far");
                    progress_due = Some(Instant::now() + PROGRESS_INTERVAL);
                }
            }
            event => report_skipped(&event),
        }
        Ok(())
    })?;
    print_summary(summary, "sent")
}

fn dry_run(topic: &mut DeadLetterTopic, options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let summary = replay(topic, options, true, &mut |event| {
        match event {
            ReplayEvent::Sending(dead_letter) => {
                writeln!(out, "would send  {}", describe(dead_letter))?;
            }
            event => report_skipped(&event),
        }
        Ok(())
    });
    match summary {
        Err(DlqError::Output(error)) => written(Err(error)),
        summary => {
            written(out.flush())?;
            drop(out);
            print_summary(summary?, "would send")
        }
    }
}

fn describe(dead_letter: &DeadLetter) -> String {
    let (position, time) = (dead_letter.position.to_string(), format_time(dead_letter.timestamp));
    let (reason, request) = (&dead_letter.reason, request_position(dead_letter));
    format!("{position:<12}  {time:<24}  {reason:<17}  {request}")
}

/// Reports a record that cannot be replayed.
fn report_skipped(event: &ReplayEvent<'_>) {
    match event {
        ReplayEvent::Lost(dead_letter) => eprintln!("lost        {}", describe(dead_letter)),
        ReplayEvent::Foreign(position) => eprintln!("skipped     {position}: not a dead letter"),
        ReplayEvent::Sending(_) | ReplayEvent::Committed(_) => {}
    }
}

fn print_summary(summary: ReplaySummary, sent: &str) -> anyhow::Result<ExitCode> {
    let lines = [
        (sent, summary.sent),
        ("already replayed", summary.already_replayed),
        ("lost", summary.lost),
        ("not a dead letter", summary.foreign),
        ("filtered out", summary.filtered_out),
    ];
    let lines = lines.map(|(name, count)| format!("{name:<17}{count:>9}\n"));
    written(io::stdout().write_all(lines.concat().as_bytes()))
}

fn confirm(count: u64, topic: &str) -> io::Result<bool> {
    eprint!("Send {count} requests again to {topic}? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
