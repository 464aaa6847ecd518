//! What the files of `kafka.security` contain: certificates, keys and the password.
//!
//! librdkafka reads files when a client is made, which may happen while another program replaces
//! one file after the other. Clients therefore get the contents that were checked together.

use std::fs;
use std::path::PathBuf;

use openssl::asn1::Asn1Time;
use openssl::pkey::PKey;
use openssl::x509::X509;
use rdkafka::config::ClientConfig;

use crate::config::{Secret, Security, without_line_break};
use crate::telemetry::metrics::Reloaded;

/// The contents of the files that are set. `Debug` hides them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    authorities: Option<Secret>,
    certificate: Option<Secret>,
    key: Option<Secret>,
    password: Option<Secret>,
}

/// Why the contents cannot be used. The message quotes nothing of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("{path} cannot be read: {why} ({setting})")]
    Unreadable { path: String, why: String, setting: &'static str },
    #[error("{0} contains no certificate in PEM format")]
    NoCertificate(&'static str),
    #[error("{0} contains no private key in PEM format that kafka.security.key_password opens")]
    NoKey(&'static str),
    #[error("kafka.security.key_file is not the key of kafka.security.certificate_file")]
    Mismatch,
    #[error("kafka.security.password_file is empty or has several lines")]
    NoPassword,
}

const CA: &str = "kafka.security.ca_file";
const CERTIFICATE: &str = "kafka.security.certificate_file";
const KEY: &str = "kafka.security.key_file";
const PASSWORD: &str = "kafka.security.password_file";

impl Unusable {
    /// What cannot be used.
    pub fn what(&self) -> Reloaded {
        match self {
            Self::Unreadable { setting, .. }
            | Self::NoCertificate(setting)
            | Self::NoKey(setting) => match *setting {
                KEY => Reloaded::Key,
                PASSWORD => Reloaded::Password,
                _ => Reloaded::Certificate,
            },
            Self::Mismatch => Reloaded::Certificate,
            Self::NoPassword => Reloaded::Password,
        }
    }
}

impl Credentials {
    /// Reads the files.
    pub fn read(security: &Security) -> Result<Self, Unusable> {
        let password = match read(security.password_file.as_ref(), PASSWORD)? {
            Some(text) => Some(Secret::from(without_line_break(text.expose()).to_owned())),
            None => security.password.clone(),
        };
        Ok(Self {
            authorities: read(security.ca_file.as_ref(), CA)?,
            certificate: read(security.certificate_file.as_ref(), CERTIFICATE)?,
            key: read(security.key_file.as_ref(), KEY)?,
            password,
        })
    }

    /// As [`Self::read`], for the start: the settings were checked a moment ago. In place of a file
    /// that cannot be read any more, clients get a text that they refuse: without any authorities
    /// they would trust those of the system.
    pub fn at_start(security: &Security) -> Self {
        let invalid = || Some(Secret::from("not readable".to_owned()));
        Self::read(security).unwrap_or_else(|_| Self {
            authorities: security.ca_file.as_ref().and_then(|_| invalid()),
            certificate: security.certificate_file.as_ref().and_then(|_| invalid()),
            key: security.key_file.as_ref().and_then(|_| invalid()),
            password: security.password.clone(),
        })
    }

    /// Whether a client can be made from them, as far as this shows without a broker.
    pub fn check(&self, security: &Security) -> Result<(), Unusable> {
        if let Some(authorities) = &self.authorities {
            certificates(authorities, CA)?;
        }
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            let first = certificates(certificate, CERTIFICATE)?.swap_remove(0);
            let password = security.key_password.as_ref().map_or("", Secret::expose);
            let key =
                PKey::private_key_from_pem_passphrase(key.expose().as_bytes(), password.as_bytes())
                    .map_err(|_| Unusable::NoKey(KEY))?;
            let of_certificate =
                first.public_key().map_err(|_| Unusable::NoCertificate(CERTIFICATE))?;
            if !of_certificate.public_eq(&key) {
                return Err(Unusable::Mismatch);
            }
        }
        let password = self.password.as_ref().map(Secret::expose);
        if password.is_some_and(|text| text.is_empty() || text.contains(['\r', '\n'])) {
            return Err(Unusable::NoPassword);
        }
        Ok(())
    }

    pub fn differences(&self, other: &Self) -> Vec<Reloaded> {
        let differs = [
            (
                Reloaded::Certificate,
                (&self.authorities, &self.certificate) != (&other.authorities, &other.certificate),
            ),
            (Reloaded::Key, self.key != other.key),
            (Reloaded::Password, self.password != other.password),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }

    /// When the first certificate of each file expires: the file, and seconds since 1970.
    pub fn expiries(&self, security: &Security) -> Vec<(PathBuf, i64)> {
        let files = [
            (&self.authorities, &security.ca_file),
            (&self.certificate, &security.certificate_file),
        ];
        let of_files = files.into_iter().filter_map(|(text, path)| {
            let certificates = X509::stack_from_pem(text.as_ref()?.expose().as_bytes()).ok()?;
            let first = certificates.iter().filter_map(|it| seconds(it.not_after())).min()?;
            Some((path.clone()?, first))
        });
        of_files.collect()
    }

    /// Sets the properties of a client.
    pub fn apply(&self, config: &mut ClientConfig) {
        for (key, secret) in [
            ("ssl.ca.pem", &self.authorities),
            ("ssl.certificate.pem", &self.certificate),
            ("ssl.key.pem", &self.key),
            ("sasl.password", &self.password),
        ] {
            if let Some(secret) = secret {
                config.set(key, secret.expose());
            }
        }
    }
}

fn read(path: Option<&PathBuf>, setting: &'static str) -> Result<Option<Secret>, Unusable> {
    let text = path.map(|path| {
        fs::read(path).map_err(|error| Unusable::Unreadable {
            path: path.display().to_string(),
            why: error.to_string(),
            setting,
        })
    });
    // The text between certificates may have any encoding.
    Ok(text.transpose()?.map(|text| String::from_utf8_lossy(&text).into_owned().into()))
}

/// The certificates of a file, at least one.
fn certificates(text: &Secret, setting: &'static str) -> Result<Vec<X509>, Unusable> {
    let certificates = X509::stack_from_pem(text.expose().as_bytes()).unwrap_or_default();
    if certificates.is_empty() { Err(Unusable::NoCertificate(setting)) } else { Ok(certificates) }
}

/// Seconds since 1970.
fn seconds(time: &openssl::asn1::Asn1TimeRef) -> Option<i64> {
    let difference = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    Some(i64::from(difference.days) * 86_400 + i64::from(difference.secs))
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;

    use super::*;
    use crate::config::load_from;

    /// A certificate that expires in 2033, and its key.
    fn pair() -> (String, String) {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = EcKey::generate(&group).and_then(PKey::from_ec_key).unwrap();
        let mut certificate = X509::builder().unwrap();
        certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        certificate.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
        certificate.set_pubkey(&key).unwrap();
        certificate.sign(&key, MessageDigest::sha256()).unwrap();
        let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
        let certificate = text(certificate.build().to_pem().unwrap());
        (certificate, text(key.private_key_to_pem_pkcs8().unwrap()))
    }

    fn security(directory: &std::path::Path) -> Security {
        let mut security = load_from(&[], [], |_, _| Ok(())).unwrap().settings.kafka.security;
        security.certificate_file = Some(directory.join("client.pem"));
        security.key_file = Some(directory.join("client.key"));
        security.password_file = Some(directory.join("password"));
        security
    }

    #[test]
    fn a_pair_is_used_only_together_and_every_change_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let security = security(directory.path());
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let read = || Credentials::read(&security).and_then(|it| it.check(&security).map(|()| it));
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        write("client.pem", &certificate);
        write("client.key", &key);
        write("password", "hunter2\r\n");
        let first = read().unwrap();
        let expiry = (directory.path().join("client.pem"), 2_000_000_000);
        assert_eq!(first.expiries(&security), [expiry]);
        assert!(!format!("{first:?}").contains("hunter2"));

        write("password", "hunter3");
        assert_eq!(first.differences(&read().unwrap()), [Reloaded::Password]);
        for (name, text, expected) in [
            ("client.key", other_key.as_str(), Unusable::Mismatch),
            ("client.key", "", Unusable::NoKey(KEY)),
            ("client.pem", "-----BEGIN", Unusable::NoCertificate(CERTIFICATE)),
            ("password", "a\nb", Unusable::NoPassword),
            ("password", "\n", Unusable::NoPassword),
        ] {
            write(name, text);
            assert_eq!(read(), Err(expected), "{name}");
            write("client.pem", &certificate);
            write("client.key", &key);
            write("password", "hunter3");
        }
        fs::remove_file(directory.path().join("client.key")).unwrap();
        assert_eq!(read().unwrap_err().what(), Reloaded::Key);
    }

    #[test]
    fn clients_get_the_contents_that_were_checked_together() {
        let directory = tempfile::tempdir().unwrap();
        let security = security(directory.path());
        let (certificate, key) = pair();
        fs::write(directory.path().join("client.pem"), &certificate).unwrap();
        fs::write(directory.path().join("client.key"), &key).unwrap();
        fs::write(directory.path().join("password"), "hunter2").unwrap();
        let credentials = Credentials::read(&security).unwrap();
        fs::write(directory.path().join("client.pem"), "changed").unwrap();
        let mut config = ClientConfig::new();
        credentials.apply(&mut config);
        assert_eq!(config.get("ssl.certificate.pem"), Some(certificate.as_str()));
        assert_eq!(config.get("ssl.key.pem"), Some(key.as_str()));
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert_eq!(config.get("ssl.ca.pem"), None);
    }
}
