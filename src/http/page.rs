//! Serves the live page: four files built into the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// The browser may load only the page's own parts.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

pub async fn page() -> Response {
    answer("text/html", include_str!("page/index.html"))
}

pub async fn part(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "style.css" => answer("text/css", include_str!("page/style.css")),
        "script.js" => answer("text/javascript", include_str!("page/script.js")),
        "icon.svg" => answer("image/svg+xml", include_str!("page/icon.svg")),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(kind: &str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // An upgrade of the program may change the page.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    (headers, text).into_response()
}
