//! A small HTTP client for servers on this machine.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Request;

const TIMEOUT: Duration = Duration::from_mins(1);
/// More than any response in the tests has.
const MAX_BODY: u64 = 1 << 30;

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter(|(it, _)| it.eq_ignore_ascii_case(name));
        headers.next().map(|(_, value)| value.as_str())
    }
}

/// Sends a request on its own connection; `None` without a response.
pub fn request(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Response> {
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_idle_connections(0)
        .build()
        .into();
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = match body {
        Some(body) => agent.run(request.body(body).expect("a valid request")),
        None => agent.run(request.body(()).expect("a valid request")),
    };
    let mut response = response.ok()?;
    let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value))).collect();
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MAX_BODY).read_to_string().ok()?;
    Some(Response { status, headers, body })
}
