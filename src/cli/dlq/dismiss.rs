//! `nik-stream dlq dismiss`: puts dead letters aside for good.

use std::process::ExitCode;

use super::FilterArgs;
use super::replay::{Words, carry_out};
use crate::cli::config::Files;
use crate::kafka::Operation;
use crate::kafka::dlq::scan::DeadLetterTopic;

/// The longest reason in bytes: the notes of a partition have about 4000.
const MAX_WHY_BYTES: usize = 200;
/// The digits of a NIK.
const NIK_DIGITS: usize = 16;

/// Puts dead letters aside for good: no replay sends them
///
/// They stay in the failures topic. The committed offsets of the group `<kafka.group_id>-replay`
/// note them as done, with the reason, which `dlq show` prints.
#[derive(clap::Args, Debug)]
#[command(after_help = r#"Examples:
  nik-stream dlq dismiss --dry-run --place 0:5120 --why "a test of the onboarding team"
  nik-stream dlq dismiss --reason tombstone --until 7d --why "nobody waits for these"

Exit: 0 done, 1 fault, 64 settings, 75 a replay took over"#)]
pub(super) struct DismissArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    filters: FilterArgs,

    /// Why nobody needs an answer to these requests, at most 200 bytes; a NIK does not belong here
    #[arg(long, value_name = "TEXT", value_parser = parse_why)]
    why: String,

    /// Prints what would be put aside, and notes nothing
    #[arg(long)]
    dry_run: bool,

    /// Does not ask for confirmation. (Without a terminal, the command never asks.)
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &DismissArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let mut topic = DeadLetterTopic::open(&settings, Operation::Describe)?;
    let options = args.filters.options(None, 0, Some(args.why.clone()));
    let words = Words {
        question: |count| format!("Put {count} dead letters aside for good?"),
        done: "dismissed",
        expected: "would dismiss",
    };
    carry_out(&mut topic, &options, args.dry_run, args.yes, &words)
}

fn parse_why(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > MAX_WHY_BYTES || text.contains(char::is_control) {
        return Err(format!("expected a line of 1 to {MAX_WHY_BYTES} bytes"));
    }
    let mut numbers = text.split(|c: char| !c.is_numeric()).map(|digits| digits.chars().count());
    if numbers.any(|digits| digits >= NIK_DIGITS) {
        return Err("expected a reason without a NIK: it contains a number of 16 digits".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_without_a_nik() {
        assert_eq!(parse_why(" as in INC0012345 "), Ok("as in INC0012345".to_owned()));
        let long = "é".repeat(101);
        for text in
            ["", " ", "a\nb", &long, "of 3273010101900001", "x３２７３０１０１０１９００００１"]
        {
            assert!(parse_why(text).is_err(), "{text}");
        }
    }
}
