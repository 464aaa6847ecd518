//! The HTTP server: the live page, `/metrics`, `/livez`, `/readyz`, `/breaker/resume`; where it is asked for, `/api/nik`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::api::{self, Api};
use super::health::Health;
use super::metrics::Metrics;
use super::page;
use super::patient::{PATIENCE, Patient};
use super::status::{STEP, Status};

/// The pause after a connection that could not be taken: it is gone again, or too many are open.
const PAUSE: Duration = Duration::from_millis(100);

/// What the server shows.
#[derive(Clone)]
pub struct View {
    /// What the live page shows.
    pub status: Arc<Status>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The readiness, and the flood breaker.
    pub health: Arc<Health>,
    /// Whether an operator may resume it from another machine.
    pub resume_from_anywhere: bool,
}

/// Serves as long as the process lives: a stopping program still tells that it stops. Without `api` there is no door to the judgement.
pub async fn serve(listener: TcpListener, view: View, api: Option<Api>) {
    let noted = Arc::clone(&view.status);
    tokio::spawn(async move {
        let mut step = tokio::time::interval(STEP);
        loop {
            step.tick().await;
            noted.note();
        }
    });
    let mut routes: Router = Router::new()
        .route("/", get(page::page))
        .route("/page/{part}", get(page::part))
        .route("/api/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/breaker/resume", post(resume))
        .with_state(view);
    if let Some(api) = api {
        let door = Router::new()
            .route("/api/nik", post(api::answer))
            .route("/api/openapi.yaml", get(api::document))
            .route("/api/schemas/{name}", get(api::schema))
            .with_state(Arc::new(api));
        routes = routes.merge(door);
    }
    // Not `axum::serve`, which waits for ever for whoever sends or takes nothing.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection over HTTP could not be taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        let routes = routes.clone().layer(Extension(ConnectInfo(peer)));
        let stream = TokioIo::new(Patient::new(stream));
        let connection = http.serve_connection(stream, TowerToHyperService::new(routes));
        // How it ends is its peer's affair.
        tokio::spawn(async { drop(connection.await) });
    }
}

async fn status(State(view): State<View>) -> Json<Value> {
    Json(view.status.tell())
}

async fn metrics(State(view): State<View>) -> Response {
    let text = view.metrics.render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn ready(State(view): State<View>) -> Response {
    let problems = view.health.problems();
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("not ready:\n{}\n", problems.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// The operator accepts the dead letters of a flood. No page of another site may say so in the operator's browser.
async fn resume(
    State(view): State<View>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let local = peer.ip().to_canonical().is_loopback();
    let foreign =
        headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if foreign || !(local || view.resume_from_anywhere) {
        let text = "only from this machine, unless http.breaker_resume_from_anywhere is true\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    if view.health.breaker.accept() {
        "resumed: dead letters go out until the flood is over\n".into_response()
    } else {
        (StatusCode::CONFLICT, "the breaker is not open\n").into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::telemetry::health::FloodBreaker;
    use crate::telemetry::metrics::{BuildInfo, RegionsInfo};
    use crate::telemetry::status::About;

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
        let build = BuildInfo { version: "", revision: "", librdkafka: "" };
        let regions = RegionsInfo { release: "", sha256: "", counts: &[] };
        let metrics = Arc::new(Metrics::new(&build, &regions));
        let health = Arc::new(Health::new(0, Arc::new(Open(AtomicBool::new(true)))));
        let status = Status::new(About::default(), Arc::clone(&metrics), Arc::clone(&health));
        View { status: Arc::new(status), metrics, health, resume_from_anywhere }
    }

    /// The answers to two such requests, one after the other.
    fn answers(view: &View, peer: &str, site: Option<&str>) -> [u16; 2] {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.unwrap();
        [(); 2].map(|()| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", site.parse().unwrap());
            }
            let peer = ConnectInfo((peer.parse::<std::net::IpAddr>().unwrap(), 1).into());
            let answer = resume(State(view.clone()), peer, headers);
            runtime.block_on(answer).status().as_u16()
        })
    }

    #[test]
    fn the_breaker_is_resumed_from_this_machine_only_unless_set_otherwise() {
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(answers(&view(false), peer, None), [200, 409], "{peer}");
        }
        for peer in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            let shut = view(false);
            assert_eq!(answers(&shut, peer, None), [403, 403], "{peer}");
            assert!(shut.health.breaker.problem().is_some());
            assert_eq!(answers(&view(true), peer, None), [200, 409], "{peer}");
        }
    }

    #[test]
    fn no_page_of_another_site_resumes_the_breaker_in_an_operators_browser() {
        for site in ["cross-site", "same-site"] {
            assert_eq!(answers(&view(true), "127.0.0.1", Some(site)), [403, 403]);
        }
        for site in ["same-origin", "none"] {
            assert_eq!(answers(&view(false), "127.0.0.1", Some(site)), [200, 409]);
        }
    }
}
