//! Rules of `kafka.security`: what a protocol and a mechanism need, and what they do not use.

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
        for (key, given) in for_tls.into_iter().chain([key_password]) {
            if given && !security.protocol.has_tls() {
                self.refuse(&[key, PROTOCOL], format!("not used: {PROTOCOL} is not one with ssl"));
            }
        }
        match (&security.certificate_file, &security.key_file) {
            (Some(_), None) => self.refuse(&[CERTIFICATE, KEY], format!("expected {KEY} as well")),
            (None, Some(_)) => {
                self.refuse(&[KEY, CERTIFICATE], format!("expected {CERTIFICATE} as well"))
            }
            (None, None) if security.key_password.is_some() => {
                self.refuse(&[key_password.0, KEY], format!("expected {KEY} as well"));
            }
            (None, None) | (Some(_), Some(_)) => {}
        }

        self.sasl(security);
    }

    /// Who one is: a user and a password, or a token.
    fn sasl(&mut self, security: &Security) {
        const MECHANISM: &str = "kafka.security.sasl_mechanism";
        const FILE: &str = "kafka.security.oauth_token_file";
        const COMMAND: &str = "kafka.security.oauth_token_command";
        self.readable(FILE, security.oauth_token_file.as_ref());
        let by_token = security.sasl_mechanism == Some(SaslMechanism::OauthBearer);
        // A file that gave no password has a problem of its own.
        let (password, in_file) = (security.password.is_some(), security.password_file.is_some());
        let password_key =
            if in_file { "kafka.security.password_file" } else { "kafka.security.password" };
        let (file, command) =
            (security.oauth_token_file.is_some(), security.oauth_token_command.is_some());
        // Each with whether it is given, needed, and of use.
        let keys = [
            (MECHANISM, security.sasl_mechanism.is_some(), true, true),
            ("kafka.security.username", security.username.is_some(), !by_token, !by_token),
            (password_key, password || in_file, !by_token, !by_token),
            (FILE, file, by_token && !command, by_token),
            (COMMAND, command, false, by_token),
        ];
        for (key, given, needed, of_use) in keys {
            if given && !security.protocol.has_sasl() {
                self.refuse(&[key, PROTOCOL], format!("not used: {PROTOCOL} is not one with sasl"));
            } else if given && !of_use {
                let with = if by_token { "" } else { "not " };
                self.refuse(
                    &[key, MECHANISM],
                    format!("not used: {MECHANISM} is {with}OAUTHBEARER"),
                );
            } else if !given && needed && security.protocol.has_sasl() {
                let or = if key == FILE { format!(" or {COMMAND}") } else { String::new() };
                self.refuse(
                    &[key, PROTOCOL],
                    format!("{} needs {key}{or}", security.protocol.as_str()),
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
