//! `nik-stream config`: what is wrong with the settings, and where each comes from.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::written;
use crate::config::{Loaded, Problems, load_from};
use crate::kafka::check_property;

/// Checks and shows the settings.
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream config check --config /etc/nik-stream.toml")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Tells every problem of the settings at once, or says that there is none (exit 0; with problems 64)
    #[command(after_help = "Example:\n  nik-stream config check --config /etc/nik-stream.toml")]
    Check(Files),
    /// Prints the settings in force as TOML, each with where it comes from; secrets are hidden
    #[command(after_help = "Example:\n  NIK_STREAM__KAFKA__WORKERS=4 nik-stream config show")]
    Show(Files),
}

/// Where settings come from, beside the defaults and the environment.
#[derive(Args, Debug)]
pub struct Files {
    /// A file of settings in TOML; several times, later files over earlier ones
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Files {
    /// The settings that these files and the environment give.
    pub fn load(&self) -> Result<Loaded, Problems> {
        load_from(&self.files, env::vars_os(), check_property)
    }
}

/// Runs the command. Problems are the error, see [`Problems`].
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.command {
        Command::Check(files) => files.load().map(|_| "ok\n".to_owned())?,
        Command::Show(files) => files.load()?.show(),
    };
    written(io::stdout().write_all(text.as_bytes()))
}
