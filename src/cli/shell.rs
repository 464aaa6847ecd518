//! `nik-stream completions` and `nik-stream manual`: the command line for shells and for `man`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, written};

/// Prints a script that completes commands and options in a shell
#[derive(Args, Debug)]
#[command(after_help = "Example:
  nik-stream completions bash > /etc/bash_completion.d/nik-stream")]
pub struct CompletionsArgs {
    shell: Shell,
}

/// Writes the manual pages of all commands, in section 1
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream manual /usr/local/share/man/man1")]
pub struct ManualArgs {
    /// The directory for the pages, which must exist
    directory: PathBuf,
}

pub fn completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nik-stream", &mut script);
    written(io::stdout().write_all(&script))
}

pub fn manual(args: &ManualArgs) -> anyhow::Result<ExitCode> {
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .with_context(|| format!("cannot write pages into {}", args.directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
