//! `asyncapi.yaml` is `AsyncAPI`, says what the code says, and refers to the schemas that `schemas.rs` holds to the bytes.

use nik_wire::Reason;
use std::process::Command;

const DOCUMENT: &str = include_str!("../asyncapi.yaml");

#[test]
fn every_reason_is_named_in_the_order_of_the_checks() {
    let reasons: String =
        Reason::ALL.map(|reason| format!("            - {}\n", reason.as_str())).concat();
    assert!(
        DOCUMENT.contains(&format!("          enum:\n{reasons}      ")),
        "the list of nik-failure-reason is not\n{reasons}"
    );
}

#[test]
fn every_schema_is_a_message_s() {
    for entry in
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")).expect("schemas/")
    {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(
            DOCUMENT.contains(&format!("$ref: './schemas/{name}'")),
            "nothing refers to {name}"
        );
    }
}

#[test]
fn the_version_is_the_package_s() {
    assert!(DOCUMENT.contains(&format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
#[cfg(feature = "packaging-tests")]
fn the_official_parser_has_nothing_to_report() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/script/asyncapi-check");
    let output = Command::new(script).output().expect("script/asyncapi-check runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

#[test]
fn the_headers_of_failures_are_those_that_are_written() {
    let source = include_str!("../src/kafka/dlq/headers.rs");
    let written: Vec<&str> =
        source.lines().filter_map(|line| line.strip_prefix("const ")?.split('"').nth(1)).collect();
    let (_, schema) = DOCUMENT.split_once("\n    failureHeaders:\n").expect("their schema");
    let told: Vec<&str> = schema
        .lines()
        .filter_map(|line| line.strip_prefix("        ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(told, written);
}
