//! The HTTP door for operators: the live page, `/metrics`, `/livez`, `/readyz`.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;
use super::page;
use super::status::{STEP, Status};

/// What the door shows.
#[derive(Clone)]
pub struct View {
    /// What the live page shows.
    pub status: Arc<Status>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The readiness.
    pub health: Arc<Health>,
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
        .route("/", get(page::page))
        .route("/page/{part}", get(page::part))
        .route("/api/status", get(status))
        .route("/metrics", get(metrics))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .with_state(view);
    axum::serve(listener, routes).await
}

async fn status(State(view): State<View>) -> Json<Value> {
    Json(view.status.tell())
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
