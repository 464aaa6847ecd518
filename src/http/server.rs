//! The HTTP server: the live page, `/metrics`, `/livez`, `/readyz`, `/breaker/resume` and, if
//! enabled, `/api/nik`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use axum::extract::{ConnectInfo, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::api::Api;
use super::page;
use super::status::{STEP, Status};
use super::write_timeout::WriteTimeout;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;

/// The most connections at a time. Further ones wait until one of them ends; the timeouts bound how
/// long that takes.
pub const MAX_CONNECTIONS: usize = 256;
/// The pause after a failed accept: too many connections are open, or the peer has gone.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub struct HttpTimeouts {
    /// To send the head of a request; also how long a connection may be idle.
    pub head: Duration,
    /// To send the body of a request.
    pub body: Duration,
    /// To read a response.
    pub write: Duration,
}

impl HttpTimeouts {
    /// The same time for everything.
    pub fn all(timeout: Duration) -> Self {
        Self { head: timeout, body: timeout, write: timeout }
    }
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self::all(Duration::from_secs(30))
    }
}

/// What the endpoints use.
#[derive(Clone)]
pub struct View {
    pub status: Arc<Status>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Whether the breaker may be resumed from another machine.
    pub resume_from_anywhere: bool,
}

/// All endpoints, with those of `api` if it is enabled.
fn routes(view: View, api: Option<Api>) -> Router {
    let routes = Router::new()
        .route("/", get(page::page))
        .route("/page/{part}", get(page::part))
        .route("/api/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/breaker/resume", post(resume))
        .with_state(view);
    match api {
        Some(api) => routes.merge(api.routes()),
        None => routes,
    }
}

/// Serves HTTP on its own thread for as long as the process lives, so that a stopping program still
/// reports that it stops.
pub fn start(
    listener: std::net::TcpListener,
    view: View,
    api: Option<Api>,
    timeouts: HttpTimeouts,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // The blocking threads validate requests over HTTP; they start on demand.
    let validators = thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(validators)
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        TcpListener::from_std(listener)?
    };
    let status = Arc::clone(&view.status);
    let routes = routes(view, api);
    let work = async move {
        tokio::spawn(record_history(status));
        serve(listener, routes, timeouts).await;
    };
    thread::Builder::new().name("http".to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(())
}

async fn record_history(status: Arc<Status>) {
    let mut step = interval(STEP);
    // After a suspension of the machine, all missed ticks at once would replace the history.
    step.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        step.tick().await;
        status.record();
    }
}

/// Accepts connections for ever, with timeouts, which `axum::serve` does not have.
pub async fn serve(listener: TcpListener, routes: Router, timeouts: HttpTimeouts) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(timeouts.head);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return; // never closed
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let routes = routes.clone().layer(Extension(ConnectInfo(peer)));
        let stream = TokioIo::new(WriteTimeout::new(stream, timeouts.write));
        let connection = http.serve_connection(stream, TowerToHyperService::new(routes));
        // An error of a connection concerns only its peer, so it is not logged.
        tokio::spawn(async move {
            drop(connection.await);
            drop(slot);
        });
    }
}

async fn status(State(view): State<View>) -> Json<Value> {
    Json(view.status.json())
}

async fn metrics(State(view): State<View>) -> Response {
    view.metrics.set_obstacles(&view.health.problems());
    view.metrics.standing_partitions.set(view.health.standing_partitions());
    let text = view.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn ready(State(view): State<View>) -> Response {
    let problems = view.health.problems();
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    let lines: Vec<_> = problems.iter().map(|problem| problem.text.as_str()).collect();
    let text = format!("not ready:\n{}\n", lines.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// Lets an operator accept the dead letters of a flood. A page of another site must not be able to
/// do so in the operator's browser.
async fn resume(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let is_local = peer.ip().to_canonical().is_loopback() && names_an_address(&headers);
    if is_of_another_site(&headers) || !(is_local || view.resume_from_anywhere) {
        let text =
            "allowed only from this machine unless http.breaker_resume_from_anywhere is true\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if view.health.breaker.accept() {
        "resumed: dead letters are written until the flood is over\n".into_response()
    } else {
        (StatusCode::CONFLICT, "the breaker is not open\n").into_response()
    }
}

/// Whether a browser sends this for a page of another site. Old browsers send only `Origin`.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let is_own = |origin: &[u8]| {
        [&b"http://"[..], b"https://"].iter().any(|it| origin.strip_prefix(*it) == host)
    };
    site.is_some_and(|site| site != "same-origin" && site != "none")
        || origin.is_some_and(|origin| !is_own(origin))
}

/// Whether the request names this machine by an address or as localhost. A name of another site may
/// resolve to the loopback address (DNS rebinding), and its pages are then of the same origin.
fn names_an_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        return true; // a browser always sends it
    };
    host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()).is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || name.parse::<IpAddr>().is_ok()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::http::status::About;
    use crate::telemetry::health::FloodBreaker;

    /// A breaker that is open until it is accepted.
    struct Open(AtomicBool);

    impl FloodBreaker for Open {
        fn problem(&self) -> Option<String> {
            self.0.load(Ordering::Relaxed).then(|| "open".to_owned())
        }

        fn accept(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    fn view(resume_from_anywhere: bool) -> View {
        let metrics = Arc::new(Metrics::for_tests(&[]));
        let health = Arc::new(Health::new(0, Arc::new(Open(AtomicBool::new(true)))));
        let status = Status::new(About::default(), Arc::clone(&metrics), Arc::clone(&health));
        View { status: Arc::new(status), metrics, health, resume_from_anywhere }
    }

    /// The statuses of the same request made twice.
    fn statuses(view: &View, peer: &str, site: Option<&str>) -> [u16; 2] {
        let given: Vec<_> = site.map(|site| ("sec-fetch-site", site)).into_iter().collect();
        statuses_with(view, peer, &given)
    }

    fn statuses_with(view: &View, peer: &str, given: &[(&'static str, &str)]) -> [u16; 2] {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        [(); 2].map(|()| {
            let mut headers = HeaderMap::new();
            for &(name, value) in given {
                headers.insert(name, value.parse().unwrap());
            }
            let peer = ConnectInfo((peer.parse::<std::net::IpAddr>().unwrap(), 1).into());
            let answer = resume(State(view.clone()), peer, headers);
            runtime.block_on(answer).status().as_u16()
        })
    }

    #[test]
    fn the_breaker_is_resumed_only_from_this_machine_unless_set_otherwise() {
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(statuses(&view(false), peer, None), [200, 409], "{peer}");
        }
        for peer in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let open = view(false);
            assert_eq!(statuses(&open, peer, None), [403, 403], "{peer}");
            assert!(open.health.breaker.problem().is_some());
            assert_eq!(statuses(&view(true), peer, None), [200, 409], "{peer}");
        }
    }

    #[test]
    fn a_page_of_another_site_cannot_resume_the_breaker() {
        for site in ["cross-site", "same-site"] {
            assert_eq!(statuses(&view(true), "127.0.0.1", Some(site)), [403, 403]);
        }
        for site in ["same-origin", "none"] {
            assert_eq!(statuses(&view(false), "127.0.0.1", Some(site)), [200, 409]);
        }
    }

    #[test]
    fn a_page_whose_name_resolves_to_this_machine_cannot_resume_the_breaker() {
        let rebound = [
            ("host", "evil.example:9464"),
            ("origin", "http://evil.example:9464"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(statuses_with(&view(false), "127.0.0.1", &rebound), [403, 403]);
        for host in ["localhost:9464", "127.0.0.1:9464", "[::1]:9464", "127.0.0.1"] {
            let origin = format!("http://{host}");
            let own = [("host", host), ("origin", origin.as_str())];
            assert_eq!(statuses_with(&view(false), "127.0.0.1", &own), [200, 409], "{host}");
        }
    }

    #[test]
    fn an_old_browser_names_only_the_origin_of_the_page() {
        let other = [("host", "localhost:9464"), ("origin", "http://evil.example")];
        assert_eq!(statuses_with(&view(true), "127.0.0.1", &other), [403, 403]);
        let opaque = [("host", "localhost:9464"), ("origin", "null")];
        assert_eq!(statuses_with(&view(true), "127.0.0.1", &opaque), [403, 403]);
        let own = [("host", "nik.example"), ("origin", "https://nik.example")];
        assert_eq!(statuses_with(&view(true), "192.0.2.1", &own), [200, 409]);
    }
}
