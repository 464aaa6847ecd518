//! The original's door, `POST /api/nik`: a request over HTTP, judged by the core of the stream to the same bytes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::metrics::Metrics;
use super::patient::PATIENCE;
use super::today;
use nik::Date;
use nik_wire::process::{Outcome, Processor};
use nik_wire::{Reason, write_failure};

/// Requests that are read, judged or answered at once: this many times a request's and a result's size is what the door can take of memory.
const PLACES: usize = 32;
/// How long a request waits for a place.
const WAIT: Duration = Duration::from_secs(1);
/// So many times the largest request is read on and thrown away: a client that still sends does not read the answer.
const SPILL: usize = 16;

/// Why a request failed: as the header of that name in the failures' topic.
const REASON: HeaderName = HeaderName::from_static("nik-failure-reason");

/// What the door judges by.
pub struct Api {
    processor: Processor,
    day: Option<Date>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
}

impl Api {
    /// A door to `processor`; ages and centuries are those of `day`, or of today in Jakarta.
    pub fn new(processor: Processor, day: Option<Date>, metrics: Arc<Metrics>) -> Self {
        Self { processor, day, metrics, places: Arc::new(Semaphore::new(PLACES)) }
    }

    async fn judge(&self, headers: &HeaderMap, body: Body) -> Result<Response, Refused> {
        if !is_json(headers) {
            return Err(Refused::NotJson);
        }
        let place = timeout(WAIT, Arc::clone(&self.places).acquire_owned());
        let Ok(Ok(place)) = place.await else {
            return Err(Refused::Busy);
        };
        let most = self.processor.settings().limits.request_bytes;
        let request = match timeout(PATIENCE, read(body, most)).await {
            Ok(Ok(request)) => request,
            Ok(Err(_)) => return Err(Refused::Broken),
            Err(_) => return Err(Refused::Slow),
        };
        let started = Instant::now();
        let day = self.day.unwrap_or_else(today);
        let mut processor = self.processor.clone();
        // Beside the threads that serve: a long list takes milliseconds, in which a health check would wait.
        let judged = spawn_blocking(move || {
            let mut payload = Vec::new();
            let outcome = processor.process(Some(&request), day, &mut payload);
            let held = Held { payload, _place: place };
            (outcome, Bytes::from_owner(held))
        });
        let (outcome, payload) = judged.await.unwrap_or_else(|_| {
            let mut payload = Vec::new();
            write_failure(&mut payload, None);
            let (reason, process) = (Reason::Internal, None);
            (Outcome::Failure { reason, process }, payload.into())
        });
        self.metrics.api.answered(&outcome, started.elapsed());
        Ok(told(&outcome, payload))
    }
}

/// An answer, whose place is free when its bytes are: hyper lets go of them when they are with the peer, or it is gone.
struct Held {
    payload: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.payload
    }
}

/// `POST /api/nik`.
pub async fn answer(State(api): State<Arc<Api>>, headers: HeaderMap, body: Body) -> Response {
    match api.judge(&headers, body).await {
        Ok(response) => response,
        Err(refused) => {
            let response = refused.into_response();
            api.metrics.api.refused(response.status().as_u16());
            response
        }
    }
}

/// The description of the door, for tools.
pub async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/yaml")], DOCUMENT).into_response()
}

/// A schema that the description refers to.
pub async fn schema(Path(name): Path<String>) -> Response {
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

const SCHEMAS: [(&str, &str); 4] = schemas!(
    "request.schema.json",
    "result-limited.schema.json",
    "result-full.schema.json",
    "failure.schema.json"
);

/// An outcome as HTTP tells it. What is in it is personal: nobody on the way keeps it.
fn told(outcome: &Outcome, payload: Bytes) -> Response {
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

/// Whether the body is said to be JSON as it stands. A web page of another site cannot say so unasked: it would have to be allowed.
fn is_json(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let plain = text(header::CONTENT_ENCODING).is_none_or(|it| it.eq_ignore_ascii_case("identity"));
    plain && kind.eq_ignore_ascii_case("application/json")
}

/// The bytes of a request. Of one that is longer than `most` it is enough to have one byte more: it is refused whatever follows.
async fn read(mut body: Body, most: usize) -> Result<Vec<u8>, axum::Error> {
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else {
            continue; // a trailer
        };
        let room = most.saturating_add(1) - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        length += data.len();
        if length / SPILL > most {
            break;
        }
    }
    Ok(bytes)
}

/// Why a request was not judged.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Broken,
    Slow,
    NotJson,
    Busy,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Broken => (StatusCode::BAD_REQUEST, "the body breaks off"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "the body takes too long to come"),
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "expected content-type: application/json, and no content-encoding",
            ),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many requests at once"),
        };
        let mut response = (status, format!("{text}\n")).into_response();
        let hint = match self {
            Self::Broken => None,
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
