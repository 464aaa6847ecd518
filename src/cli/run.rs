//! `nik-stream run`: the service.

use std::process::ExitCode;

use anyhow::Result;

use super::config::Files;
use super::{FENCED, WRONG_SETTINGS, signals};
use crate::app::App;
use crate::kafka::{Cause, Fault};
use crate::telemetry::logging;

/// Runs the service until SIGTERM or SIGINT, then commits, leaves the group and exits 0. On SIGHUP it
/// reads settings and region data again
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream run --config config/production.toml
  NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS=kafka:9092 nik-stream run

Exit codes: 0 stopped by a signal, 1 fault, 64 settings, 75 fenced by another instance, 130 second
signal")]
pub struct RunArgs {
    #[command(flatten)]
    files: Files,
}

pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let loaded = args.files.load_for_clients()?;
    let log = &loaded.settings.log;
    logging::init(log.format, &log.level)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let stop = signals::stop()?;
    let hangups = signals::hangups()?;
    let app = App::start(&loaded, &stop)?;
    let files = args.files.clone();
    let again = Box::new(move |release: &_| files.load_again(release));
    app.reloader.clone().start(hangups, again)?;
    match app.wait(&stop) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Fault::Fenced(cause)) => {
            tracing::error!(
                "fenced: another instance uses the same transactional.id (kafka.group_id and kafka.instance_id): {cause}"
            );
            Ok(FENCED.into())
        }
        Err(Fault::Fatal(cause @ Cause::TransactionTimeoutRefused)) => {
            tracing::error!("{cause}");
            Ok(WRONG_SETTINGS.into())
        }
        Err(fault) => Err(fault.into()),
    }
}
