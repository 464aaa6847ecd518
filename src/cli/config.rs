//! `nik-stream config`: checks the settings, shows where each value comes from, and describes them
//! to editors.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::written;
use crate::config::{Loaded, Problems, load_again, load_candidate, schema};
use crate::kafka::{check_property, refusals};
use crate::regions::Release;

/// Checks and shows the settings
#[derive(Args, Debug)]
#[command(after_help = "Example: nik-stream config check --config /etc/nik-stream.toml")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Prints all problems of the settings at once (exit 64), or "ok" and warnings (exit 0)
    #[command(after_help = "Example:\n  nik-stream config check --config /etc/nik-stream.toml")]
    Check(Files),
    /// Prints the effective settings as TOML, each with its origin; secrets are hidden
    #[command(after_help = "Example:\n  NIK_STREAM__KAFKA__WORKERS=4 nik-stream config show")]
    Show(Files),
    /// Prints a JSON Schema of the settings, for editors that check and complete TOML
    #[command(after_help = "Example:\n  nik-stream config schema > settings.schema.json")]
    Schema,
}

/// The files that settings come from, in addition to the defaults and the environment.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// A settings file in TOML; may be repeated, later files override earlier ones
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Files {
    /// Loads the settings from these files and the environment.
    pub fn load(&self) -> Result<Loaded, Problems> {
        self.load_with(&[])
    }

    /// The same, and over them the settings of a candidate.
    pub fn load_with(&self, candidate: &[PathBuf]) -> Result<Loaded, Problems> {
        load_candidate(&self.files, env::vars_os(), candidate, check_property)
    }

    /// Loads the settings again, for a process in which `release` is in force.
    pub fn load_again(&self, release: &Arc<Release>) -> Result<Loaded, Problems> {
        load_again(&self.files, env::vars_os(), check_property, release)
    }

    /// As [`Self::load`], with the problems that librdkafka has only when it makes a client.
    pub fn load_for_clients(&self) -> Result<Loaded, Problems> {
        let loaded = self.load()?;
        let refusals = refusals(&loaded.settings);
        if refusals.is_empty() {
            return Ok(loaded);
        }
        Err(Problems(refusals.iter().map(|reason| loaded.refused(reason)).collect()))
    }
}

pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let text = match &args.command {
        ConfigCommand::Check(files) => {
            for warning in files.load_for_clients()?.warnings {
                eprintln!("warning: {warning}");
            }
            "ok\n".to_owned()
        }
        ConfigCommand::Show(files) => files.load()?.show(),
        ConfigCommand::Schema => format!("{:#}\n", schema()),
    };
    written(io::stdout().write_all(text.as_bytes()))
}
