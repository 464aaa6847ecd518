//! The systemd unit, checked by systemd.

use std::process::Command;

use tempfile::TempDir;

use super::{program, read, written};
use crate::cluster::need;

const UNIT: &str = "deploy/systemd/nik-stream.service";

#[test]
fn the_unit_is_valid_and_sandboxed() {
    need("systemd-analyze");
    let unit = read(UNIT);
    let dir = TempDir::with_prefix("nik-stream-unit-").expect("a temporary directory");
    let installed = "/usr/local/bin/nik-stream";
    let here = unit.replace(installed, env!("CARGO_BIN_EXE_nik-stream"));
    let path = dir.path().join("nik-stream.service");
    std::fs::write(&path, here).expect("written");
    let said = written(Command::new("systemd-analyze").arg("verify").arg(&path));
    assert_eq!(said, "");
    // An exposure of at most 2.0 of 10; systemd 252 gives 1.2, for the network.
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=yes", "--threshold=20"]);
    written(security.arg(&path));

    let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart="));
    let (command, config) = started.unwrap().split_once(" --config ").unwrap();
    assert_eq!(command, format!("{installed} run"));
    assert!(read("docs/deployment.md").contains(config), "{config}");
    for variable in unit.split("NIK_STREAM__").skip(1) {
        let name = format!("NIK_STREAM__{}", variable.split('=').next().unwrap());
        // The name is known: only the value is refused.
        let output = program(&["config", "check"], &[(name.clone(), "x".to_owned())]).output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        assert!(!said.contains("unknown"), "{name}: {said}");
    }
}

#[test]
fn exits_that_a_restart_would_not_fix_are_final() {
    let unit = read(UNIT);
    let final_ones = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let reference = read("docs/reference.md");
    for code in final_ones.unwrap().split(' ') {
        let meaning = if code == "64" { "settings" } else { "fenced by another instance" };
        assert!(reference.contains(&format!("\n| {code} | {meaning}")), "{code}");
    }
}
