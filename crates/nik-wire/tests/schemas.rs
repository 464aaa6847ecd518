//! The schemas in `schemas/` fit the bytes that are published, and nothing else: every golden outcome validates, every
//! outcome that is spoilt in one place does not.

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

/// The schema of an outcome of the golden table's kind.
fn schema_of(kind: &str) -> &str {
    match kind {
        "limited" => "result-limited",
        "full" => "result-full",
        _ => "failure",
    }
}

fn validators() -> BTreeMap<&'static str, Validator> {
    ["result-limited", "result-full", "failure"].map(|name| (name, validator(name))).into()
}

/// The golden outcomes by their schema, each once. Left out is what `serde_json` cannot hold: numbers no double can, and 128
/// levels; the bytes of these are compared in `golden_table.rs`.
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
    for name in ["request", "result-limited", "result-full", "failure"] {
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
        // An empty list has the same answer in limited and in full.
        let others =
            validators.iter().filter(|(other, _)| **other != name && outcome["data"] != json!({}));
        for (other, validator) in others {
            assert!(!validator.is_valid(&outcome), "{name} validates as {other}: {outcome}");
        }
    }
}

#[test]
fn the_request_schema_tells_requests_that_can_be_read_from_those_that_cannot() {
    let validator = validator("request");
    for case in golden::cases() {
        let Some(request) = &case.request else {
            continue;
        };
        let Ok(request) = serde_json::from_slice::<Value>(request) else {
            continue;
        };
        let expected = match case.kind {
            "limited" | "full" | "too_many_niks" | "result_too_large" => true,
            "invalid_request" | "unknown_process" => false,
            _ => continue,
        };
        // A key given twice is lost when JSON is read, so no schema can see it.
        let twice = case.name.contains("twice") || case.name.contains("thrice");
        assert!(validator.is_valid(&request) == expected || twice, "{}", case.name);
    }
}

/// Where a value stands: the keys and indices from the root.
type Path = Vec<String>;

/// Every value of an outcome whose type is fixed: all but the elements of lists, which are the request's own.
fn places(value: &Value, at: &Path, out: &mut Vec<Path>) {
    out.push(at.clone());
    for (key, value) in value.as_object().into_iter().flatten() {
        let mut at = at.clone();
        at.push(key.clone());
        places(value, &at, out);
    }
}

fn at<'a>(outcome: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(outcome, |value, key| &mut value[key.as_str()])
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

/// Whether the contract knows a value of the new type in this place, too.
fn is_an_answer(path: &[String], old: &Value, new: &Value) -> bool {
    let names: Vec<&str> = path.iter().rev().take(2).map(String::as_str).collect();
    let text_or_nothing = matches!(names[..], ["subdistrict", _] | ["value", "computerized"]);
    let between_text_and_nothing = !old.is_boolean()
        && (old.is_string() || old.is_null())
        && (new.is_string() || new.is_null());
    // Each absent value is the text `None` or null, by a setting.
    (text_or_nothing && between_text_and_nothing) || (old == "None" && new.is_null())
}

/// The outcome spoilt in one place, with what was done to it.
fn mutants(outcome: &Value) -> Vec<(String, Value)> {
    let mut paths = Vec::new();
    places(outcome, &Path::new(), &mut paths);
    let mut mutants = Vec::new();
    for path in paths {
        let old = at(&mut outcome.clone(), &path).clone();
        for new in
            [json!(null), json!(true), json!(7), json!(1.5), json!("x"), json!([]), json!({})]
        {
            let another_type =
                type_of(&old) != type_of(&new) || (old.is_number() && new == json!(1.5));
            if another_type && !is_an_answer(&path, &old, &new) {
                let mut mutant = outcome.clone();
                *at(&mut mutant, &path) = new.clone();
                mutants.push((format!("{path:?} is {new}"), mutant));
            }
        }
        // The keys of `data` are NIKs: a list with fewer of them has fewer.
        let keys = old
            .as_object()
            .filter(|_| path != ["data"])
            .into_iter()
            .flat_map(|object| object.keys());
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
fn no_outcome_with_a_key_missing_or_too_many_or_a_value_of_another_type_validates() {
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
