//! Every command that a page shows can be given as it stands: it is, to a running instance on a real Kafka.

use std::process::Command;

use super::pages::{blocks, file, pages};
use crate::cluster::{NewRecord, shared};
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, stop};

/// The programs whose commands are not given here, and who gives them.
const ELSEWHERE: [(&str, &str); 7] = [
    ("script/demo", "a release build; `demo` has tests of its own"),
    ("script/test", "it runs this"),
    ("script/tool", "the advisories need a network"),
    ("docker", "no container engine"),
    ("helm", "no cluster"),
    ("systemctl", "no systemd"),
    ("install", "writes to the system"),
];

/// The commands of the blocks of a page, without comments, each on one line.
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
fn every_command_that_a_page_shows_is_taken() {
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
    let given = |line: &str| {
        // As a failure of the status it is told by curl only if asked to.
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
    let making = |line: &&String| line.starts_with("nik-stream topics create");
    let (make, rest): (Vec<_>, Vec<_>) = all.iter().partition(making);
    assert!(!make.is_empty() && rest.len() > 15, "{all:?}");
    for line in make {
        given(line);
    }
    let mut instance = program.run();
    instance.wait_ready(WAIT_TIMEOUT);
    let request = NewRecord {
        value: Some(br#"{"nik":["3273010101900001"],"process":"fast"}"#.to_vec()),
        ..NewRecord::default()
    };
    shared().produce(&stage.requests, &[request]);
    let failures = stage.wait_for_outcomes(shared(), 1).1;
    let place = format!("{}:{}", failures[0].partition, failures[0].offset);
    let address = instance.url("");
    let address = address.trim_start_matches("http://");

    for line in rest {
        let word = line.split(' ').next().unwrap_or_default();
        if word.starts_with("script/") {
            assert!(file(word).exists(), "{line}");
        }
        let is_run = line.starts_with("nik-stream run "); // as the instance above
        if is_run || ELSEWHERE.iter().any(|(name, _)| *name == word) {
            continue;
        }
        let mut words: Vec<&str> = line.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "--config") {
            words[at + 1] = "my.toml"; // the settings are in the environment
        }
        let line = words.join(" ").replace("0:5120", &place);
        given(&line.replace("localhost:9464", address));
    }
    stop(instance);
}
