//! The token endpoint of an identity provider: client credentials (RFC 6749, section 4.4) for an
//! access token.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::diagnosis::untrusted_hint;
use super::token::NoToken;
use crate::config::{Security, without_line_break};

/// How long one request may take. Only the thread that renews the token waits for it, and clients
/// that have no token yet.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Upper bound on the size of an answer, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Where tokens come from, and with which credentials.
#[derive(Debug)]
pub struct Endpoint {
    url: String,
    client_id: String,
    secret_file: PathBuf,
    scope: Option<String>,
    audience: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Endpoint {
    /// `None` if the settings name no endpoint.
    pub fn new(security: &Security) -> Option<Self> {
        Some(Self {
            url: security.oauth_endpoint.clone()?,
            client_id: security.oauth_client_id.clone()?,
            secret_file: security.oauth_client_secret_file.clone()?,
            scope: security.oauth_scope.clone(),
            audience: security.oauth_audience.clone(),
            ca_file: security.ca_file.clone(),
        })
    }

    /// Asks for a token; returns the body of the answer. The files are read each time, so a renewed
    /// secret counts from the next request on.
    pub fn ask(&self) -> Result<String, NoToken> {
        let secret = fs::read_to_string(&self.secret_file).map_err(|error| {
            NoToken::unreadable(&self.secret_file, &error, "oauth_client_secret_file")
        })?;
        let optional = [("scope", &self.scope), ("audience", &self.audience)];
        let optional = optional.into_iter().filter_map(|(name, it)| Some((name, it.as_deref()?)));
        let form = [("grant_type", "client_credentials")].into_iter().chain(optional);
        let mut answer = self
            .agent()?
            .post(&self.url)
            .header("authorization", basic(&self.client_id, without_line_break(&secret)))
            .header("accept", "application/json")
            .send_form(form)
            .map_err(|error| self.unreachable(&error))?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        let body = body.map_err(|error| self.unreachable(&error))?;
        match answer.status().as_u16() {
            200 => Ok(body),
            status => Err(refusal(status, &body)),
        }
    }

    fn agent(&self) -> Result<Agent, NoToken> {
        let authorities = match &self.ca_file {
            Some(path) => RootCerts::new_with_certs(&authorities(path)?),
            None => RootCerts::PlatformVerifier,
        };
        let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(authorities);
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(REQUEST_TIMEOUT))
            .http_status_as_error(false)
            // The credentials are for this address only.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("nik-stream/", env!("CARGO_PKG_VERSION")));
        // Without TLS the secret stays on this machine, so it does not go through a proxy.
        let scheme = self.url.get(.."http://".len());
        let is_local = scheme.is_some_and(|it| it.eq_ignore_ascii_case("http://"));
        let config = if is_local { config.proxy(None) } else { config };
        Ok(config.build().into())
    }

    fn unreachable(&self, error: &ureq::Error) -> NoToken {
        let why = match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        if why.contains("certificate verify failed") {
            return NoToken::NotTrusted(untrusted_hint(self.ca_file.is_some()));
        }
        NoToken::Unreachable(why)
    }
}

/// The certificates in a PEM file.
fn authorities(path: &Path) -> Result<Vec<ureq::tls::Certificate<'static>>, NoToken> {
    let pem = fs::read(path).map_err(|error| NoToken::unreadable(path, &error, "ca_file"))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(certificates.collect())
}

/// The header for HTTP Basic authentication. Both parts are form-encoded first (RFC 6749, section
/// 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text| utf8_percent_encode(text, UNRESERVED);
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}

const UNRESERVED: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why the endpoint gave no token. Of its answer only the error code is shown, since the rest could
/// quote a secret.
fn refusal(status: u16, body: &str) -> NoToken {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let is_code = |code: &String| {
        code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let code = serde_json::from_str(body).ok().map(|it: Refusal| it.error).filter(is_code);
    match code.as_deref() {
        Some("invalid_client" | "unauthorized_client") => {
            NoToken::ClientRefused(code.unwrap_or_default())
        }
        Some(_) => NoToken::RequestRefused(code.unwrap_or_default()),
        None if status == 401 => NoToken::ClientRefused(format!("status {status}")),
        None => NoToken::Unreachable(format!("it answered with status {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_form_encoded_before_they_are_joined() {
        assert_eq!(
            basic("nik-stream", "a:b c%"),
            format!("Basic {}", STANDARD.encode("nik-stream:a%3Ab%20c%25"))
        );
    }

    #[test]
    fn a_refusal_names_the_settings_to_check_and_shows_nothing_but_the_code() {
        for (status, body, expected) in [
            (
                401,
                r#"{"error":"invalid_client","error_description":"hunter2"}"#,
                NoToken::ClientRefused("invalid_client".into()),
            ),
            (400, r#"{"error":"invalid_scope"}"#, NoToken::RequestRefused("invalid_scope".into())),
            (403, r#"{"error":"access_denied"}"#, NoToken::RequestRefused("access_denied".into())),
            (401, "no", NoToken::ClientRefused("status 401".into())),
            (
                400,
                r#"{"error":"HUNTER2"}"#,
                NoToken::Unreachable("it answered with status 400".into()),
            ),
            (503, "<html>", NoToken::Unreachable("it answered with status 503".into())),
        ] {
            assert_eq!(refusal(status, body), expected, "{body}");
        }
    }
}
