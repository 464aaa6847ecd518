//! `asyncapi.yaml` is valid `AsyncAPI`, has the names of the program, and refers to every schema.

use std::process::Command;

use nik_wire::Reason;

use crate::docs::pages::column;

const DOCUMENT: &str = include_str!("../asyncapi.yaml");

#[test]
fn it_lists_every_reason_in_the_order_of_the_checks() {
    let reasons: String =
        Reason::ALL.map(|reason| format!("            - {}\n", reason.as_str())).concat();
    assert!(
        DOCUMENT.contains(&format!("          enum:\n{reasons}      ")),
        "the list of nik-failure-reason is not\n{reasons}"
    );
}

#[test]
fn every_schema_describes_a_message() {
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
fn the_version_is_that_of_the_package() {
    assert!(DOCUMENT.contains(&format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
#[cfg(feature = "packaging-tests")]
fn the_official_parser_reports_nothing() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/script/asyncapi-check");
    let output = Command::new(script).output().expect("script/asyncapi-check runs");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
}

#[test]
fn the_headers_of_failures_are_those_of_the_page_in_its_order() {
    let (_, schema) = DOCUMENT.split_once("\n    failureHeaders:\n").expect("their schema");
    let described: Vec<&str> = schema
        .lines()
        .filter_map(|line| line.strip_prefix("        ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(described, column("| header | holds |"));
}
