//! Traces, as a collector receives them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;

use crate::cluster::{NewRecord, shared};
use crate::traffic::load::now_ms;
use crate::traffic::server::serve;
use crate::traffic::stage::{Stage, ready, stop, wait_until};

const NIK: &str = "3273010101900001";

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Accepts spans; returns its address.
    fn start(&self) -> String {
        let routes = Router::new().route("/v1/traces", post(accept)).with_state(self.clone());
        serve(routes)
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.0.lock().expect("not poisoned").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|it| it.resource_spans);
        resources.flat_map(|it| it.scope_spans).flat_map(|it| it.spans).collect()
    }
}

async fn accept(State(collector): State<Collector>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    collector.0.lock().expect("not poisoned").push(request);
}

fn attributes(of: &[KeyValue]) -> BTreeMap<&str, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    of.iter().map(|it| (it.key.as_str(), text(&it.value))).collect()
}

/// A request whose headers `traceparent` have these values.
fn request(number: u8, process: &str, parents: &[String]) -> NewRecord {
    let header = |parent: &String| (b"traceparent".to_vec(), Some(parent.clone().into_bytes()));
    NewRecord {
        partition: Some(0),
        key: Some(format!("{NIK} {number}").into_bytes()),
        value: Some(format!(r#"{{"nik":["{NIK}"],"process":"{process}"}}"#).into_bytes()),
        headers: parents.iter().map(header).collect(),
        timestamp: Some(now_ms() - 5_000 + i64::from(number)),
    }
}

/// The header of a request in trace `number`, sent by span `number`.
fn parent(number: u8, flags: &str) -> String {
    format!("00-{number:032x}-{number:016x}-{flags}")
}

#[test]
fn a_sampled_request_gets_a_span_from_its_timestamp_to_the_commit_and_the_commit_links_to_it() {
    let collector = Collector::default();
    let stage = Stage::new(shared(), "traced", 1);
    let settings = stage.settings().set("traces.endpoint", &collector.start());
    let mut sent = vec![
        request(1, "limited", &[parent(1, "01")]),
        request(2, "fast", &[parent(2, "03")]),
        request(3, "full", &[parent(3, "00")]),
        request(4, "full", &[parent(4, "01"), parent(4, "01")]),
        request(5, "full", &["00-5-5-01".to_owned()]),
        request(6, "full", &[]),
        request(7, "full", &[parent(7, "01")]),
    ];
    sent[6].timestamp = Some(now_ms() + 60_000); // ahead of the clock
    let program = ready(&settings);
    shared().produce(&stage.requests, &sent);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    assert!(results.iter().chain(&failures).all(|outcome| {
        let request = sent.iter().find(|it| it.key == outcome.key).expect("its request");
        outcome.headers.ends_with(&request.headers)
    }));
    let processed = || -> Vec<Span> {
        let spans = collector.spans().into_iter();
        spans.filter(|span| span.kind == SpanKind::Consumer as i32).collect()
    };
    wait_until("the spans are there", || processed().len() == 3);
    let metrics = program.metrics();
    stop(program);

    let mut spans = processed();
    spans.sort_by_key(|span| span.trace_id.clone());
    assert_eq!(spans.len(), 3, "one of each sampled request");
    for (span, (number, failure)) in spans.iter().zip([(1_u8, false), (2, true), (7, false)]) {
        assert_eq!(span.name, format!("process {}", stage.requests));
        assert_eq!(span.trace_id, u128::from(number).to_be_bytes());
        assert_eq!(span.parent_span_id, u64::from(number).to_be_bytes());
        let timestamp = sent[usize::from(number) - 1].timestamp.expect("given");
        let start = u64::try_from(timestamp).expect("after 1970") * 1_000_000;
        assert_eq!(span.start_time_unix_nano, start);
        assert!(span.end_time_unix_nano >= start);
        let offset = (number - 1).to_string();
        let mut expected = BTreeMap::from([
            ("messaging.system", "kafka"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", &stage.requests),
            ("messaging.destination.partition.id", "0"),
            ("messaging.kafka.offset", &offset),
            ("messaging.consumer.group.name", &stage.group),
            ("nik.outcome", if failure { "failure" } else { "result" }),
        ]);
        if failure {
            expected.insert("nik.failure.reason", "unknown_process");
        }
        let found = attributes(&span.attributes);
        assert_eq!(found, expected.into_iter().map(|(key, it)| (key, it.to_owned())).collect());
    }
    let all = collector.spans();
    let commits: Vec<_> = all.iter().filter(|it| it.kind == SpanKind::Client as i32).collect();
    let mut linked: Vec<_> =
        commits.iter().flat_map(|commit| &commit.links).map(|it| it.span_id.clone()).collect();
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    linked.sort();
    ids.sort();
    assert_eq!(linked, ids);
    for commit in commits {
        assert_eq!(commit.name, format!("commit {}", stage.requests));
        assert_eq!(attributes(&commit.attributes)["messaging.operation.type"], "settle");
        assert!(commit.parent_span_id.is_empty());
    }
    let resource = collector.requests()[0].resource_spans[0].resource.clone();
    assert_eq!(attributes(&resource.expect("one").attributes)["service.name"], "nik-stream");
    assert!(!format!("{all:?}").contains(NIK), "neither a NIK nor a key");
    assert_eq!(metrics[r#"nik_stream_spans_total{outcome="dropped"}"#].to_string(), "0");
}

#[test]
fn a_collector_that_is_away_costs_the_spans_and_nothing_else() {
    let stage = Stage::new(shared(), "untraced", 1);
    let settings = stage
        .settings()
        .set("traces.endpoint", "http://127.0.0.1:1")
        .set("traces.max_per_second", "2");
    let sent: Vec<_> = (1..=20).map(|it| request(it, "limited", &[parent(it, "01")])).collect();
    let program = ready(&settings);
    shared().produce(&stage.requests, &sent);
    let (results, _) = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(results.len(), sent.len());
    let count = |outcome| {
        let name = format!("nik_stream_spans_total{{outcome=\"{outcome}\"}}");
        program.metrics()[&name]
    };
    wait_until("all are dropped", || count("dropped") > 20.0); // a commit has a span, too
    assert_eq!(count("sent").to_string(), "0");
    stop(program);
}
