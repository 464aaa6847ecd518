//! OAUTHBEARER tokens, read from a file or from the output of a command, cached for all clients and
//! renewed before they expire.
//!
//! Only the expiry of a token is read. Its signature is left to the brokers, so a JWT library is
//! not needed.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Secret, Security};
use crate::telemetry::now_ms;

/// How long a command may run. A worker waits for it.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// The lifetime of a token that does not state its expiry.
const DEFAULT_LIFETIME_MS: i64 = 5 * 60 * 1000;
/// Upper bound on the output of a command, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// Why a token could not be obtained. The message never quotes what was read, which may be secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("{path} cannot be read: {why} (kafka.security.oauth_token_file)")]
    Unreadable { path: String, why: String },
    #[error("kafka.security.oauth_token_command cannot be started: {0}")]
    NotStarted(String),
    #[error("kafka.security.oauth_token_command took more than {} s", COMMAND_TIMEOUT.as_secs())]
    TimedOut,
    #[error("kafka.security.oauth_token_command failed: {0}")]
    Failed(String),
    #[error(
        "{0} gave no token, expected a token or an answer of a token endpoint (JSON with access_token)"
    )]
    Malformed(&'static str),
    #[error("the token of {0} has expired")]
    Expired(&'static str),
    #[error(
        "neither kafka.security.oauth_token_file nor kafka.security.oauth_token_command is set"
    )]
    NoSource,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Command(Secret),
}

impl Source {
    fn name(&self) -> &'static str {
        match self {
            Source::File(_) => "kafka.security.oauth_token_file",
            Source::Command(_) => "kafka.security.oauth_token_command",
        }
    }

    fn read(&self) -> Result<String, NoToken> {
        match self {
            Source::File(path) => std::fs::read_to_string(path).map_err(|error| {
                NoToken::Unreadable { path: path.display().to_string(), why: error.to_string() }
            }),
            Source::Command(command) => run(command.expose()),
        }
    }
}

/// A token and its times, in milliseconds since 1970.
#[derive(Clone)]
struct Token {
    text: String,
    /// When to get the next token. librdkafka refreshes at the same point of the lifetime.
    renew_at: i64,
    expires_at: i64,
}

/// The source of tokens, and the latest token.
#[derive(Debug)]
pub struct Tokens {
    source: Option<Source>,
    latest: Mutex<Option<Token>>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Token").finish_non_exhaustive()
    }
}

impl Tokens {
    pub fn new(security: &Security) -> Self {
        let file = security.oauth_token_file.clone().map(Source::File);
        let command = security.oauth_token_command.clone();
        Self { source: file.or_else(|| command.map(Source::Command)), latest: Mutex::default() }
    }

    /// The current token: from the cache until it is due for renewal.
    pub fn get(&self) -> Result<OAuthToken, NoToken> {
        let source = self.source.as_ref().ok_or(NoToken::NoSource)?;
        let mut latest = self.latest.lock();
        let now = now_ms();
        let token = match latest.take().filter(|token| now < token.renew_at) {
            Some(token) => token,
            None => parse(&source.read()?, source.name(), now)?,
        };
        *latest = Some(token.clone());
        Ok(OAuthToken {
            token: token.text,
            // Appears only in librdkafka's messages: the brokers take the name from the token.
            principal_name: "nik-stream".to_owned(),
            lifetime_ms: token.expires_at,
        })
    }
}

/// The response of a token endpoint (RFC 6749).
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: Option<i64>,
}

/// Parses a bare token or the response of a token endpoint.
fn parse(text: &str, source: &'static str, now: i64) -> Result<Token, NoToken> {
    let text = text.trim();
    let response = serde_json::from_str(text)
        .unwrap_or_else(|_| TokenResponse { access_token: text.to_owned(), expires_in: None });
    let token = response.access_token;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err(NoToken::Malformed(source));
    }
    let expires_in = || response.expires_in.map(|it| now.saturating_add(it.saturating_mul(1000)));
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
    let expiry = claims.get("exp")?;
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let seconds = expiry.as_i64().or_else(|| expiry.as_f64().map(|it| it as i64))?;
    seconds.checked_mul(1000)
}

/// Runs the command and returns its standard output. Its standard error is discarded because it may
/// quote a secret.
fn run(command: &str) -> Result<String, NoToken> {
    let not_started = |error: std::io::Error| NoToken::NotStarted(error.to_string());
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let output = child.stdout.take();
    let (done, text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(Ok(_)) = output.map(|it| it.take(MAX_OUTPUT).read_to_string(&mut text)) {
            let _ = done.send(text); // fails if the caller has timed out
        }
    });
    let status = wait(&mut child).map_err(not_started)?;
    match status {
        None => Err(NoToken::TimedOut),
        Some(status) if !status.success() => Err(NoToken::Failed(status.to_string())),
        // A background process of the command may keep the pipe open, so this can time out too.
        Some(_) => text.recv_timeout(COMMAND_TIMEOUT).map_err(|_| NoToken::TimedOut),
    }
}

/// Waits for `child` to exit; kills it after the timeout and returns `None`.
fn wait(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + COMMAND_TIMEOUT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(10));
    }
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
    fn a_failed_command_is_reported_without_its_output() {
        assert_eq!(run("printf token"), Ok("token".to_owned()));
        let failed = run("echo secret >&2; echo secret; exit 3").unwrap_err();
        assert!(failed.to_string().ends_with("exit status: 3"), "{failed}");
    }
}
