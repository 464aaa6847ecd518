//! The settings of the Kafka clients.

use std::path::PathBuf;
use std::thread;

use serde::{Deserialize, Serialize};

use super::value::{choice, names, optional, text, whole};
use super::{Properties, Secret};

/// The cluster, and how this program takes part in it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Kafka {
    #[serde(deserialize_with = "text")]
    pub bootstrap_servers: String,
    #[serde(deserialize_with = "text")]
    pub group_id: String,
    #[serde(deserialize_with = "optional")]
    pub instance_id: Option<String>,
    #[serde(deserialize_with = "whole::<0, 256, _, _>")]
    pub workers: usize,
    #[serde(with = "choice")]
    pub group_protocol: GroupProtocol,
    #[serde(deserialize_with = "whole::<1_000, 1_800_000, _, _>")]
    pub session_timeout_ms: u32,
    pub security: Security,
    pub librdkafka: Properties,
    pub consumer: Properties,
    pub producer: Properties,
}

impl Kafka {
    /// How many workers there are: as many as cores, unless a number is set.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

/// Who decides who reads which partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupProtocol {
    /// A member, chosen leader.
    Classic,
    /// The brokers (KIP-848).
    Consumer,
}

names!(GroupProtocol { Classic: "classic", Consumer: "consumer" });

/// Whom to trust, and how to prove who one is.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "config/default.toml documents every key")]
pub struct Security {
    #[serde(with = "choice")]
    pub protocol: SecurityProtocol,
    #[serde(deserialize_with = "optional")]
    pub ca_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub certificate_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub key_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub key_password: Option<Secret>,
    #[serde(with = "choice")]
    pub sasl_mechanism: Option<SaslMechanism>,
    #[serde(deserialize_with = "optional")]
    pub username: Option<String>,
    /// The password, wherever it came from.
    #[serde(deserialize_with = "optional")]
    pub password: Option<Secret>,
    /// Where `password` was read from, if from a file.
    #[serde(deserialize_with = "optional")]
    pub password_file: Option<PathBuf>,
    #[serde(deserialize_with = "optional")]
    pub oauth_token_file: Option<PathBuf>,
    /// Hidden as a secret: it may hold one.
    #[serde(deserialize_with = "optional")]
    pub oauth_token_command: Option<Secret>,
}

/// How connections are protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecurityProtocol {
    /// Not at all.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL in the clear.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

names!(SecurityProtocol {
    Plaintext: "plaintext",
    Ssl: "ssl",
    SaslPlaintext: "sasl_plaintext",
    SaslSsl: "sasl_ssl"
});

impl SecurityProtocol {
    /// The name that the settings and librdkafka give it.
    pub fn as_str(self) -> &'static str {
        super::value::name_of(self)
    }

    /// Whether connections are encrypted.
    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether clients prove who they are by SASL.
    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a client proves its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SaslMechanism {
    /// The password itself.
    Plain,
    /// A proof of it, by SHA-256.
    ScramSha256,
    /// A proof of it, by SHA-512.
    ScramSha512,
    /// A token that somebody else gave.
    OauthBearer,
}

impl super::value::Named for Option<SaslMechanism> {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("", None),
        ("PLAIN", Some(SaslMechanism::Plain)),
        ("SCRAM-SHA-256", Some(SaslMechanism::ScramSha256)),
        ("SCRAM-SHA-512", Some(SaslMechanism::ScramSha512)),
        ("OAUTHBEARER", Some(SaslMechanism::OauthBearer)),
    ];
}

impl SaslMechanism {
    /// The name that the settings and librdkafka give it.
    pub fn as_str(self) -> &'static str {
        super::value::name_of(Some(self))
    }
}
