//! The settings: where values come from, and how problems are reported.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use nik_stream::config::{Loaded, Problems, load_from};
use nik_stream::kafka::check_property;
use tempfile::TempDir;

mod command;
mod privacy;
mod problems;
mod schema;
mod secrets;
mod sources;

/// Loads settings from the texts of files `0.toml`, `1.toml`, ... and from variables, whose names
/// are given without the prefix.
fn load(files: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, Vec<String>> {
    let directory = TempDir::new().unwrap();
    let paths: Vec<PathBuf> =
        (0..files.len()).map(|index| directory.path().join(format!("{index}.toml"))).collect();
    for (path, text) in paths.iter().zip(files) {
        fs::write(path, text).unwrap();
    }
    let variables = variables
        .iter()
        .map(|(name, value)| (OsString::from(format!("NIK_STREAM__{name}")), value.into()));
    let place = format!("{}/", directory.path().display());
    load_from(&paths, variables, check_property).map_err(|Problems(problems)| {
        let lines = problems.iter().map(ToString::to_string);
        lines.map(|line| line.replace(&place, "")).collect()
    })
}
