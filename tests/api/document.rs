//! `openapi.yaml`: the program serves it, it lists what the code defines, and the endpoint behaves
//! as it says.

use std::process::Command;

use nik_wire::Reason;

use super::{enabled, started};

const DOCUMENT: &str = include_str!("../../openapi.yaml");

#[test]
fn it_lists_every_reason_and_the_version_of_the_package() {
    // A request over HTTP is never a tombstone, and two reasons have their own status.
    let excluded = [Reason::Tombstone, Reason::RequestTooLarge, Reason::Internal];
    let reasons = Reason::ALL.into_iter().filter(|it| !excluded.contains(it));
    let reasons = reasons.map(|reason| format!("                  - {}\n", reason.as_str()));
    let list = format!("                enum:\n{}          ", reasons.collect::<String>());
    assert!(DOCUMENT.contains(&list), "expected:\n{list}");
    let version = format!("\n  version: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(DOCUMENT.contains(&version), "expected: {version}");
}

#[test]
fn a_running_program_serves_it_with_every_schema_that_it_refers_to() {
    let program = started(&enabled());
    let served = program.get("/api/openapi.yaml").expect("an answer");
    assert_eq!(served, (200, DOCUMENT.to_owned()));
    let refers = DOCUMENT.split("$ref: './").skip(1);
    let schemas: Vec<&str> = refers.filter_map(|rest| rest.split('\'').next()).collect();
    assert!(schemas.len() > 4, "{schemas:?}");
    for schema in schemas {
        let path = format!("{}/{schema}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect(schema);
        let served = program.get(&format!("/api/{schema}")).expect("an answer");
        assert_eq!(served, (200, text), "{schema}");
    }
    let other = program.get("/api/schemas/other.schema.json");
    assert_eq!(other.expect("an answer").0, 404);
}

#[test]
#[cfg(feature = "packaging-tests")]
fn requests_generated_from_it_get_only_answers_that_it_describes() {
    let program = started(&enabled());
    let mut check = Command::new("timeout"); // the first run installs the tool, which takes most of it
    check.args(["600", concat!(env!("CARGO_MANIFEST_DIR"), "/script/openapi-check")]);
    check.args([program.url("").as_str(), "--seed", "1"]); // the same requests in every run
    let output = check.output().expect("timeout runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{words}");
    let metrics = program.metrics();
    let answers = metrics.iter().filter(|(name, _)| name.starts_with("nik_api_requests_total"));
    let answers: f64 = answers.map(|(_, count)| count).sum();
    assert!(answers > 100.0, "{answers} requests: {said}");
}
