//! `nik-stream config` on the command line.

use std::fs;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::load;

/// Runs `nik-stream config` in a directory of two files, with one variable.
fn config(arguments: &[&str]) -> Output {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    file("good.toml", "[topics]\nrequests = \"a\"\n[kafka.librdkafka]\n\"client.rack\" = \"r1\"\n");
    file("bad.toml", "[topics]\nrequest = \"a\"\n[limits]\nrequest_bytes = 0\n");
    Command::new(env!("CARGO_BIN_EXE_nik-stream"))
        .arg("config")
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .env("NIK_STREAM__KAFKA__WORKERS", "3")
        .output()
        .unwrap()
}

#[test]
fn check_prints_ok_or_all_problems_with_exit_64() {
    let good = config(&["check", "--config", "good.toml"]);
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(good.stdout, b"ok\n");

    let bad = config(&["check", "--config", "good.toml", "--config", "bad.toml"]);
    assert_eq!(bad.status.code(), Some(64));
    assert!(bad.stdout.is_empty());
    assert_eq!(
        String::from_utf8(bad.stderr).unwrap(),
        "bad.toml: topics.request: unknown key, the nearest known key is topics.requests\n\
         bad.toml: limits.request_bytes: expected a whole number from 1024 to 268435456\n"
    );
}

/// The exit code and the messages of a command with these lines in its settings file.
fn with(command: &[&str], lines: &[&str]) -> (Option<i32>, String) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("my.toml"), lines.join("\n")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    program.args(command).args(["--config", "my.toml"]).current_dir(directory.path()).env_clear();
    let output = program.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_librdkafka_refuses_only_when_a_client_is_made_is_found_without_a_broker() {
    let (both, producer) = ("[kafka.librdkafka]", "[kafka.producer]");
    for (lines, key) in [
        (vec![both, "\"socket.timeout.ms\" = 60000"], "kafka.librdkafka.socket.timeout.ms"),
        (vec![producer, "\"message.timeout.ms\" = 60000"], "kafka.producer.message.timeout.ms"),
        (vec![producer, "\"linger.ms\" = 20000"], "kafka.producer.linger.ms"),
        (vec![producer, "\"max.in.flight\" = 10"], "kafka.producer.max.in.flight"),
        (vec![producer, "\"retries\" = 0"], "kafka.producer.retries"),
        (vec![producer, "\"queuing.strategy\" = \"lifo\""], "kafka.producer.queuing.strategy"),
        (
            vec![both, "\"security.protocol\" = \"ssl\"", "\"ssl.ca.pem\" = \"no certificate\""],
            "kafka.librdkafka.ssl.ca.pem",
        ),
        (
            vec![
                both,
                "\"security.protocol\" = \"sasl_plaintext\"",
                "\"sasl.mechanisms\" = \"GSSAPI\"",
            ],
            "kafka",
        ),
    ] {
        for command in [&["config", "check"][..], &["run"]] {
            let (code, text) = with(command, &lines);
            assert_eq!(code, Some(64), "{command:?} {lines:?}: {text}");
            assert!(text.contains(&format!("{key}: librdkafka: ")), "{key}: {text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }
}

#[test]
fn show_prints_every_setting_with_its_origin_in_a_form_that_loads_again() {
    let shown = config(&["show", "--config", "good.toml"]);
    assert_eq!(shown.status.code(), Some(0));
    let text = String::from_utf8(shown.stdout).unwrap();
    for line in [
        "[kafka]",
        "bootstrap_servers = \"localhost:9092\" # default",
        "instance_id = \"\" # default",
        "workers = 3 # NIK_STREAM__KAFKA__WORKERS",
        "[kafka.librdkafka]",
        "\"client.rack\" = \"r1\" # good.toml",
        "requests = \"a\" # good.toml",
        "max_failure_ratio = 0.5 # default",
        "reference_date = \"record\" # default",
        "listen = \"127.0.0.1:9464\" # default",
        "api = false # default",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    let again = load(&[&text], &[]).unwrap();
    assert_eq!(again.settings.kafka.workers, 3);
    assert_eq!(again.settings.kafka.librdkafka.iter().next(), Some(("client.rack", "r1")));
    assert_eq!(again.show().lines().count(), text.lines().count());
}
