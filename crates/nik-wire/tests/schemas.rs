//! The schemas in `schemas/` accept the published outcomes and nothing else: every golden outcome
//! validates, and no outcome that was changed in one place does.

use crate::golden;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::fs;

fn schema(name: &str) -> Value {
    let path = format!("{}/../../schemas/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{path}: {problem}"));
    serde_json::from_str(&text).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

fn validator(name: &str) -> Validator {
    jsonschema::draft202012::new(&schema(name))
        .unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// The schema for an outcome kind of the golden table.
fn schema_of(kind: &str) -> &str {
    match kind {
        "limited" => "result-limited",
        "full" => "result-full",
        "explain" => "result-explain",
        _ => "failure",
    }
}

fn validators() -> BTreeMap<&'static str, Validator> {
    ["result-limited", "result-full", "result-explain", "failure"]
        .map(|name| (name, validator(name)))
        .into()
}

/// Each different golden outcome with its schema. It leaves out the two that `serde_json` cannot
/// parse: a number beyond `f64` and 128 levels of nesting. `golden_table.rs` compares their bytes.
fn outcomes() -> Vec<(&'static str, Value)> {
    let mut seen = HashSet::new();
    let mut left_out = Vec::new();
    let mut outcomes = Vec::new();
    for case in golden::cases() {
        let bytes = case.outcome.unwrap_or_default();
        if !seen.insert(bytes.clone()) {
            continue;
        }
        match serde_json::from_slice(&bytes) {
            Ok(outcome) => outcomes.push((schema_of(case.kind), outcome)),
            Err(_) => left_out.push(case.name),
        }
    }
    assert_eq!(left_out, ["an_element_128_deep", "an_element_an_exponent_beyond_a_double"]);
    outcomes
}

#[test]
fn the_schemas_are_json_schema_2020_12_and_their_examples_validate() {
    for name in ["request", "result-limited", "result-full", "result-explain", "failure"] {
        let schema = schema(name);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        jsonschema::meta::validate(&schema).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert!(schema["description"].is_string(), "{name} has no description");
        let examples = schema["examples"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert!(!examples.is_empty(), "{name} has no examples");
        for example in examples {
            assert!(validator(name).is_valid(example), "{name}: {example}");
        }
    }
}

#[test]
fn every_golden_outcome_validates() {
    let validators = validators();
    for (name, outcome) in outcomes() {
        if let Err(problem) = validators[name].validate(&outcome) {
            panic!("{name}: {problem} at {}\n{outcome}", problem.instance_path());
        }
    }
}

#[test]
fn no_outcome_validates_as_another_kind() {
    let validators = validators();
    for (name, outcome) in outcomes() {
        // An empty list has the same result in both processes.
        let others =
            validators.iter().filter(|(other, _)| **other != name && outcome["data"] != json!({}));
        for (other, validator) in others {
            assert!(!validator.is_valid(&outcome), "{name} validates as {other}: {outcome}");
        }
    }
}

#[test]
fn the_request_schema_accepts_exactly_the_requests_that_can_be_read() {
    let validator = validator("request");
    let mut differ = Vec::new();
    for case in golden::cases() {
        let Some(request) = &case.request else {
            continue;
        };
        let Ok(request) = serde_json::from_slice::<Value>(request) else {
            continue;
        };
        let expected = match case.kind {
            "limited" | "full" | "explain" | "too_many_niks" | "result_too_large" => true,
            "invalid_request" | "unknown_process" => false,
            _ => continue,
        };
        if validator.is_valid(&request) != expected {
            differ.push(case.name);
        }
    }
    // JSON parsers keep the last of duplicate keys, so no schema can detect them.
    let duplicates = [
        "nik_twice",
        "nik_three_times",
        "nik_twice_once_escaped",
        "nik_twice_first_not_an_array",
        "nik_twice_after_process",
        "process_twice_with_equal_values",
        "process_twice_with_different_values",
        "process_twice_once_escaped",
        "both_keys_twice",
        "explain_twice_is_invalid",
    ];
    assert_eq!(differ, duplicates);
}

#[test]
fn the_schema_of_a_claim_accepts_exactly_the_objects_that_have_an_entry() {
    let mut schema = schema("request");
    schema["$ref"] = json!("#/$defs/claim");
    for key in ["type", "required", "properties", "additionalProperties"] {
        schema.as_object_mut().expect("an object").shift_remove(key);
    }
    let options = jsonschema::draft202012::options().should_validate_formats(true);
    let validator = options.build(&schema).expect("a schema");
    let (mut differ, mut claims) = (Vec::new(), 0);
    for case in golden::cases().into_iter().filter(|case| case.kind == "explain") {
        let parsed = |bytes: Option<Vec<u8>>| -> Option<Value> {
            serde_json::from_slice(&bytes.unwrap_or_default()).ok()
        };
        let (Some(request), Some(outcome)) = (parsed(case.request), parsed(case.outcome)) else {
            continue;
        };
        let entries = outcome["data"].as_array().expect("an array");
        let elements = request["nik"].as_array().expect("an array").iter().enumerate();
        for (index, claim) in elements.filter(|(_, element)| element.is_object()) {
            let has_entry = entries.iter().any(|entry| entry["index"] == index);
            if validator.is_valid(claim) != has_entry {
                differ.push(case.name);
            }
            claims += 1;
        }
    }
    assert!(claims > 140, "{claims} claims");
    // JSON parsers keep the last of duplicate keys, and to a schema 1e15 is an integer.
    let undetected = [
        "claim_unreadable_nik_twice",
        "claim_unreadable_nik_twice_once_escaped",
        "claim_unreadable_nik_a_fraction",
        "claim_unreadable_nik_an_exponent",
        "claim_unreadable_birth_date_twice",
        "claim_unreadable_birth_date_twice_once_null",
        "claim_unreadable_birth_date_twice_null",
        "claim_unreadable_gender_twice",
        "claim_unreadable_gender_twice_once_null",
        "claim_unreadable_gender_twice_null",
        "claim_unreadable_area_twice",
        "claim_unreadable_area_twice_once_null",
        "claim_unreadable_area_twice_null",
    ];
    assert_eq!(differ, undetected);
}

/// The keys and indices from the root to a value.
type Path = Vec<String>;

/// The paths of all values with a fixed type: all but the elements of `errors` and of a failure's
/// `data`, which come from the request.
fn collect_paths(value: &Value, at: &Path, out: &mut Vec<Path>) {
    out.push(at.clone());
    let members = value.as_object().into_iter().flatten();
    let members = members.map(|(key, value)| (key.clone(), value));
    let entries = value.as_array().filter(|_| at == &["data"]).into_iter().flatten();
    let entries = entries.enumerate().map(|(index, value)| (index.to_string(), value));
    for (key, value) in members.chain(entries.filter(|(_, entry)| entry["sections"].is_object())) {
        let mut at = at.clone();
        at.push(key);
        collect_paths(value, &at, out);
    }
}

fn at<'a>(outcome: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(outcome, |value, key| match value {
        Value::Array(entries) => &mut entries[key.parse::<usize>().expect("an index")],
        value => &mut value[key.as_str()],
    })
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether the contract also allows a value of the new type at this path.
fn is_allowed(path: &[String], old: &Value, new: &Value) -> bool {
    let names: Vec<&str> = path.iter().rev().take(2).map(String::as_str).collect();
    let can_be_absent = matches!(names[..], ["subdistrict", _] | ["value", "computerized"]);
    let swaps_text_and_null = !old.is_boolean()
        && (old.is_string() || old.is_null())
        && (new.is_string() || new.is_null());
    // A retired code may have no successor, and an element need not be a claim.
    let can_be_missing = matches!(names[..], ["now", "area"] | ["declared", ..]) && path.len() > 2;
    // A setting decides whether an absent value is the string `None` or null.
    (can_be_missing && new.is_null())
        || (can_be_absent && swaps_text_and_null)
        || (old == "None" && new.is_null())
}

/// Copies of the outcome with one change each, and a description of the change.
fn mutants(outcome: &Value) -> Vec<(String, Value)> {
    let mut paths = Vec::new();
    collect_paths(outcome, &Path::new(), &mut paths);
    let mut mutants = Vec::new();
    for path in paths {
        let old = at(&mut outcome.clone(), &path).clone();
        for new in
            [json!(null), json!(true), json!(7), json!(1.5), json!("x"), json!([]), json!({})]
        {
            let another_type =
                type_of(&old) != type_of(&new) || (old.is_number() && new == json!(1.5));
            if another_type && !is_allowed(&path, &old, &new) {
                let mut mutant = outcome.clone();
                *at(&mut mutant, &path) = new.clone();
                mutants.push((format!("{path:?} is {new}"), mutant));
            }
        }
        // The keys of `data` are NIKs, and any number of them is valid. A claim declares what it
        // likes.
        let is_open = path == ["data"] || (path.len() == 3 && path[2] == "declared");
        let keys =
            old.as_object().filter(|_| !is_open).into_iter().flat_map(|object| object.keys());
        for key in keys {
            let mut mutant = outcome.clone();
            at(&mut mutant, &path).as_object_mut().expect("an object").shift_remove(key);
            mutants.push((format!("{path:?} has no {key}"), mutant));
        }
        if old.is_object() {
            let mut mutant = outcome.clone();
            at(&mut mutant, &path)["more"] = old["message"].clone();
            mutants.push((format!("{path:?} has more"), mutant));
        }
    }
    mutants
}

#[test]
fn no_outcome_with_a_missing_key_an_extra_key_or_a_value_of_another_type_validates() {
    let validators = validators();
    let mut count = 0;
    let mut survivors = Vec::new();
    for (name, outcome) in
        outcomes().iter().filter(|(_, outcome)| outcome.to_string().len() < 8_000)
    {
        for (what, mutant) in mutants(outcome) {
            count += 1;
            if validators[name].is_valid(&mutant) {
                survivors.push(format!("{name}: {what}: {mutant}"));
            }
        }
    }
    println!("{count} mutants of outcomes");
    assert!(count > 10_000, "{count} mutants");
    assert!(survivors.is_empty(), "{} survive, such as\n{}", survivors.len(), survivors[0]);
}
