//! Validation of `kafka.security`: which keys the protocol and the mechanism require or allow.

use std::fs;
use std::path::PathBuf;

use axum::http::Uri;

use super::Check;
use crate::config::{SaslMechanism, Secret, Security};

const PROTOCOL: &str = "kafka.security.protocol";
const MECHANISM: &str = "kafka.security.sasl_mechanism";
const TOKEN_FILE: &str = "kafka.security.oauth_token_file";
const ENDPOINT: &str = "kafka.security.oauth_endpoint";
const SECRET_FILE: &str = "kafka.security.oauth_client_secret_file";

impl Check<'_> {
    pub(super) fn security(&mut self, security: &Security) {
        const CA: &str = "kafka.security.ca_file";
        const CERTIFICATE: &str = "kafka.security.certificate_file";
        const KEY: &str = "kafka.security.key_file";
        let files = [
            (CA, &security.ca_file),
            (CERTIFICATE, &security.certificate_file),
            (KEY, &security.key_file),
        ];
        for (key, file) in &files {
            self.readable(key, file.as_ref());
        }

        let for_tls = files.map(|(key, file)| (key, file.is_some()));
        let key_password = ("kafka.security.key_password", security.key_password.is_some());
        for (key, is_set) in for_tls.into_iter().chain([key_password]) {
            // The authorities apply to the token endpoint as well.
            let for_endpoint = key == CA && security.oauth_endpoint.is_some();
            if is_set && !security.protocol.has_tls() && !for_endpoint {
                self.refuse(&[key, PROTOCOL], format!("only allowed if {PROTOCOL} uses ssl"));
            }
        }
        match (&security.certificate_file, &security.key_file) {
            (Some(_), None) => self.refuse(&[CERTIFICATE, KEY], format!("requires {KEY} as well")),
            (None, Some(_)) => {
                self.refuse(&[KEY, CERTIFICATE], format!("requires {CERTIFICATE} as well"));
            }
            (None, None) if security.key_password.is_some() => {
                self.refuse(&[key_password.0, KEY], format!("requires {KEY} as well"));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }

        self.one_line(security);
        self.sasl(security);
    }

    /// A file with several lines is more likely another secret than a password with a line break.
    fn one_line(&mut self, security: &Security) {
        let password_key = match &security.password_file {
            Some(_) => "kafka.security.password_file",
            None => "kafka.security.password",
        };
        for (key, text) in [
            ("kafka.security.username", security.username.as_deref()),
            (password_key, security.password.as_ref().map(Secret::expose)),
            ("kafka.security.key_password", security.key_password.as_ref().map(Secret::expose)),
            ("kafka.security.oauth_client_id", security.oauth_client_id.as_deref()),
        ] {
            if text.is_some_and(|text| text.contains(['\r', '\n'])) {
                self.refuse(&[key], "expected one line, found several");
            }
        }
    }

    /// A user name and a password, or a token.
    fn sasl(&mut self, security: &Security) {
        self.readable(TOKEN_FILE, security.oauth_token_file.as_ref());
        self.readable(SECRET_FILE, security.oauth_client_secret_file.as_ref());
        let by_token = security.sasl_mechanism == Some(SaslMechanism::OauthBearer);
        // If the file could not be read, that is reported already.
        let (password, in_file) = (security.password.is_some(), security.password_file.is_some());
        let password_key =
            if in_file { "kafka.security.password_file" } else { "kafka.security.password" };
        let (file, endpoint) =
            (security.oauth_token_file.is_some(), security.oauth_endpoint.is_some());
        // (key, is set, is required, is allowed)
        let keys = [
            (MECHANISM, security.sasl_mechanism.is_some(), true, true),
            ("kafka.security.username", security.username.is_some(), !by_token, !by_token),
            (password_key, password || in_file, !by_token, !by_token),
            (TOKEN_FILE, file, by_token && !endpoint, by_token),
            (ENDPOINT, endpoint, false, by_token),
        ];
        for (key, is_set, is_required, is_allowed) in keys {
            if is_set && !security.protocol.has_sasl() {
                self.refuse(&[key, PROTOCOL], format!("only allowed if {PROTOCOL} uses sasl"));
            } else if is_set && !is_allowed {
                let is_not = if by_token { "is not" } else { "is" };
                self.refuse(
                    &[key, MECHANISM],
                    format!("only allowed if {MECHANISM} {is_not} OAUTHBEARER"),
                );
            } else if !is_set && is_required && security.protocol.has_sasl() {
                let or = if key == TOKEN_FILE { format!(" or {ENDPOINT}") } else { String::new() };
                self.refuse(
                    &[key, PROTOCOL],
                    format!("{} requires {key}{or}", security.protocol.as_str()),
                );
            }
        }
        if file && endpoint && by_token {
            self.refuse(
                &[ENDPOINT, TOKEN_FILE],
                format!("expected either {TOKEN_FILE} or {ENDPOINT}, found both"),
            );
        }
        self.endpoint(security);
    }

    /// The token endpoint and the credentials for it.
    fn endpoint(&mut self, security: &Security) {
        // (key, is set, is required)
        let keys = [
            ("kafka.security.oauth_client_id", security.oauth_client_id.is_some(), true),
            (SECRET_FILE, security.oauth_client_secret_file.is_some(), true),
            ("kafka.security.oauth_scope", security.oauth_scope.is_some(), false),
            ("kafka.security.oauth_audience", security.oauth_audience.is_some(), false),
        ];
        for (key, is_set, is_required) in keys {
            match &security.oauth_endpoint {
                None if is_set => self.refuse(&[key, ENDPOINT], format!("requires {ENDPOINT}")),
                Some(_) if is_required && !is_set => {
                    self.refuse(&[ENDPOINT, key], format!("requires {key} as well"));
                }
                _ => {}
            }
        }
        if security.oauth_endpoint.as_deref().is_some_and(|url| !is_endpoint(url)) {
            self.refuse(
                &[ENDPOINT],
                "expected https://host/path, or http:// to localhost, 127.0.0.1 or [::1], without a user name",
            );
        }
    }

    fn readable(&mut self, key: &str, path: Option<&PathBuf>) {
        if let Some((path, error)) = path.and_then(|path| Some((path, fs::read(path).err()?))) {
            self.refuse(&[key], format!("{} cannot be read: {error}", path.display()));
        }
    }
}

/// Whether the secret of a client may be sent to this address: encrypted, or within this machine.
fn is_endpoint(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let scheme = uri.scheme_str().unwrap_or_default();
    !host.is_empty() && !has_user && (scheme == "https" || scheme == "http" && is_local)
}
