//! Requests and outcomes with schema ids, by Confluent's own serializers and deserializers.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::clients::by_request;
use crate::cluster::{NewRecord, shared};
use crate::traffic::server::serve;
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_until};

/// The first id contains a line break.
const FIRST_ID: u32 = 0x0a0a;

/// The schemas of a registry, each with its subject. The id is the index after [`FIRST_ID`].
type Schemas = Arc<Mutex<Vec<(String, Value)>>>;

/// A schema registry as far as Confluent's clients need it.
fn start_registry(schemas: &Schemas) -> String {
    let routes = Router::new()
        .route("/subjects/{subject}/versions", post(register))
        .route("/schemas/ids/{id}", get(schema))
        .with_state(Arc::clone(schemas));
    serve(routes)
}

async fn register(
    State(schemas): State<Schemas>,
    Path(subject): Path<String>,
    body: axum::body::Bytes,
) -> Json<Value> {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let mut schemas = schemas.lock().expect("not poisoned");
    schemas.push((subject, body["schema"].clone()));
    Json(json!({"id": FIRST_ID as usize + schemas.len() - 1}))
}

async fn schema(
    State(schemas): State<Schemas>,
    Path(id): Path<u32>,
) -> Result<Json<Value>, StatusCode> {
    let schemas = schemas.lock().expect("not poisoned");
    let index = id.checked_sub(FIRST_ID).ok_or(StatusCode::NOT_FOUND)?;
    let (_, schema) = schemas.get(index as usize).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({"schemaType": "JSON", "schema": schema})))
}

/// The ids that the commands of `docs/requests.md` print, by subject.
fn registered_by_the_page(registry: &str) -> HashMap<&'static str, u32> {
    let page = include_str!("../docs/requests.md");
    let commands: Vec<_> = page.lines().filter(|line| line.starts_with("jq ")).collect();
    assert_eq!(commands.len(), 2);
    let id = |command: &&'static str| {
        let subject = command.split('/').rev().nth(1).expect("a subject");
        let line = command.replace("http://localhost:8081", registry);
        let mut shell = Command::new("sh");
        let shell = shell.args(["-euc", &line]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let printed = shell.output().expect("sh runs").stdout;
        let printed: Value = serde_json::from_slice(&printed).expect("JSON");
        (subject, u32::try_from(printed["id"].as_u64().expect("an id")).expect("four bytes"))
    };
    commands.iter().map(id).collect()
}

#[test]
fn the_schema_that_the_page_registers_accepts_every_result_of_the_conformance_kit() {
    let schemas = Schemas::default();
    registered_by_the_page(&start_registry(&schemas));
    let schemas = schemas.lock().expect("not poisoned");
    let (_, schema) = schemas
        .iter()
        .find(|(subject, _)| subject == "nik.results-value")
        .expect("the command registers it");
    let schema = serde_json::from_str(schema.as_str().expect("text")).expect("JSON");
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let mut results = 0;
    for case in include_str!("../examples/conformance/cases.jsonl").lines() {
        let case: Value = serde_json::from_str(case).expect("JSON");
        let is_result = ["limited", "full", "explain"].iter().any(|it| case["kind"] == *it);
        let outcome = case["outcome"].as_str().unwrap_or_default();
        // serde_json parses neither a number beyond `f64` nor 128 levels of nesting.
        if let Ok(outcome) = serde_json::from_str::<Value>(outcome)
            && is_result
        {
            assert!(validator.is_valid(&outcome), "{}: {outcome}", case["name"]);
            results += 1;
        }
    }
    assert!(results > 700, "{results} results");
}

fn prefix(id: u32) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..]].concat()
}

#[test]
fn confluents_python_serializer_and_deserializer_exchange_requests_and_outcomes_with_schema_ids() {
    exchange("python-registry");
}

#[test]
fn confluents_node_serializer_and_deserializer_exchange_requests_and_outcomes_with_schema_ids() {
    exchange("node-registry");
}

/// Runs a client of `examples/clients` with a registry.
fn exchange(client: &str) {
    let schemas = Schemas::default();
    let registry = start_registry(&schemas);
    let ids = registered_by_the_page(&registry);
    let (results_id, failures_id) = (ids["nik.results-value"], ids["nik.failures-value"]);

    let stage = Stage::new(shared(), "registry", 1);
    let reply = format!("{}.reply", stage.group);
    shared().create_topic(&reply, 1, &TOPIC);
    let settings = stage
        .settings()
        .set("topics.framing", "either")
        .set("topics.results_schema_id", &results_id.to_string())
        .set("topics.failures_schema_id", &failures_id.to_string())
        .set("topics.reply_allowed", &reply);
    let program = ready(&settings);

    let mut command = Command::new("timeout"); // the first run spends most of it on installing
    command.args(["600", concat!(env!("CARGO_MANIFEST_DIR"), "/script/client"), client]);
    command.env("BOOTSTRAP_SERVERS", shared().bootstrap());
    command.env("SCHEMA_REGISTRY", &registry);
    command.env("TOPICS", stage.topics().join(" "));
    let output = command.output().expect("timeout runs");
    let words = String::from_utf8_lossy(&output.stderr);
    let page = include_str!("../examples/clients/README.md");
    let shown = page.split("```text\n").nth(2).and_then(|it| it.split("```").next());
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(by_request(&printed), by_request(shown.expect("a block")), "{words}");

    // A request without an id, for the reply topic.
    let request = NewRecord {
        value: Some(br#"{"nik":[],"process":"limited"}"#.to_vec()),
        headers: vec![(b"kafka_replyTopic".to_vec(), Some(reply.clone().into_bytes()))],
        ..NewRecord::default()
    };
    shared().produce(&stage.requests, &[request]);
    wait_until("the reply is there", || !shared().read_committed(&reply).is_empty());
    stop(program);

    let values = |topic: &str| -> Vec<Vec<u8>> {
        shared().read_committed(topic).into_iter().filter_map(|it| it.value).collect()
    };
    let (results, failures) = (values(&stage.results), values(&stage.failures));
    assert_eq!((results.len(), failures.len()), (2, 1));
    let request_id = schemas
        .lock()
        .expect("not poisoned")
        .iter()
        .position(|(subject, _)| *subject == format!("{}-value", stage.requests));
    let request_id = FIRST_ID + u32::try_from(request_id.expect("registered")).expect("a few");
    let requests = values(&stage.requests);
    for (records, id) in [
        (&requests[..3], request_id),
        (&results[..], results_id),
        (&values(&reply), results_id),
        (&failures, failures_id),
    ] {
        assert!(records.iter().all(|value| value.starts_with(&prefix(id))), "{records:?}");
    }
    let failure = &shared().read_committed(&stage.failures)[0];
    let (name, original) = &failure.headers[6];
    assert_eq!(name, b"nik-failure-original");
    assert_eq!(original.as_ref(), Some(&requests[2]));
    assert!(failures[0].ends_with(br#"{"message":"failed","data":["3273010101900001"]}"#));
}
