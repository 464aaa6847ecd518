//! The command line. Data goes to standard output, messages to standard error.

mod audit;
pub mod check;
mod compare;
mod config;
mod demo;
mod dlq;
pub mod explain;
pub mod generate;
mod health;
mod mask;
mod positions;
mod reading;
pub mod regions;
mod run;
mod shell;
mod signals;
mod time;
mod token;
mod topics;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::config::Problems;
use crate::kafka::dlq::error::DlqError;
use crate::telemetry::logging;
use mask::mask;
use nik_wire::Process;

/// The exit code of a command that could not find out what it was asked for.
const UNKNOWN: u8 = 3;
/// The exit code for arguments that do not fit together.
const WRONG_USAGE: u8 = 2;
/// The exit code for wrong settings.
const WRONG_SETTINGS: u8 = 64;
/// The exit code when another instance with the same transactional id has fenced this one.
const FENCED: u8 = 75;
/// The exit code after a second signal.
const SECOND_SIGNAL: i32 = 130;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("NIK_STREAM_REVISION"), ")");

/// The version with that of an OpenSSL that only a new build of the program replaces.
fn long_version() -> Option<&'static str> {
    static TEXT: LazyLock<String> =
        LazyLock::new(|| format!("{VERSION}\n{}, linked statically", openssl::version::version()));
    cfg!(feature = "bundled-openssl").then(|| TEXT.as_str())
}

/// Validates Indonesian identity numbers (NIK) on a Kafka stream, exactly once
#[derive(Parser, Debug)]
#[command(name = "nik-stream", version = VERSION, long_version = long_version())]
#[command(after_help = "Example: nik-stream demo --duration 20")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Generate(generate::GenerateArgs),
    Explain(explain::ExplainArgs),
    Health(health::HealthArgs),
    Topics(topics::TopicsArgs),
    Dlq(dlq::DlqArgs),
    Positions(positions::PositionsArgs),
    Audit(audit::AuditArgs),
    Compare(compare::CompareArgs),
    Regions(regions::RegionsArgs),
    Token(token::TokenArgs),
    Config(config::ConfigArgs),
    Completions(shell::CompletionsArgs),
    Manual(shell::ManualArgs),
}

/// Parses the arguments, runs the command and returns the exit code:
///
/// 0 done, 1 fault, 2 usage, 3 could not be found out (`audit`, `compare`), 64 settings, 75 fenced by another instance, 130 second signal.
pub fn main() -> ExitCode {
    logging::hide_panic_messages();
    let cli = Cli::try_parse().unwrap_or_else(|error| exit_with_usage(&error));
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(args),
        Command::Generate(args) => generate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Health(args) => health::run(&args),
        Command::Topics(args) => topics::run(&args),
        Command::Dlq(args) => dlq::run(&args),
        Command::Positions(args) => positions::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Regions(args) => regions::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Manual(args) => shell::manual(&args),
    };
    outcome.unwrap_or_else(|error| {
        if let Some(problems) = error.downcast_ref::<Problems>() {
            eprintln!("{problems}");
            return ExitCode::from(WRONG_SETTINGS);
        }
        eprintln!("nik-stream: {error:#}");
        if let Some(DlqError::Fenced(_)) = error.downcast_ref() {
            return ExitCode::from(FENCED);
        }
        ExitCode::FAILURE
    })
}

/// Prints the error in the arguments, or the help text, and exits. Long numbers are masked: a
/// misplaced argument may be a NIK, and this output may end up in logs.
fn exit_with_usage(error: &clap::Error) -> ! {
    let text = error.render().to_string();
    let masked = mask(&text);
    if masked == text || !error.use_stderr() {
        error.exit();
    }
    eprint!("{masked}");
    std::process::exit(error.exit_code());
}

/// Parses `--process`.
fn process_parser() -> impl TypedValueParser<Value = Process> {
    PossibleValuesParser::new(Process::ALL.map(Process::as_str))
        .try_map(|text| Process::from_text(&text).ok_or("no such process"))
}

/// Reports why a command could not find out what it was asked for.
fn not_found_out(error: &impl Display) -> ExitCode {
    eprintln!("nik-stream: {error}");
    ExitCode::from(UNKNOWN)
}

/// A reader that closes the pipe (`| head`) is not an error.
fn written(result: io::Result<()>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
