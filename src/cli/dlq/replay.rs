//! `nik-stream dlq replay`: originals sent again, each once.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::ProgressBar;

use super::moment::show;
use super::{Filters, source};
use crate::cli::config::Files;
use crate::cli::written;
use crate::kafka::dlq::letter::DeadLetter;
use crate::kafka::dlq::replay::{ReplayEvent, ReplayOptions, ReplaySummary, replay};
use crate::kafka::dlq::scan::DeadLetterTopic;
use crate::kafka::{CommandError, Operation};

/// Sends the requests behind failures again, each exactly once
///
/// They go to the topic of requests with key, value, headers, partition and timestamp as they were, so that the answer is judged
/// at the same day. What was sent is kept in the positions of the group `<kafka.group_id>-replay`: a second run sends none of it
/// again, and a run that was killed goes on where it stopped.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream dlq replay --dry-run --reason internal
  nik-stream dlq replay --reason internal --rate 200

Exit: 0 done, 1 fault, 64 settings, 75 another replay took over")]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    filters: Filters,

    /// Tells what would be sent, and sends nothing
    #[arg(long)]
    dry_run: bool,

    /// Does not ask first. (Without a terminal it never asks.)
    #[arg(long)]
    yes: bool,

    /// Requests a second at most; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 1000)]
    rate: u32,

    /// Requests in all at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Runs the command.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut letters = DeadLetterTopic::open(&settings, Operation::Read)?;
    let order = args.filters.order(args.limit, args.rate);
    if args.dry_run {
        return dry_run(&mut letters, &order);
    }
    if !args.yes && io::stdin().is_terminal() && io::stderr().is_terminal() {
        let expected = replay(&mut letters, &order, false, &mut |_| Ok(()))?;
        if !agreed(expected.sent, &settings.topics.requests)? {
            eprintln!("nothing was sent");
            return Ok(ExitCode::SUCCESS);
        }
    }
    // Shown on a terminal only.
    let progress = ProgressBar::new_spinner();
    let account = replay(&mut letters, &order, true, &mut |told| {
        match told {
            ReplayEvent::Committed(sent) => progress.set_message(format!("{sent} sent")),
            told => progress.suspend(|| complain(&told)),
        }
        progress.tick();
        Ok(())
    });
    progress.finish_and_clear();
    tell(account?, "sent")
}

fn dry_run(letters: &mut DeadLetterTopic, order: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let account = replay(letters, order, false, &mut |told| {
        match told {
            ReplayEvent::Sending(letter) => writeln!(out, "would send  {}", line(letter))?,
            told => complain(&told),
        }
        Ok(())
    });
    match account {
        Err(CommandError::Listener(error)) => written(Err(error)),
        account => {
            written(out.flush())?;
            drop(out);
            tell(account?, "would send")
        }
    }
}

fn line(letter: &DeadLetter) -> String {
    let (place, time) = (letter.place.to_string(), show(letter.timestamp));
    format!("{place:<12}  {time:<24}  {:<17}  {}", letter.reason, source(letter))
}

/// What stays behind.
fn complain(told: &ReplayEvent<'_>) {
    match told {
        ReplayEvent::Lost(letter) => eprintln!("lost        {}", line(letter)),
        ReplayEvent::Foreign(place) => eprintln!("no failure  {place}"),
        ReplayEvent::Sending(_) | ReplayEvent::Committed(_) => {}
    }
}

fn tell(account: ReplaySummary, sent: &str) -> anyhow::Result<ExitCode> {
    let ReplaySummary { sent: count, before, lost, foreign, left } = account;
    let text = format!(
        "{sent:<17}{count:>9}\n{:<17}{before:>9}\n{:<17}{lost:>9}\n{:<17}{foreign:>9}\n{:<17}{left:>9}\n",
        "done before", "lost", "no failure", "not chosen"
    );
    written(io::stdout().write_all(text.as_bytes()))
}

fn agreed(count: u64, topic: &str) -> io::Result<bool> {
    eprint!("Send {count} requests again to {topic}? [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
