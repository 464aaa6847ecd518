//! OAUTHBEARER tokens for all clients, from a file or from the token endpoint of an identity
//! provider, renewed before they expire.
//!
//! A token that cannot be renewed is used until it ends. Only the expiry of a token is read. Its
//! signature is left to the brokers, so a JWT library is not needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Condvar, Mutex};
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use serde_json::Value;

use super::endpoint::{Endpoint, REQUEST_TIMEOUT};
use crate::config::Security;
use crate::telemetry::now_ms;

/// The lifetime of a token that does not state its expiry.
const DEFAULT_LIFETIME_MS: i64 = 5 * 60 * 1000;
/// The pauses between two requests to an endpoint that gives no token.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const FILE: &str = "kafka.security.oauth_token_file";
const ENDPOINT: &str = "kafka.security.oauth_endpoint";

/// Why a token could not be obtained. The message never quotes what was read, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("{path} cannot be read: {why} (kafka.security.{setting})")]
    Unreadable { path: String, why: String, setting: &'static str },
    #[error(
        "{0} gave no token, expected a token or an answer of a token endpoint (JSON with access_token)"
    )]
    Malformed(&'static str),
    #[error("the token of {0} has expired")]
    Expired(&'static str),
    #[error("the token endpoint cannot be reached: {0} (kafka.security.oauth_endpoint)")]
    Unreachable(String),
    #[error(
        "the certificate of the token endpoint is not trusted: certificate verify failed ({0})"
    )]
    NotTrusted(&'static str),
    #[error(
        "the token endpoint refuses this client: {0} (check kafka.security.oauth_client_id and oauth_client_secret_file)"
    )]
    ClientRefused(String),
    #[error(
        "the token endpoint refuses the request: {0} (check kafka.security.oauth_scope and oauth_audience)"
    )]
    RequestRefused(String),
    #[error("the token endpoint did not answer in time (kafka.security.oauth_endpoint)")]
    TimedOut,
    #[error("the thread that renews tokens cannot be started: {0}")]
    NoThread(String),
    #[error("neither kafka.security.oauth_token_file nor kafka.security.oauth_endpoint is set")]
    NoSource,
}

impl NoToken {
    pub fn unreadable(path: &Path, error: &std::io::Error, setting: &'static str) -> Self {
        Self::Unreadable { path: path.display().to_string(), why: error.to_string(), setting }
    }
}

/// A token and its times, in milliseconds since 1970.
#[derive(Clone)]
pub struct Token {
    text: String,
    /// When to get the next token: before librdkafka asks for it.
    renew_at: i64,
    expires_at: i64,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Token").finish_non_exhaustive()
    }
}

impl Token {
    /// The token for a client at `now`.
    ///
    /// librdkafka asks for the next token after 80 % of the lifetime that it is told, and renews the
    /// sessions of its connections after 90 % of theirs. It is told nine tenths of the lifetime, so
    /// it asks after 72 %, soon after this program has renewed the token, and sessions are renewed
    /// with the next token: one that is about to expire would give sessions that are too short for
    /// the brokers (KIP-368).
    fn for_client(self, now: i64) -> OAuthToken {
        OAuthToken {
            token: self.text,
            // Appears only in librdkafka's messages: the brokers take the name from the token.
            principal_name: "nik-stream".to_owned(),
            lifetime_ms: self.expires_at - (self.expires_at - now) / 10,
        }
    }
}

/// The source of tokens.
#[derive(Debug)]
pub enum Tokens {
    None,
    /// A file that another program renews, and the token that was read last.
    File(PathBuf, Mutex<Option<Token>>),
    Endpoint(Renewal),
}

impl Tokens {
    pub fn new(security: &Security) -> Self {
        match (&security.oauth_token_file, Endpoint::new(security)) {
            (Some(file), _) => Self::File(file.clone(), Mutex::default()),
            (None, Some(endpoint)) => Self::Endpoint(Renewal::new(endpoint)),
            (None, None) => Self::None,
        }
    }

    /// The current token.
    pub fn get(&self) -> Result<OAuthToken, NoToken> {
        let token = match self {
            Self::None => Err(NoToken::NoSource),
            Self::File(path, latest) => from_file(path, &mut latest.lock(), now_ms()),
            Self::Endpoint(renewal) => renewal.get(),
        };
        token.map(|token| token.for_client(now_ms()))
    }
}

/// The token that was read last, until it is due for renewal. Then the token in the file, or the last
/// one as long as it is valid.
fn from_file(path: &Path, latest: &mut Option<Token>, now: i64) -> Result<Token, NoToken> {
    if let Some(token) = latest.as_ref().filter(|token| now < token.renew_at) {
        return Ok(token.clone());
    }
    let read = std::fs::read_to_string(path)
        .map_err(|error| NoToken::unreadable(path, &error, "oauth_token_file"))
        .and_then(|text| parse(&text, FILE, now));
    match (read, latest.as_ref().filter(|token| now < token.expires_at)) {
        (Err(reason), Some(old)) => {
            tracing::warn!(%reason, "the old token is used until it expires");
            Ok(old.clone())
        }
        (read, _) => Ok(latest.insert(read?).clone()),
    }
}

/// Gets tokens from the endpoint, on a thread that starts with the first client. Clients only look
/// at its latest token, so that none of them waits for the endpoint while there is a valid token.
#[derive(Debug)]
pub struct Renewal {
    endpoint: Arc<Endpoint>,
    latest: Arc<Latest>,
    /// The thread ends when this is dropped.
    thread: Mutex<Option<Sender<()>>>,
}

/// What the thread obtained last.
#[derive(Debug, Default)]
struct Latest {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why the latest request failed.
    failure: Option<NoToken>,
}

impl Renewal {
    fn new(endpoint: Endpoint) -> Self {
        Self { endpoint: Arc::new(endpoint), latest: Arc::default(), thread: Mutex::default() }
    }

    /// The latest token. Waits only for the answer to the very first request.
    fn get(&self) -> Result<Token, NoToken> {
        self.start()?;
        let mut state = self.latest.state.lock();
        let is_pending = |state: &mut State| state.failure.is_none() && state.valid().is_none();
        // Reading the answer may take as long as sending the request.
        self.latest.changed.wait_while_for(&mut state, is_pending, REQUEST_TIMEOUT * 2);
        let failure = || state.failure.clone().unwrap_or(NoToken::TimedOut);
        state.valid().cloned().ok_or_else(failure)
    }

    fn start(&self) -> Result<(), NoToken> {
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let (stop, stopped) = mpsc::channel();
            let (endpoint, latest) = (Arc::clone(&self.endpoint), Arc::clone(&self.latest));
            std::thread::Builder::new()
                .name("tokens".to_owned())
                .spawn(move || renew(&endpoint, &latest, &stopped))
                .map_err(|error| NoToken::NoThread(error.to_string()))?;
            *thread = Some(stop);
        }
        Ok(())
    }
}

impl State {
    fn valid(&self) -> Option<&Token> {
        self.token.as_ref().filter(|token| now_ms() < token.expires_at)
    }
}

/// Gets a token, and the next one when the last is due, until `stopped`.
fn renew(endpoint: &Endpoint, latest: &Latest, stopped: &Receiver<()>) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let answer = endpoint.ask().and_then(|text| parse_answer(&text, now_ms()));
        let wait = match answer {
            Ok(token) => {
                pause = SHORTEST_PAUSE;
                let wait = u64::try_from(token.renew_at - now_ms()).unwrap_or_default();
                *latest.state.lock() = State { token: Some(token), failure: None };
                Duration::from_millis(wait).max(SHORTEST_PAUSE)
            }
            Err(reason) => {
                let mut state = latest.state.lock();
                if state.valid().is_some() {
                    tracing::warn!(%reason, "the old token is used until it expires");
                }
                state.failure = Some(reason);
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        latest.changed.notify_all();
        if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// The response of a token endpoint (RFC 6749).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: Option<Value>,
}

/// Parses the response of the token endpoint.
fn parse_answer(text: &str, now: i64) -> Result<Token, NoToken> {
    let response = serde_json::from_str(text).map_err(|_| NoToken::Malformed(ENDPOINT))?;
    check(response, ENDPOINT, now)
}

/// Parses a bare token or the response of a token endpoint.
fn parse(text: &str, source: &'static str, now: i64) -> Result<Token, NoToken> {
    let text = text.trim();
    let response = serde_json::from_str(text)
        .unwrap_or_else(|_| TokenResponse { access_token: text.to_owned(), expires_in: None });
    check(response, source, now)
}

fn check(response: TokenResponse, source: &'static str, now: i64) -> Result<Token, NoToken> {
    let token = response.access_token;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err(NoToken::Malformed(source));
    }
    let expires_in = || {
        let seconds = seconds(response.expires_in.as_ref()?)?;
        Some(now.saturating_add(seconds.saturating_mul(1000)))
    };
    let expires_at = expiry(&token).or_else(expires_in).unwrap_or(now + DEFAULT_LIFETIME_MS);
    if expires_at <= now {
        return Err(NoToken::Expired(source));
    }
    Ok(Token { text: token, renew_at: now + (expires_at - now) / 10 * 7, expires_at })
}

/// The expiry of a JWT, from its claim `exp`, in milliseconds since 1970.
fn expiry(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    seconds(claims.get("exp")?)?.checked_mul(1000)
}

/// A number of seconds. Some identity providers write it as text.
fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "below 2^53, or nonsense")]
    let of_fraction = || value.as_f64().map(|seconds| seconds as i64);
    value.as_i64().or_else(of_fraction).or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_748_736_000_000;

    fn token(text: &str) -> Result<(String, i64), NoToken> {
        parse(text, "it", NOW).map(|token| (token.text, token.expires_at))
    }

    #[test]
    fn the_expiry_comes_from_the_token_then_the_endpoint_then_the_default() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let (timed, end) = (jwt(r#"{"exp":1748739600.5}"#), 1_748_739_600_000);
        assert_eq!(token(&format!("{timed}\n")), Ok((timed.clone(), end)));
        let answer = format!(r#"{{"access_token":"{timed}","expires_in":60,"token_type":"x"}}"#);
        assert_eq!(token(&answer), Ok((timed, end)));
        let answer = r#"{"access_token":"opaque","expires_in":60}"#;
        assert_eq!(token(answer), Ok(("opaque".to_owned(), NOW + 60_000)));
        assert_eq!(token(&answer.replace("60", "\"60\"")), token(answer));
        assert_eq!(token("opaque"), Ok(("opaque".to_owned(), NOW + DEFAULT_LIFETIME_MS)));
        assert_eq!(token(&jwt(r#"{"exp":1}"#)), Err(NoToken::Expired("it")));
    }

    #[test]
    fn malformed_tokens_are_rejected_without_quoting_them() {
        for text in ["", "{}", "two words", "{\"access_token\":5}", "\u{e9}"] {
            assert_eq!(token(text), Err(NoToken::Malformed("it")), "{text}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_used_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "first").unwrap();
        let mut latest = None;
        let mut text = |now| from_file(&path, &mut latest, now).map(|token| token.text);
        assert_eq!(text(NOW).as_deref(), Ok("first"));
        std::fs::write(&path, "not a token").unwrap();
        let life = DEFAULT_LIFETIME_MS;
        assert_eq!(text(NOW + life / 10 * 8).as_deref(), Ok("first"));
        assert_eq!(text(NOW + life), Err(NoToken::Malformed(FILE)));
        std::fs::write(&path, "second").unwrap();
        assert_eq!(text(NOW + life).as_deref(), Ok("second"));
    }

    #[test]
    fn an_endpoint_answers_with_json_only() {
        let answer = |text| parse_answer(text, NOW).map(|token| token.expires_at);
        assert_eq!(answer(r#"{"access_token":"a","expires_in":60}"#), Ok(NOW + 60_000));
        for text in ["token", "<html>", "{}"] {
            assert_eq!(answer(text), Err(NoToken::Malformed(ENDPOINT)), "{text}");
        }
    }
}
