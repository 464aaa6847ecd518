//! Tokens for OAUTHBEARER: read from a file or printed by a command, for all clients of the program, anew before they end.
//!
//! Of a token only its end is read, and nothing is verified: that is the brokers' part, so no library for JWT is needed.

use parking_lot::Mutex;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use serde_json::Value;

use crate::config::{Secret, Security};
use crate::telemetry::now_ms;

/// How long a command may take: a worker waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The life of a token that does not tell its end.
const UNTOLD_MS: i64 = 5 * 60 * 1000;
/// More than any token has.
const LONGEST: u64 = 1 << 20;

/// Why there is no token. It quotes nothing of what was read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    #[error("{path} cannot be read: {why} (kafka.security.oauth_token_file)")]
    Unreadable { path: String, why: String },
    #[error("kafka.security.oauth_token_command cannot be started: {0}")]
    NotStarted(String),
    #[error("kafka.security.oauth_token_command took more than {} s", PATIENCE.as_secs())]
    Late,
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

/// A token with its life, in milliseconds since 1970.
#[derive(Clone)]
struct Token {
    text: String,
    /// When to get the next one: librdkafka asks for it then, too.
    renew: i64,
    ends: i64,
}

/// Where tokens come from, and the latest.
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

    /// The token: the one that another client got, while most of its life is to come.
    pub fn get(&self) -> Result<OAuthToken, NoToken> {
        let source = self.source.as_ref().ok_or(NoToken::NoSource)?;
        let mut latest = self.latest.lock();
        let now = now_ms();
        let token = match latest.take().filter(|token| now < token.renew) {
            Some(token) => token,
            None => read(&source.read()?, source.name(), now)?,
        };
        *latest = Some(token.clone());
        Ok(OAuthToken {
            token: token.text,
            // For librdkafka's own words only: the brokers take the name from the token.
            principal_name: "nik-stream".to_owned(),
            lifetime_ms: token.ends,
        })
    }
}

/// The answer of a token endpoint (RFC 6749).
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<i64>,
}

/// A token, or a token endpoint's answer.
fn read(text: &str, source: &'static str, now: i64) -> Result<Token, NoToken> {
    let text = text.trim();
    let answer = serde_json::from_str(text)
        .unwrap_or_else(|_| Answer { access_token: text.to_owned(), expires_in: None });
    let token = answer.access_token;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(is_token) {
        return Err(NoToken::Malformed(source));
    }
    let told = end_of(&token)
        .or_else(|| answer.expires_in.map(|it| now.saturating_add(it.saturating_mul(1000))));
    let ends = told.unwrap_or(now + UNTOLD_MS);
    if ends <= now {
        return Err(NoToken::Expired(source));
    }
    Ok(Token { text: token, renew: now + (ends - now) / 10 * 7, ends })
}

/// When a JWT ends, by its claim `exp`.
fn end_of(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let end = claims.get("exp")?;
    #[expect(clippy::cast_possible_truncation, reason = "a time")]
    let seconds = end.as_i64().or_else(|| end.as_f64().map(|it| it as i64))?;
    seconds.checked_mul(1000)
}

/// What the command prints. Its standard error goes nowhere: it may quote a secret.
fn run(command: &str) -> Result<String, NoToken> {
    let started = |error: std::io::Error| NoToken::NotStarted(error.to_string());
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(started)?;
    let output = child.stdout.take();
    let (done, text) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(Ok(_)) = output.map(|it| it.take(LONGEST).read_to_string(&mut text)) {
            let _ = done.send(text); // nobody waits for what comes late
        }
    });
    let ended = wait(&mut child).map_err(started)?;
    match ended {
        None => Err(NoToken::Late),
        Some(status) if !status.success() => Err(NoToken::Failed(status.to_string())),
        // (Something that it left behind may hold its output open.)
        Some(_) => text.recv_timeout(PATIENCE).map_err(|_| NoToken::Late),
    }
}

/// Waits for the end of `child`; one that is late is killed.
fn wait(child: &mut Child) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
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
        read(text, "it", NOW).map(|token| (token.text, token.ends))
    }

    #[test]
    fn a_token_ends_when_it_says_or_its_endpoint_says_or_soon() {
        let jwt = |claims: &str| format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        let (told, end) = (jwt(r#"{"exp":1748739600.5}"#), 1_748_739_600_000);
        assert_eq!(token(&format!("{told}\n")), Ok((told.clone(), end)));
        let answer = format!(r#"{{"access_token":"{told}","expires_in":60,"token_type":"x"}}"#);
        assert_eq!(token(&answer), Ok((told, end)));
        let answer = r#"{"access_token":"opaque","expires_in":60}"#;
        assert_eq!(token(answer), Ok(("opaque".to_owned(), NOW + 60_000)));
        assert_eq!(token("opaque"), Ok(("opaque".to_owned(), NOW + UNTOLD_MS)));
        assert_eq!(token(&jwt(r#"{"exp":1}"#)), Err(NoToken::Expired("it")));
    }

    #[test]
    fn what_is_no_token_is_not_quoted() {
        for text in ["", "{}", "two words", "{\"access_token\":5}", "\u{e9}"] {
            assert_eq!(token(text), Err(NoToken::Malformed("it")), "{text}");
        }
    }

    #[test]
    fn a_command_prints_the_token_or_fails_without_its_words() {
        assert_eq!(run("printf token"), Ok("token".to_owned()));
        let failed = run("echo secret >&2; echo secret; exit 3").unwrap_err();
        assert!(failed.to_string().ends_with("exit status: 3"), "{failed}");
    }
}
