//! `compare` counts what a script counts that judges twice.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use nik::dataset;
use nik::region::{Regions, RetiredCodes};
use nik_wire::process::{Outcome, Processor, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::say;
use crate::cluster::{NewRecord, ProgramSettings, shared};
use crate::traffic::audit::{judge, outcome};
use crate::traffic::load::Requests;
use crate::traffic::stage::Stage;

/// The changes of verdicts that judging twice finds: valid to invalid, invalid to valid.
fn changes(requests: &[NewRecord], mut before: Processor, mut after: Processor) -> [u64; 2] {
    let mut changes = [0; 2];
    for request in requests {
        let [before, after] = [&mut before, &mut after].map(|judge| verdicts(judge, request));
        for (before, after) in before.into_iter().zip(after) {
            changes[0] += u64::from(before && !after);
            changes[1] += u64::from(!before && after);
        }
    }
    changes
}

/// The entries of a result: by NIK, or those of `explain` in the order sent.
fn entries(result: &Value) -> Vec<&Value> {
    match &result["data"] {
        Value::Array(entries) => entries.iter().collect(),
        data => data.as_object().expect("NIKs").values().collect(),
    }
}

/// The verdict of each entry of a result.
fn verdicts(judge: &mut Processor, request: &NewRecord) -> Vec<bool> {
    let (found, bytes) = outcome(judge, request);
    if let Outcome::Failure { .. } = found {
        return Vec::new();
    }
    let result: Value = serde_json::from_slice(&bytes).expect("a result");
    let niks = entries(&result).into_iter();
    niks.map(|it| it.as_bool().or_else(|| it["valid"].as_bool()).expect("a verdict")).collect()
}

/// Requests whose results have an entry for each NIK.
fn requests(count: usize) -> Vec<NewRecord> {
    let has_doubles = |request: &NewRecord| {
        let mut judge = judge();
        let (found, bytes) = outcome(&mut judge, request);
        let result: Value = serde_json::from_slice(&bytes).expect("an outcome");
        matches!(found, Outcome::Result { summary, .. }
            if summary.number_processed != entries(&result).len() as u64)
    };
    let all = Requests::new(0, 3).take(count);
    all.filter(|request| !has_doubles(request)).collect()
}

fn compared(settings: &ProgramSettings, more: &[&str]) -> Value {
    let said = say(settings, &[&["compare", "--since", "2000-01-01", "--json"], more].concat());
    assert_eq!(said.code, Some(0), "{}", said.words);
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn changed_answers_are_those_that_judging_twice_finds() {
    let stage = Stage::new(shared(), "compared", 3);
    let settings = stage.settings();
    let requests = requests(900);
    shared().produce(&stage.requests, &requests);
    let dir = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let regions = |retired| dataset::regions(retired).expect("the data");

    let same = compared(&settings, &["--candidate", &file("same.toml", "")]);
    assert_eq!((&same["changed"], &same["examples"]), (&json!({}), &json!([])));
    assert_eq!(same["requests"], requests.len());

    // A candidate overrides the environment, too.
    let young = settings.clone().set("rules.min_age", "60");
    let found = compared(&young, &["--candidate", &file("all.toml", "rules.min_age = 0")]);
    let strict = Settings { min_age: 60, ..Settings::default() };
    let strict = Processor::new(regions(RetiredCodes::All).into(), strict);
    let [_, more] = changes(&requests, strict, judge());
    assert!(more > 0);
    assert_eq!(found["changed"], json!({"invalid": {"valid": more}}));
    let flipped = found["by_section"]["dob"].as_u64().expect("a count");
    assert!(flipped >= more, "a NIK may be invalid in another section, too");
    assert_eq!(found["by_reason"]["dob"], json!({"below_min_age": {"none": flipped}}));

    let confirmed = Processor::new(regions(RetiredCodes::Confirmed).into(), Settings::default());
    let [fewer, _] = changes(&requests, judge(), confirmed);
    assert!(fewer > 0);
    let file = file("confirmed.toml", "rules.retired_codes = \"confirmed\"");
    let found = compared(&settings, &["--candidate", &file]);
    assert_eq!(found["changed"], json!({"valid": {"invalid": fewer}}));

    // The data without every 50th code in force.
    let mut current = String::new();
    let retired = dataset::RETIRED_TSV.lines().flat_map(|line| line.split('\t').skip(1));
    let successors: BTreeSet<&str> = retired.collect();
    for (line, number) in dataset::CURRENT_TSV.lines().zip(0..) {
        let code = line.split('\t').next().unwrap_or_default();
        if code.len() < 6 || successors.contains(code) || number % 50 != 0 {
            let _ = writeln!(current, "{line}");
        }
    }
    std::fs::write(dir.path().join("current.tsv"), &current).expect("written");
    std::fs::write(dir.path().join("retired.tsv"), dataset::RETIRED_TSV).expect("written");
    let without = Regions::parse(&current, dataset::RETIRED_TSV, RetiredCodes::All);
    let without = Processor::new(without.expect("valid tables").into(), Settings::default());
    let [fewer, more] = changes(&requests, judge(), without);
    assert!(fewer > 0 && more == 0, "{fewer} {more}");
    let tables = dir.path().display().to_string();
    let found = compared(&settings, &["--regions", &tables]);
    assert_eq!(found["changed"], json!({"valid": {"invalid": fewer}}));
    let reason = &found["by_reason"]["area"]["none"]["unknown_kecamatan"];
    assert_eq!(reason, &found["by_section"]["area"]);
    assert_eq!(found["examples"].as_array().map(Vec::len), Some(10));
    let said = say(&settings, &["compare", "--since", "2000-01-01", "--regions", &tables]);
    assert!(said.words.contains("warning: `run` would refuse"), "{}", said.words);
}

#[test]
fn a_request_that_fails_only_once_counts_once() {
    let stage = Stage::new(shared(), "compared-failures", 1);
    let request = |value: &str| NewRecord { value: Some(value.into()), ..NewRecord::default() };
    let requests = [
        request(r#"{"nik":["1","2","3"],"process":"full"}"#),
        request(r#"{"nik":["1"],"process":"full"}"#),
        request(r#"{"nik":["1","2","3"],"process":"fast"}"#),
        request("{"),
    ];
    shared().produce(&stage.requests, &requests);
    let dir = TempDir::new().expect("a directory");
    let path = dir.path().join("few.toml");
    std::fs::write(&path, "limits.niks_per_request = 2").expect("written");
    let path = path.display().to_string();
    let found = compared(&stage.settings(), &["--candidate", &path]);
    assert_eq!(found["changed"], json!({"result": {"failure": 1}}));
    assert_eq!(found["by_reason"], json!({"request": {"none": {"too_many_niks": 1}}}));
    assert_eq!((&found["requests"], &found["niks"]), (&json!(4), &json!(1)));
    let place = json!({"from": "result", "to": "failure", "topic": stage.requests, "partition": 0, "offset": 0});
    assert_eq!(found["examples"], json!([place]));

    for (arguments, code) in [
        (&["compare", "--since", "1h"][..], 2),
        (&["compare", "--since", "1h", "--regions", "x", "--candidate", "y"], 2),
        (&["compare", "--since", "1h", "--candidate", "/absent"], 64),
        (&["compare", "--candidate", &path], 2),
        (&["compare", "--since", "1h", "--regions", "/absent"], 3),
    ] {
        assert_eq!(say(&stage.settings(), arguments).code, Some(code), "{arguments:?}");
    }
    let absent = Stage::named(shared(), "absent");
    let said = say(&absent.settings(), &["compare", "--since", "1h", "--candidate", &path]);
    assert_eq!(said.code, Some(3), "{}", said.words);
}
