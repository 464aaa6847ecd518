//! The commands with their options, and where they write data and messages.

use std::collections::BTreeMap;
use std::process::{Command, Output};

use crate::docs::commands;

/// Each command and its options.
const COMMANDS: &[(&str, &[&str])] = &[
    ("nik-stream demo", &["--count", "--duration", "--niks-per-request", "--port", "--rate"]),
    ("nik-stream run", &["--config"]),
    ("nik-stream check", &["--base64", "--config", "--defaults", "--process", "--reference-date"]),
    (
        "nik-stream generate",
        &[
            "--broken",
            "--claims",
            "--config",
            "--count",
            "--invalid",
            "--mismatch",
            "--niks-per-request",
            "--process",
            "--rate",
            "--seed",
            "--send",
        ],
    ),
    ("nik-stream explain", &[]),
    ("nik-stream health", &["--config", "--live"]),
    (
        "nik-stream topics create",
        &["--config", "--failures-retention", "--partitions", "--replication", "--retention"],
    ),
    ("nik-stream topics verify", &["--config"]),
    (
        "nik-stream dlq list",
        &[
            "--config",
            "--each",
            "--json",
            "--key",
            "--partition",
            "--place",
            "--reason",
            "--since",
            "--until",
        ],
    ),
    ("nik-stream dlq show", &["--config", "--reveal"]),
    (
        "nik-stream dlq replay",
        &[
            "--config",
            "--dry-run",
            "--key",
            "--limit",
            "--partition",
            "--place",
            "--rate",
            "--reason",
            "--since",
            "--until",
            "--yes",
        ],
    ),
    (
        "nik-stream dlq dismiss",
        &[
            "--config",
            "--dry-run",
            "--key",
            "--partition",
            "--place",
            "--reason",
            "--since",
            "--until",
            "--why",
            "--yes",
        ],
    ),
    ("nik-stream positions show", &["--config"]),
    ("nik-stream positions accept", &["--config"]),
    ("nik-stream positions set", &["--config", "--force"]),
    ("nik-stream positions skip", &["--config", "--force", "--to"]),
    (
        "nik-stream audit",
        &["--config", "--json", "--rate", "--sample", "--since", "--textfile", "--until"],
    ),
    (
        "nik-stream compare",
        &["--candidate", "--config", "--json", "--rate", "--regions", "--since", "--until"],
    ),
    ("nik-stream regions lookup", &["--config"]),
    ("nik-stream regions info", &["--config"]),
    ("nik-stream token", &["--config", "--key-file"]),
    ("nik-stream config check", &["--config"]),
    ("nik-stream config show", &["--config"]),
    ("nik-stream config schema", &[]),
    ("nik-stream completions", &[]),
    ("nik-stream manual", &[]),
];

fn run_program(arguments: &[&str]) -> (Output, String, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    let output = program.args(arguments).env_clear().output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (data, words) = (text(&output.stdout), text(&output.stderr));
    (output, data, words)
}

#[test]
fn the_promised_commands_have_their_options() {
    let found = commands(&[]);
    let found: BTreeMap<_, Vec<_>> = found
        .iter()
        .map(|(name, options)| (name.as_str(), options.iter().map(String::as_str).collect()))
        .collect();
    let promised = COMMANDS.iter().map(|&(name, options)| (name, options.to_vec()));
    assert_eq!(found, promised.collect());
}

#[test]
fn data_goes_to_standard_output_and_messages_to_standard_error_without_colours() {
    for (arguments, code, data, words) in [
        (&["check", "3273010101900001"][..], 0, "{\"message\":", ""),
        (&["regions", "lookup", "32"], 0, "32 province", ""),
        (&["regions", "lookup", "99"], 1, "", "99: no province has this code"),
        (&["config", "check"], 0, "ok", ""),
        (&["config", "check", "--config", "/nonexistent"], 64, "", "/nonexistent: "),
        (&["dlq", "list", "--config", "/nonexistent"], 64, "", "/nonexistent: "),
        (&["check", "--reference-date", "2023-02-29"], 2, "", "error: "),
        (&["nothing"], 2, "", "error: "),
    ] {
        let (output, found, message) = run_program(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        for (found, expected) in [(found, data), (message, words)] {
            assert!(found.starts_with(expected), "{arguments:?}: {found}");
            assert_eq!(found.is_empty(), expected.is_empty(), "{arguments:?}: {found}");
            assert!(!found.contains('\u{1b}'), "{arguments:?}: {found}");
        }
    }
}

#[test]
fn no_message_about_arguments_repeats_a_nik() {
    const NIK: &str = "3273010101900001";
    for arguments in [
        &[NIK][..],
        &["regions", "lookup", NIK],
        &["explain", NIK],
        &["check", "--process", NIK],
        &["check", "--reference-date", NIK],
        &["dlq", "show", NIK],
        &["generate", "--count", "1", NIK],
    ] {
        let (output, _, words) = run_program(arguments);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(!words.is_empty() && !words.contains(NIK), "{words}");
    }
}
