//! The conformance kit in `examples/conformance`: the golden cases as JSON lines, for other
//! implementations of the contract. `script/conformance` writes it.

use std::fs;

use serde_json::{Map, Value, json};

use crate::golden::{self, Case, On, settings_of};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/conformance/cases.jsonl");

/// Bytes as text under `key`, or in hexadecimal under `key` with `_hex` if they are not UTF-8.
fn insert_bytes(line: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    let (key, text) = match str::from_utf8(bytes) {
        Ok(text) => (key.to_owned(), text.to_owned()),
        Err(_) => (format!("{key}_hex"), bytes.iter().copied().flat_map(hexadecimal).collect()),
    };
    line.insert(key, json!(text));
}

fn hexadecimal(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).expect("below 16"))
}

/// The largest line in bytes. Cases of large lists are left out: small lists have the same edges.
const LONGEST: usize = 20_000;

fn line(case: &Case) -> String {
    let mut line = Map::new();
    line.insert("name".to_owned(), json!(case.name));
    match case.on {
        On::Day(day) => line.insert("reference_date".to_owned(), json!(day.to_string())),
        On::Timestamp(milliseconds) => line.insert("timestamp_ms".to_owned(), json!(milliseconds)),
    };
    line.insert("settings".to_owned(), settings_of(case));
    match &case.request {
        Some(request) => insert_bytes(&mut line, "request", request),
        None => drop(line.insert("request".to_owned(), Value::Null)),
    }
    line.insert("kind".to_owned(), json!(case.kind));
    insert_bytes(&mut line, "outcome", case.outcome.as_deref().expect("a reviewed outcome"));
    Value::Object(line).to_string() + "\n"
}

#[test]
fn the_conformance_kit_has_every_golden_case_of_moderate_size() {
    let cases = golden::cases();
    let lines: String = cases.iter().map(line).filter(|line| line.len() <= LONGEST).collect();
    if std::env::var_os("NIK_WRITE_CONFORMANCE").is_some() {
        fs::write(FILE, &lines).expect("a folder that is writable");
    }
    let found = fs::read_to_string(FILE).expect("the kit");
    // Not `assert_eq`, which would print both.
    assert!(found == lines, "script/conformance writes {FILE} again");
}
