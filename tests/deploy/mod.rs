//! The ways to deploy, compared with the program: image, compose file, Helm chart, systemd unit, and what a release contains.

mod chart;
mod chart_peers;
mod compose;
mod compose_kills;
mod image;
mod supply;
mod systemd;

use std::process::{Command, Output};

use serde_json::Value;

use crate::docs::pages::{file, read};

/// The standard output of a command that must succeed.
fn written(command: &mut Command) -> String {
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", words(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// A tool of `script/tool`.
fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(file("script/tool"));
    command.args(arguments);
    command
}

/// The program with only these environment variables.
fn program(arguments: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    let environment = environment.iter().map(|(name, value)| (name, value));
    command.args(arguments).env_clear().envs(environment);
    command
}

/// The strings of a list.
fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|it| it.as_str().expect("a text")).collect()
}
