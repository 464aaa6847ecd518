//! Every command on a page works: this runs them, beside a running instance on a real Kafka.

use std::process::Command;

use super::pages::{blocks, column, file, pages};
use crate::cluster::{NewRecord, shared};
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, stop};

/// The programs whose commands are not run here, and why.
const SKIPPED: [(&str, &str); 8] = [
    ("script/demo", "it makes a release build; `demo` has its own tests"),
    ("script/test", "it runs this test"),
    ("script/tool", "the advisories need a network"),
    ("jq", "tests/registry.rs has a schema registry for them"),
    ("docker", "there is no container engine"),
    ("helm", "there is no cluster"),
    ("systemctl", "there is no systemd"),
    ("install", "it writes to the system"),
];

/// The commands in the blocks of a page, without comments, one per line.
fn commands(page: &str) -> Vec<String> {
    let blocks = blocks(page).into_iter();
    let shell = blocks.filter(|(language, _)| *language == "sh");
    let lines = shell.flat_map(|(_, text)| {
        let text = text.replace("\\\n", " ");
        let lines = text.lines().map(|line| line.split(" # ").next());
        let lines = lines.map(|line| line.unwrap_or_default().trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>()
    });
    lines.collect()
}

#[test]
fn every_command_that_a_page_shows_works() {
    let stage = Stage::named(shared(), "pages");
    let program = stage.settings().set("http.api", "true");
    let directory = tempfile::TempDir::new().expect("a directory");
    std::fs::write(directory.path().join("my.toml"), "").expect("written");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_nik-stream"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("a directory").display(),
        std::env::var("PATH").expect("a path")
    );
    let run = |line: &str| {
        // Without --fail curl ignores the status of the answer.
        let line =
            format!("curl() {{ command curl --silent --show-error --fail \"$@\"; }}\n{line}");
        let mut shell = Command::new("sh");
        let settings = program.command(&[]);
        let variables = settings.get_envs().filter_map(|(name, value)| Some((name, value?)));
        let shell = shell.args(["-euc", &line]).envs(variables).env("PATH", &path);
        let output = shell.current_dir(&directory).output().expect("sh runs");
        assert!(output.status.success(), "{line}: {output:?}");
    };

    let all: Vec<String> = pages().iter().flat_map(|(_, page)| commands(page)).collect();
    let creates = |line: &&String| line.starts_with("nik-stream topics create");
    let (create, rest): (Vec<_>, Vec<_>) = all.iter().partition(creates);
    assert!(!create.is_empty() && rest.len() > 15, "{all:?}");
    for line in create {
        run(line);
    }
    let mut instance = program.run();
    instance.wait_ready(WAIT_TIMEOUT);
    let request = NewRecord {
        value: Some(br#"{"nik":["3273010101900001"],"process":"fast"}"#.to_vec()),
        ..NewRecord::default()
    };
    shared().produce(&stage.requests, &[request]);
    let failures = stage.wait_for_outcomes(shared(), 1).1;
    let names = failures[0].headers.iter().map(|(name, _)| String::from_utf8_lossy(name));
    let headers: Vec<_> = names.collect();
    assert_eq!(headers, column("| header | holds |"));
    let place = format!("{}:{}", failures[0].partition, failures[0].offset);
    let address = instance.url("");
    let address = address.trim_start_matches("http://");

    for line in rest {
        let word = line.split(' ').next().unwrap_or_default();
        if word.starts_with("script/") {
            assert!(file(word).exists(), "{line}");
        }
        let is_run = line.starts_with("nik-stream run "); // the instance above runs
        if is_run || SKIPPED.iter().any(|(name, _)| *name == word) {
            continue;
        }
        let mut words: Vec<&str> = line.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "--config") {
            words[at + 1] = "my.toml"; // the settings are in the environment
        }
        let line = words.join(" ").replace("0:5120", &place);
        run(&line.replace("localhost:9464", address));
    }
    stop(instance);
}
