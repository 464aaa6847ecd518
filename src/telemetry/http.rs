//! The HTTP door for operators: the live page, `/metrics`, `/livez`, `/readyz`.

use std::io;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;
use super::status::{STEP, Status};

/// What a browser may load for the page: nothing but its own parts.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// What the door shows.
#[derive(Clone)]
pub struct View {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The readiness.
    pub health: Arc<Health>,
    /// What the live page shows.
    pub status: Arc<Status>,
}

/// Serves as long as the process lives: a stopping program still tells that it stops.
///
/// # Errors
/// When the socket fails for good.
pub async fn serve(listener: TcpListener, view: View) -> io::Result<()> {
    let noted = Arc::clone(&view.status);
    tokio::spawn(async move {
        let mut step = tokio::time::interval(STEP);
        loop {
            step.tick().await;
            noted.note();
        }
    });
    let routes = Router::new()
        .route("/", get(page))
        .route("/page/{part}", get(part_of_page))
        .route("/api/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(view);
    axum::serve(listener, routes).await
}

async fn metrics(State(view): State<View>) -> Response {
    let text = view.metrics.render();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn ready(State(view): State<View>) -> Response {
    let problems = view.health.problems();
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    let text = format!("not ready:\n{}\n", problems.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn status(State(view): State<View>) -> Json<Value> {
    Json(view.status.tell())
}

async fn page() -> Response {
    part("text/html", include_str!("page/index.html"))
}

async fn part_of_page(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "style.css" => part("text/css", include_str!("page/style.css")),
        "script.js" => part("text/javascript", include_str!("page/script.js")),
        "icon.svg" => part("image/svg+xml", include_str!("page/icon.svg")),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn part(kind: &str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // Another version may answer the next time.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}
