//! `nik-stream topics`: creates the topics and verifies them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::config::Files;
use super::time::parse_duration;
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

    /// How long failures are kept [default: as long as requests: a failure contains the NIKs of its
    /// request, and a replay may need the request]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    failures_retention: Option<Duration>,
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
