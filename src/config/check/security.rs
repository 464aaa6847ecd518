//! Validation of `kafka.security`: which keys the protocol and the mechanism require or allow.

use std::fs::File;
use std::path::PathBuf;

use super::Check;
use crate::config::{SaslMechanism, Security};

const PROTOCOL: &str = "kafka.security.protocol";

impl Check<'_> {
    pub(super) fn security(&mut self, security: &Security) {
        const CERTIFICATE: &str = "kafka.security.certificate_file";
        const KEY: &str = "kafka.security.key_file";
        let files = [
            ("kafka.security.ca_file", &security.ca_file),
            (CERTIFICATE, &security.certificate_file),
            (KEY, &security.key_file),
        ];
        for (key, file) in &files {
            self.readable(key, file.as_ref());
        }

        let for_tls = files.map(|(key, file)| (key, file.is_some()));
        let key_password = ("kafka.security.key_password", security.key_password.is_some());
        for (key, is_set) in for_tls.into_iter().chain([key_password]) {
            if is_set && !security.protocol.has_tls() {
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

        self.sasl(security);
    }

    /// A user name and a password, or a token.
    fn sasl(&mut self, security: &Security) {
        const MECHANISM: &str = "kafka.security.sasl_mechanism";
        const FILE: &str = "kafka.security.oauth_token_file";
        const COMMAND: &str = "kafka.security.oauth_token_command";
        self.readable(FILE, security.oauth_token_file.as_ref());
        let by_token = security.sasl_mechanism == Some(SaslMechanism::OauthBearer);
        // If the file could not be read, that is reported already.
        let (password, in_file) = (security.password.is_some(), security.password_file.is_some());
        let password_key =
            if in_file { "kafka.security.password_file" } else { "kafka.security.password" };
        let (file, command) =
            (security.oauth_token_file.is_some(), security.oauth_token_command.is_some());
        // (key, is set, is required, is allowed)
        let keys = [
            (MECHANISM, security.sasl_mechanism.is_some(), true, true),
            ("kafka.security.username", security.username.is_some(), !by_token, !by_token),
            (password_key, password || in_file, !by_token, !by_token),
            (FILE, file, by_token && !command, by_token),
            (COMMAND, command, false, by_token),
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
                let or = if key == FILE { format!(" or {COMMAND}") } else { String::new() };
                self.refuse(
                    &[key, PROTOCOL],
                    format!("{} requires {key}{or}", security.protocol.as_str()),
                );
            }
        }
        if file && command && by_token {
            self.refuse(
                &[COMMAND, FILE],
                format!("expected either {FILE} or {COMMAND}, found both"),
            );
        }
    }

    fn readable(&mut self, key: &str, path: Option<&PathBuf>) {
        if let Some((path, error)) = path.and_then(|path| Some((path, File::open(path).err()?))) {
            self.refuse(&[key], format!("{} cannot be read: {error}", path.display()));
        }
    }
}
