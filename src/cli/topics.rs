//! `nik-stream topics`: creates the topics and verifies them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::config::Files;
use super::written;
use crate::config::Settings;
use crate::kafka::roles::PerTopic;
use crate::kafka::topics::admin::{Admin, Created, Plan};
use crate::kafka::topics::verify::{Severity, findings, format_duration};

/// Creates and verifies the topics.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream topics create --partitions 12")]
pub struct TopicsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Create(CreateArgs),
    /// Reports everything that is wrong with the topics (exits with 1 if there is an error,
    /// with 0 if there are only warnings)
    #[command(after_help = "Example:\n  nik-stream topics verify --config /etc/nik-stream.toml")]
    Verify(Files),
}

/// Creates the topics that are missing, leaves the others unchanged, and verifies all of them
///
/// Their `max.message.bytes` follow from the settings `limits`. The ledger of `topics.positions` is
/// created with them; beside topics with the default names it is `nik.positions`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  nik-stream topics create
  nik-stream topics create --partitions 12 --replication 3 --retention 30d")]
struct CreateArgs {
    #[command(flatten)]
    files: Files,

    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(i32).range(1..=100_000))]
    partitions: i32,

    /// Replicas of each partition [default: 3, or the number of brokers if there are fewer]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    replication: Option<u16>,

    /// How long records are kept: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
    retention: Duration,

    /// How long failures are kept [default: as long as requests: a replay needs both, and a failure
    /// contains the NIKs of its request]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    failures_retention: Option<Duration>,
}

/// Parses a whole number of seconds, minutes, hours or days.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || {
        "expected a positive whole number with the unit s, m, h or d: 90s, 30m, 12h, 7d".to_owned()
    };
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(expected()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    if number == 0 {
        return Err(expected());
    }
    Ok(Duration::from_secs(u64::from(number) * unit))
}

pub fn run(args: &TopicsArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::Verify(files) => {
            let settings = files.load()?.settings;
            verify(&Admin::connect(&settings)?, &settings)
        }
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let settings = args.files.load()?.settings;
    let admin = Admin::connect(&settings)?;
    let plan = Plan {
        partitions: args.partitions,
        replicas: args.replication.map(usize::from),
        retention: args.retention,
        failures_retention: args.failures_retention.unwrap_or(args.retention),
    };
    let mut text = String::new();
    let names = PerTopic::names(&settings.topics);
    let mut describe = |name: &str, created: &Created, kept: &str| match created {
        Created::New { partitions, replicas } => {
            writeln!(text, "created {name}: partitions {partitions}, replicas {replicas}, {kept}")
        }
        Created::AlreadyExists => writeln!(text, "{name} already exists, unchanged"),
        Created::NotAllowed(right) => {
            writeln!(text, "{name} not created, and not needed without topics.positions: {right}")
        }
    };
    let created = admin.create(&plan)?;
    for (role, created) in created.topics.iter() {
        let kept = format!("retention {}", format_duration(plan.retention(role)));
        describe(names[role], created, &kept)?;
    }
    if let Some((name, created)) = &created.ledger {
        describe(name, created, "compacted")?;
    }
    written(io::stdout().write_all(text.as_bytes()))?;
    verify(&admin, &settings)
}

fn verify(admin: &Admin, settings: &Settings) -> anyhow::Result<ExitCode> {
    let found = findings(&admin.describe()?, settings);
    let mut text = String::new();
    for finding in &found {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(text, "{severity}: {}", finding.text)?;
    }
    let is_broken = found.iter().any(|it| it.severity == Severity::Error);
    if found.is_empty() {
        text.push_str("ok\n");
    }
    let exit = written(io::stdout().write_all(text.as_bytes()))?;
    Ok(if is_broken { ExitCode::FAILURE } else { exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "7", "d", "0d", "-7d", "7.5d", "7w", "99999999999d", "7é"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
