//! Makes spans of committed requests and sends them to a collector.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry::trace::{Link, SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, Key, KeyValue, SpanId, TraceId};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, SpanData, SpanEvents, SpanExporter, SpanLinks,
};
use tokio::runtime::Runtime;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::{CommittedRequests, Options, Sampled};
use crate::telemetry::metrics::Spans;

/// A request to the collector has at most about this many spans.
const BATCH_SPANS: usize = 512;
/// How long the first spans of a request to the collector wait for more.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How long a request to the collector may take, repetitions included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES: u64 = 1 << 20;
/// The most links of a commit's span, `OpenTelemetry`'s own limit.
const MAX_LINKS: usize = 128;

/// Why traces cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    #[error("traces.endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("the thread of the traces cannot start: {0}")]
    Thread(#[from] std::io::Error),
}

pub(super) struct Exporter {
    otlp: opentelemetry_otlp::SpanExporter,
    runtime: Runtime,
    scope: InstrumentationScope,
    ids: RandomIdGenerator,
    options: Options,
}

impl Exporter {
    pub fn new(options: Options) -> Result<Self, TracesError> {
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls);
        let agent = ureq::Agent::config_builder()
            .tls_config(tls.root_certs(RootCerts::PlatformVerifier).build())
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let mut otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(Client(agent))
            .with_endpoint(&options.url)
            .with_timeout(TIMEOUT)
            .build()?;
        otlp.set_resource(&resource(options.version));
        let scope = InstrumentationScope::builder("nik-stream").with_version(options.version);
        Ok(Self {
            otlp,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build()?,
            scope: scope.build(),
            ids: RandomIdGenerator::default(),
            options,
        })
    }

    /// Sends the spans of each commit in the queue, until the queue ends.
    pub fn run(&self, queue: &Receiver<Option<CommittedRequests>>, counts: &Spans) {
        while let Ok(Some(first)) = queue.recv() {
            let mut spans = self.spans(&first);
            let send_at = Instant::now() + LONGEST_WAIT;
            let mut is_end = false;
            while spans.len() < BATCH_SPANS && !is_end {
                match queue.recv_timeout(send_at.saturating_duration_since(Instant::now())) {
                    Ok(Some(next)) => spans.append(&mut self.spans(&next)),
                    Err(RecvTimeoutError::Timeout) => break,
                    Ok(None) | Err(RecvTimeoutError::Disconnected) => is_end = true,
                }
            }
            self.send(spans, counts);
            if is_end {
                return;
            }
        }
    }

    fn send(&self, spans: Vec<SpanData>, counts: &Spans) {
        let count = spans.len();
        match self.runtime.block_on(self.otlp.export(spans)) {
            Ok(()) => counts.sent.inc_by(count as u64),
            Err(error) => {
                counts.dropped.inc_by(count as u64);
                tracing::warn!(spans = count, detail = %error, "the collector does not take spans");
            }
        }
    }

    /// A span for each request, and one for their commit with links to them.
    fn spans(&self, committed: &CommittedRequests) -> Vec<SpanData> {
        let mut spans: Vec<_> =
            committed.requests.iter().map(|it| self.process(it, committed.ended)).collect();
        let links = spans.iter().take(MAX_LINKS);
        let links = links.map(|span| Link::new(span.span_context.clone(), Vec::new(), 0)).collect();
        spans.push(self.commit(committed, links));
        spans
    }

    fn process(&self, sampled: &Sampled, ended: SystemTime) -> SpanData {
        let millis = u64::try_from(sampled.timestamp).unwrap_or_default();
        let start_time = UNIX_EPOCH + Duration::from_millis(millis);
        let mut attributes = self.attributes("process", "process");
        attributes.extend([
            KeyValue::new(
                "messaging.destination.partition.id",
                sampled.position.partition.to_string(),
            ),
            KeyValue::new("messaging.kafka.offset", sampled.position.offset),
            KeyValue::new(
                "nik.outcome",
                if sampled.failure.is_none() { "result" } else { "failure" },
            ),
        ]);
        attributes
            .extend(sampled.failure.map(|reason| KeyValue::new("nik.failure.reason", reason)));
        SpanData {
            parent_span_id: sampled.parent.span,
            parent_span_is_remote: true,
            start_time,
            end_time: ended.max(start_time),
            attributes,
            ..self.span(sampled.parent.trace, SpanKind::Consumer, "process")
        }
    }

    fn commit(&self, committed: &CommittedRequests, links: Vec<Link>) -> SpanData {
        let mut attributes = self.attributes("commit", "settle");
        let records = i64::try_from(committed.records).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("messaging.batch.message_count", records));
        let mut span_links = SpanLinks::default();
        span_links.dropped_count =
            u32::try_from(committed.requests.len() - links.len()).unwrap_or(u32::MAX);
        span_links.links = links;
        SpanData {
            start_time: committed.started,
            end_time: committed.ended.max(committed.started),
            attributes,
            links: span_links,
            ..self.span(self.ids.new_trace_id(), SpanKind::Client, "commit")
        }
    }

    /// A span of a trace, without a parent and without times.
    fn span(&self, trace: TraceId, span_kind: SpanKind, operation: &str) -> SpanData {
        let (span, state) = (self.ids.new_span_id(), TraceState::NONE);
        SpanData {
            span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind,
            name: format!("{operation} {}", self.options.topic).into(),
            start_time: UNIX_EPOCH,
            end_time: UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    /// The attributes of every span, by `OpenTelemetry`'s conventions for messaging.
    fn attributes(&self, name: &'static str, kind: &'static str) -> Vec<KeyValue> {
        vec![
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", name),
            KeyValue::new("messaging.operation.type", kind),
            KeyValue::new("messaging.destination.name", self.options.topic.clone()),
            KeyValue::new("messaging.consumer.group.name", self.options.group.clone()),
        ]
    }
}

/// What the environment says about this program (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`),
/// its name unless that is given, and its version.
fn resource(version: &'static str) -> Resource {
    let detected = Resource::builder().build();
    let name = detected.get(&Key::from_static_str("service.name"));
    let is_named = name.is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(KeyValue::new("service.version", version));
    if is_named { builder.build() } else { builder.with_service_name("nik-stream").build() }
}

/// Sends the exporter's requests.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, &body[..]))?;
        let (head, body) = answer.into_parts();
        let bytes = body.into_with_config().limit(ANSWER_BYTES).read_to_vec()?;
        Ok(Response::from_parts(head, bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Position;
    use crate::telemetry::traces::Parent;

    #[test]
    fn a_commit_links_to_its_first_128_requests_and_counts_the_others() {
        let options = Options {
            url: "http://127.0.0.1:1/v1/traces".to_owned(),
            max_per_second: 1,
            topic: "requests".to_owned(),
            group: "group".to_owned(),
            version: "0",
        };
        let exporter = Exporter::new(options).unwrap();
        let requests = (1..=200_u64).map(|number| Sampled {
            parent: Parent { trace: u128::from(number).into(), span: number.into() },
            position: Position { partition: 0, offset: 0 },
            timestamp: -1,
            failure: None,
        });
        let ended = UNIX_EPOCH + Duration::from_secs(1);
        let committed =
            CommittedRequests { requests: requests.collect(), records: 300, started: ended, ended };
        let spans = exporter.spans(&committed);
        let (commit, processed) = spans.split_last().unwrap();
        assert_eq!(
            (processed.len(), commit.links.len(), commit.links.dropped_count),
            (200, 128, 72)
        );
        for (link, span) in commit.links.iter().zip(processed) {
            assert_eq!(link.span_context, span.span_context);
        }
        assert!(
            processed.iter().all(|span| span.start_time == UNIX_EPOCH && span.end_time == ended)
        );
        let mut ids: Vec<_> = spans.iter().map(|span| span.span_context.span_id()).collect();
        ids.sort_by_key(|id| id.to_bytes());
        ids.dedup();
        assert_eq!(ids.len(), 201, "each has its own id");
    }
}
