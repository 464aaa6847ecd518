//! `nik-stream dlq replay`: sends the requests behind dead letters again.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{FilterArgs, request_position};
use crate::cli::config::Files;
use crate::cli::time::format_time;
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
/// timestamp, so that ages are computed for the original day. The header nik-replays says how often
/// a request was replayed. The committed offsets of the group `<kafka.group_id>-replay` record what
/// was sent: a second run sends none of it again, and a run that was killed continues where it
/// stopped.
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
    let options = args.filters.options(args.limit, args.rate, None);
    let words = Words {
        question: |count| format!("Send {count} requests again to {}?", settings.topics.requests),
        done: "sent",
        expected: "would send",
    };
    carry_out(&mut topic, &options, args.dry_run, args.yes, &words)
}

/// What a command says about the dead letters that it deals with.
pub(super) struct Words<Question> {
    pub question: Question,
    pub done: &'static str,
    pub expected: &'static str,
}

/// Replays or dismisses, after a question on a terminal.
pub(super) fn carry_out(
    topic: &mut DeadLetterTopic,
    options: &ReplayOptions,
    dry_run: bool,
    yes: bool,
    words: &Words<impl Fn(u64) -> String>,
) -> anyhow::Result<ExitCode> {
    if dry_run {
        return print_expected(topic, options, words.expected);
    }
    if !yes && io::stdin().is_terminal() && io::stderr().is_terminal() {
        let expected = replay(topic, options, true, &mut |_| Ok(()))?;
        if !confirm(&(words.question)(expected.chosen))? {
            eprintln!("nothing was {}", words.done);
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut progress_due = io::stderr().is_terminal().then(|| Instant::now() + PROGRESS_INTERVAL);
    let summary = replay(topic, options, false, &mut |event| {
        match event {
            ReplayEvent::Committed(count) => {
                if progress_due.is_some_and(|due| Instant::now() >= due) {
                    eprintln!("{count} {} so far", words.done);
                    progress_due = Some(Instant::now() + PROGRESS_INTERVAL);
                }
            }
            event => report_skipped(&event),
        }
        Ok(())
    })?;
    print_summary(summary, words.done)
}

fn print_expected(
    topic: &mut DeadLetterTopic,
    options: &ReplayOptions,
    expected: &str,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let summary = replay(topic, options, true, &mut |event| {
        match event {
            ReplayEvent::Chosen(dead_letter) => {
                writeln!(out, "{expected}  {}", describe(dead_letter))?;
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
            print_summary(summary?, expected)
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
        ReplayEvent::Chosen(_) | ReplayEvent::Committed(_) => {}
    }
}

fn print_summary(summary: ReplaySummary, done: &str) -> anyhow::Result<ExitCode> {
    let lines = [
        (done, summary.chosen),
        ("already done", summary.already_done),
        ("lost", summary.lost),
        ("not a dead letter", summary.foreign),
        ("filtered out", summary.filtered_out),
    ];
    let lines = lines.map(|(name, count)| format!("{name:<17}{count:>9}\n"));
    written(io::stdout().write_all(lines.concat().as_bytes()))
}

fn confirm(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
