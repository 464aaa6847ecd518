//! The settings of the Kafka clients.

use std::path::PathBuf;
use std::thread;

use super::reader::Reader;
use super::rule::{Choice, choice, optional, secret, text, whole};
use super::{Properties, Secret};

/// The most workers by default. A machine with many cores would otherwise open two clients per core,
/// most of them without a partition.
const DEFAULT_WORKERS: usize = 4;

#[derive(Clone, Debug)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub group_id: String,
    pub instance_id: Option<String>,
    pub workers: usize,
    pub group_protocol: GroupProtocol,
    pub session_timeout_ms: u32,
    pub security: Security,
    pub librdkafka: Properties,
    pub consumer: Properties,
    pub producer: Properties,
}

impl Kafka {
    pub(super) fn read(keys: &mut Reader) -> Self {
        Self {
            bootstrap_servers: keys.read("kafka.bootstrap_servers", text()),
            group_id: keys.read("kafka.group_id", text()),
            instance_id: keys.read("kafka.instance_id", optional()),
            workers: keys.read("kafka.workers", whole(0..=256)),
            group_protocol: keys.read("kafka.group_protocol", choice()),
            session_timeout_ms: keys.read("kafka.session_timeout_ms", whole(1_000..=1_800_000)),
            security: Security::read(keys),
            librdkafka: keys.properties("kafka.librdkafka"),
            consumer: keys.properties("kafka.consumer"),
            producer: keys.properties("kafka.producer"),
        }
    }

    /// The number of workers: one per core, up to [`DEFAULT_WORKERS`], unless set.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, usize::from).min(DEFAULT_WORKERS),
            workers => workers,
        }
    }
}

/// Who assigns partitions to the members of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupProtocol {
    /// A member that was elected leader.
    Classic,
    /// The brokers (KIP-848).
    Consumer,
}

impl Choice for GroupProtocol {
    const NAMES: &'static [(&'static str, Self)] =
        &[("classic", Self::Classic), ("consumer", Self::Consumer)];
}

#[derive(Clone, Debug)]
pub struct Security {
    pub protocol: SecurityProtocol,
    pub ca_file: Option<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub key_password: Option<Secret>,
    pub sasl_mechanism: Option<SaslMechanism>,
    pub username: Option<String>,
    /// From the settings or from `password_file`.
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub oauth_token_file: Option<PathBuf>,
    pub oauth_endpoint: Option<String>,
    pub oauth_client_id: Option<String>,
    pub oauth_client_secret_file: Option<PathBuf>,
    pub oauth_scope: Option<String>,
    pub oauth_audience: Option<String>,
    pub reload: Reload,
}

impl Security {
    fn read(keys: &mut Reader) -> Self {
        Self {
            protocol: keys.read("kafka.security.protocol", choice()),
            ca_file: keys.read("kafka.security.ca_file", optional()),
            certificate_file: keys.read("kafka.security.certificate_file", optional()),
            key_file: keys.read("kafka.security.key_file", optional()),
            key_password: keys.read("kafka.security.key_password", secret()),
            sasl_mechanism: keys.read("kafka.security.sasl_mechanism", choice()),
            username: keys.read("kafka.security.username", optional()),
            password: keys.read("kafka.security.password", secret()),
            password_file: keys.read("kafka.security.password_file", optional()),
            oauth_token_file: keys.read("kafka.security.oauth_token_file", optional()),
            oauth_endpoint: keys.read("kafka.security.oauth_endpoint", optional()),
            oauth_client_id: keys.read("kafka.security.oauth_client_id", optional()),
            oauth_client_secret_file: keys
                .read("kafka.security.oauth_client_secret_file", optional()),
            oauth_scope: keys.read("kafka.security.oauth_scope", optional()),
            oauth_audience: keys.read("kafka.security.oauth_audience", optional()),
            reload: keys.read("kafka.security.reload", choice()),
        }
    }
}

/// Whether changed files count while the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reload {
    Watch,
    Never,
}

impl Choice for Reload {
    const NAMES: &'static [(&'static str, Self)] =
        &[("watch", Self::Watch), ("never", Self::Never)];
}

/// How connections are encrypted and authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl Choice for SecurityProtocol {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("plaintext", Self::Plaintext),
        ("ssl", Self::Ssl),
        ("sasl_plaintext", Self::SaslPlaintext),
        ("sasl_ssl", Self::SaslSsl),
    ];
}

impl SecurityProtocol {
    /// The name in the settings, which is also librdkafka's.
    pub fn as_str(self) -> &'static str {
        self.name()
    }

    pub fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How a client authenticates by SASL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SaslMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
    OauthBearer,
}

impl Choice for Option<SaslMechanism> {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("", None),
        ("PLAIN", Some(SaslMechanism::Plain)),
        ("SCRAM-SHA-256", Some(SaslMechanism::ScramSha256)),
        ("SCRAM-SHA-512", Some(SaslMechanism::ScramSha512)),
        ("OAUTHBEARER", Some(SaslMechanism::OauthBearer)),
    ];
}

impl SaslMechanism {
    /// The name in the settings, which is also librdkafka's.
    pub fn as_str(self) -> &'static str {
        Some(self).name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn worker_count(workers: &str) -> usize {
        let given = [("NIK_STREAM__KAFKA__WORKERS".into(), workers.into())];
        load_from(&[], given, |_, _| Ok(())).unwrap().settings.kafka.worker_count()
    }

    #[test]
    fn by_default_there_is_one_worker_per_core_and_at_most_four() {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(worker_count("0"), if cores < 4 { cores } else { 4 });
        assert_eq!(worker_count("7"), 7);
    }
}
