//! The command `generate`: the same requests for the same seed.

use clap::{Args, Command, FromArgMatches};
use nik_stream::cli::generate::{GenerateArgs, generate};

use crate::sample::regions;

fn arguments(list: &str) -> Result<GenerateArgs, clap::Error> {
    let command = GenerateArgs::augment_args(Command::new("generate").no_binary_name(true));
    GenerateArgs::from_arg_matches(&command.try_get_matches_from(list.split(' '))?)
}

fn generated(list: &str) -> String {
    let mut output = Vec::new();
    generate(&arguments(list).unwrap(), &regions(), &mut output).unwrap();
    String::from_utf8(output).unwrap()
}

#[test]
fn seed_1_gives_the_same_bytes_as_ever() {
    let lines = generated("--count 20 --seed 1 --niks-per-request 3 --invalid 0.3");
    assert_eq!(lines, include_str!("../crates/nik-wire/tests/golden/generate/seed-1.jsonl"));
    assert_ne!(lines, generated("--count 20 --seed 2 --niks-per-request 3 --invalid 0.3"));
}

#[test]
fn the_number_of_lines_and_niks_is_as_requested() {
    for (count, niks) in [(0, 1), (1, 0), (7, 1), (3, 11)] {
        let lines = generated(&format!("--count {count} --niks-per-request {niks}"));
        assert_eq!(lines.lines().count(), count);
        for line in lines.lines() {
            let request: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(request["nik"].as_array().unwrap().len(), niks);
        }
    }
    let full = generated("--count 50 --process full");
    assert!(full.lines().all(|line| line.ends_with(r#""process":"full"}"#)));
}

#[test]
fn claims_are_in_requests_of_the_process_explain_alone() {
    let lines = generated("--count 200 --niks-per-request 5 --claims 0.5 --mismatch 0.1");
    let mut claims = 0;
    for line in lines.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let elements = request["nik"].as_array().unwrap();
        let found = elements.iter().filter(|element| element.is_object()).count();
        assert!(found == 0 || request["process"] == "explain", "{line}");
        claims += found;
    }
    assert!(claims > 100, "{claims} claims");
}

#[test]
fn wrong_arguments_are_usage_errors() {
    for list in [
        "--seed 1",
        "--count x",
        "--count 1 --invalid 1.1",
        "--count 1 --invalid NaN",
        "--count 1 --process x",
        "--count 1 --claims 1.1",
        "--count 1 --mismatch 0.1",
    ] {
        assert_eq!(arguments(list).expect_err("wrong").exit_code(), 2, "{list}");
    }
}
