//! The command line: what each command takes and prints. Data goes to standard output, words to standard error.

pub mod check;
pub mod generate;
pub mod regions;

use std::io;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::codec::Process;

/// The values of `--process`.
fn process_parser() -> impl TypedValueParser<Value = Process> {
    PossibleValuesParser::new(Process::ALL.map(Process::as_str))
        .try_map(|text| Process::from_text(&text).ok_or("no such process"))
}

/// A reader who has seen enough (`| head`) is no fault.
fn written(result: io::Result<()>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
