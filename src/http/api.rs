//! `POST /api/nik`, the endpoint of the Flask service that this program replaces. The answers have
//! the bytes of the stream's outcomes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::pipeline::judge::JudgeInForce;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::today;
use nik_wire::process::Outcome;
use nik_wire::{Reason, write_failure};

/// The number of requests that are received, validated or answered at a time. It bounds the memory:
/// each holds at most the largest request and the largest result.
const CONCURRENCY: usize = 32;
/// How long a request waits for its turn before it is refused.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// A body that is too large is read and discarded up to this many times the limit, since a client
/// that is still sending does not read the answer.
const DISCARD_FACTOR: usize = 16;

/// The header that holds the reason of a failure, as in the failures topic.
const REASON: HeaderName = HeaderName::from_static("nik-failure-reason");

/// The state of the endpoint.
pub struct Api {
    judge: Arc<JudgeInForce>,
    metrics: Arc<Metrics>,
    body_timeout: Duration,
    slots: Arc<Semaphore>,
}

impl Api {
    /// Validates with the judge in force, for today in Jakarta unless it has a fixed date. A body
    /// that takes longer than `body_timeout` to arrive is refused.
    pub fn new(judge: Arc<JudgeInForce>, metrics: Arc<Metrics>, body_timeout: Duration) -> Self {
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        Self { judge, metrics, body_timeout, slots }
    }

    /// `POST /api/nik`, its `OpenAPI` description and the schemas that the description refers to.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/api/nik", post(answer))
            .route("/api/openapi.yaml", get(document))
            .route("/api/schemas/{name}", get(schema))
            .with_state(Arc::new(self))
    }

    async fn process(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refusal> {
        if !is_json(headers) {
            return Err(Refusal::NotJson);
        }
        let slot = timeout(QUEUE_TIMEOUT, Arc::clone(&self.slots).acquire_owned());
        let Ok(Ok(slot)) = slot.await else {
            return Err(Refusal::Busy);
        };
        let judge = self.judge.copy();
        let limit = judge.processor.settings().limits.request_bytes;
        let request = match timeout(self.body_timeout, read(body, limit)).await {
            Ok(Ok(request)) => request,
            Ok(Err(_)) => return Err(Refusal::Incomplete),
            Err(_) => return Err(Refusal::Slow),
        };
        let started = Instant::now();
        let date = judge.dating.reference_date.fixed().unwrap_or_else(today);
        // Only records in topics have schema ids.
        let mut processor = judge.processor.without_framing();
        // On another thread, so that a long list does not delay a health check.
        let processed = spawn_blocking(move || {
            let mut payload = Vec::new();
            let outcome = processor.process(Some(&request), date, &mut payload);
            (outcome, Bytes::from_owner(Payload { bytes: payload, _slot: slot }))
        });
        let (outcome, payload) = processed.await.unwrap_or_else(|_| {
            let mut payload = Vec::new();
            write_failure(&mut payload, None);
            let (reason, process) = (Reason::Internal, None);
            (Outcome::Failure { reason, process }, payload.into())
        });
        self.metrics.api.answered(&outcome, started.elapsed());
        Ok(response(&outcome, payload))
    }
}

/// The body of a response. It releases its slot when hyper drops it: once all bytes are sent or the
/// connection is closed.
struct Payload {
    bytes: Vec<u8>,
    _slot: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn answer(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    match api.process(&headers, body).await {
        Ok(response) => response,
        Err(refusal) => {
            let response = refusal.into_response();
            api.metrics.api.refused(response.status().as_u16());
            response
        }
    }
}

async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], DOCUMENT).into_response()
}

async fn schema(Path(name): Path<String>) -> Response {
    match SCHEMAS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => {
            ([(header::CONTENT_TYPE, "application/schema+json")], *text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

const DOCUMENT: &str = include_str!("../../openapi.yaml");

macro_rules! schemas {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../schemas/", $name)))),*]
    };
}

const SCHEMAS: [(&str, &str); 5] = schemas!(
    "request.schema.json",
    "result-limited.schema.json",
    "result-full.schema.json",
    "result-explain.schema.json",
    "failure.schema.json"
);

/// The response for an outcome. It holds personal data, so no cache may store it.
fn response(outcome: &Outcome, payload: Bytes) -> Response {
    let mut response = (
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
        payload,
    )
        .into_response();
    if let Outcome::Failure { reason, .. } = outcome {
        *response.status_mut() = match reason {
            Reason::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::Tombstone
            | Reason::MalformedJson
            | Reason::InvalidRequest
            | Reason::UnknownProcess
            | Reason::TooManyNiks
            | Reason::ResultTooLarge => StatusCode::BAD_REQUEST,
        };
        let reason = HeaderValue::from_static(reason.as_str());
        response.headers_mut().insert(REASON, reason);
    }
    response
}

/// Whether the headers declare plain JSON. A browser does not send this content type to another
/// site without a CORS preflight, which this server never grants.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_identity = |it: &str| it.eq_ignore_ascii_case("identity");
    text(header::CONTENT_ENCODING).is_none_or(is_identity)
        && media_type.eq_ignore_ascii_case("application/json")
}

/// Reads a request, but keeps at most `limit` + 1 bytes, since a longer request is refused anyway.
async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, axum::Error> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue; // trailers
        };
        let room = limit.saturating_add(1) - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        length += data.len();
        if length / DISCARD_FACTOR > limit {
            break;
        }
    }
    Ok(bytes)
}

/// Why a request was refused without validation.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Incomplete,
    Slow,
    NotJson,
    Busy,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Incomplete => (StatusCode::BAD_REQUEST, "the body is incomplete"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "timed out while reading the body"),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected content-type: application/json without content-encoding",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"),
        };
        let mut response = (status, format!("{text}\n")).into_response();
        let hint = match self {
            Self::Incomplete => None,
            Self::Slow => Some((header::CONNECTION, "close")),
            Self::NotJson => Some((header::ACCEPT_ENCODING, "identity")),
            Self::Busy => Some((header::RETRY_AFTER, "1")),
        };
        if let Some((name, value)) = hint {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
