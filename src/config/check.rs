//! Rules that one value's type cannot say: names, pairs, and promises that no override may break.

mod security;

use std::collections::{BTreeMap, BTreeSet};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::layers::DEFAULT;
use super::reader::Effective;
use super::{GroupProtocol, Kafka, Problem, PropertyCheck, Settings, Topics};

/// Everything wrong with settings whose values are all of the right type.
///
/// `broken` are the keys that have a problem already: nothing is said about them again, nor about how they go with others, as
/// their values here are not those that were meant.
pub(super) fn check(
    settings: &Settings,
    values: &BTreeMap<String, Effective>,
    broken: &BTreeSet<String>,
    property: PropertyCheck,
) -> Vec<Problem> {
    let mut check = Check { values, broken, problems: Vec::new() };
    check.kafka(&settings.kafka);
    check.security(&settings.kafka.security);
    check.overrides(&settings.kafka, property);
    check.topics(&settings.topics);
    check.replies(&settings.topics);
    let (least, most) =
        (settings.delivery.commit_min_interval_ms, settings.delivery.commit_interval_ms);
    if least > most {
        let (least_key, most_key) =
            ("delivery.commit_min_interval_ms", "delivery.commit_interval_ms");
        check.refuse(
            &[least_key, most_key],
            format!("expected {least_key} to be at most {most_key}, found {least} and {most}"),
        );
    }
    if !is_log_level(&settings.log.level) {
        check.refuse(
            &["log.level"],
            "expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or such a level by target, as in \
             \"info,librdkafka=debug\"",
        );
    }
    check.problems
}

struct Check<'a> {
    values: &'a BTreeMap<String, Effective>,
    broken: &'a BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Notes a problem of the first of `keys`, unless one of them is broken already.
    fn refuse(&mut self, keys: &[&str], text: impl Into<String>) {
        if keys.iter().any(|key| self.broken.contains(*key)) {
            return;
        }
        // The one that somebody set is the one to change.
        let key = *keys.iter().find(|key| self.is_set(key)).unwrap_or(&keys[0]);
        self.problems.push(Problem {
            origin: self.values.get(key).map(|it| it.origin.clone()).unwrap_or_default(),
            key: Some(key.to_owned()),
            text: text.into(),
        });
    }

    fn is_set(&self, key: &str) -> bool {
        self.values.get(key).is_some_and(|value| value.origin != DEFAULT)
    }

    fn kafka(&mut self, kafka: &Kafka) {
        if !kafka.bootstrap_servers.split(',').all(is_server) {
            self.refuse(
                &["kafka.bootstrap_servers"],
                "expected host:port, several with commas between",
            );
        }
        if kafka.instance_id.as_deref().is_some_and(|id| !is_name(id)) {
            self.refuse(&["kafka.instance_id"], format!("expected {NAME}"));
        }
        if kafka.group_protocol == GroupProtocol::Consumer {
            if kafka.instance_id.is_some() {
                self.refuse(
                    &["kafka.instance_id", "kafka.group_protocol"],
                    "expected none with the group protocol \"consumer\", which shuts a crashed static member out until its \
                     session ends",
                );
            }
            if self.is_set("kafka.session_timeout_ms") {
                self.refuse(
                    &["kafka.session_timeout_ms", "kafka.group_protocol"],
                    "not to be set with the group protocol \"consumer\", whose session is the brokers' to set",
                );
            }
        }
    }

    fn topics(&mut self, topics: &Topics) {
        let named = [
            ("topics.requests", &topics.requests),
            ("topics.results", &topics.results),
            ("topics.failures", &topics.failures),
        ];
        for (index, (key, topic)) in named.into_iter().enumerate() {
            if !is_name(topic) {
                self.refuse(&[key], format!("expected {NAME}"));
            }
            if topics.replies().any(|reply| reply == topic) {
                self.refuse(
                    &["topics.reply_allowed", key],
                    format!("expected other topics than {key}"),
                );
            }
            for &(other, _) in named[..index].iter().filter(|(_, earlier)| *earlier == topic) {
                let (key, other) = if self.is_set(key) { (key, other) } else { (other, key) };
                self.refuse(&[key, other], format!("expected another topic than {other}"));
            }
        }
    }

    fn replies(&mut self, topics: &Topics) {
        const KEY: &str = "topics.reply_allowed";
        let names: Vec<_> = topics.replies().collect();
        if !names.iter().all(|name| is_name(name)) {
            self.refuse(
                &[KEY],
                format!("expected names of topics with commas between, each {NAME}"),
            );
        }
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            self.refuse(&[KEY], "expected each name once");
        }
    }

    fn overrides(&mut self, kafka: &Kafka, property: PropertyCheck) {
        for (table, properties) in [
            ("librdkafka", &kafka.librdkafka),
            ("consumer", &kafka.consumer),
            ("producer", &kafka.producer),
        ] {
            for (name, value) in properties.iter() {
                let key = format!("kafka.{table}.{name}");
                let owned = OWNED.iter().find(|(owned, ..)| *owned == name);
                if let Some((_, allowed, reason)) = owned
                    && !allowed.contains(&value)
                {
                    self.refuse(&[&key], format!("refused: {reason}"));
                } else if let Err(text) = property(name, value) {
                    self.refuse(&[&key], text);
                }
                let twin = TWINS.iter().find(|(twin, _)| *twin == name);
                if let Some((_, setting)) = twin.filter(|(_, setting)| self.is_set(setting)) {
                    self.refuse(&[&key], format!("refused: {setting} is set as well"));
                }
                if kafka.group_protocol == GroupProtocol::Consumer && OF_CLASSIC.contains(&name) {
                    self.refuse(
                        &[&key, "kafka.group_protocol"],
                        "refused: the group protocol \"consumer\" leaves it to the brokers",
                    );
                }
            }
        }
    }
}

/// Properties that a promise rests on: the name, the values that keep it, and the promise.
const OWNED: &[(&str, &[&str], &str)] = &[
    ("bootstrap.servers", &[], "kafka.bootstrap_servers says it"),
    ("metadata.broker.list", &[], "kafka.bootstrap_servers says it"),
    ("group.id", &[], "kafka.group_id says it, and transactional ids begin with it"),
    ("group.instance.id", &[], "kafka.instance_id says it, and each worker needs its own"),
    ("group.protocol", &[], "kafka.group_protocol says it"),
    (
        "transactional.id",
        &[],
        "each worker needs its own, made from kafka.group_id and kafka.instance_id",
    ),
    ("enable.idempotence", &[], "without it a retry doubles outcomes"),
    ("acks", &["all", "-1"], "an outcome counts as delivered when every replica in sync has it"),
    (
        "request.required.acks",
        &["all", "-1"],
        "an outcome counts as delivered when every replica in sync has it",
    ),
    (
        "enable.auto.commit",
        &[],
        "offsets are committed when their outcomes are delivered, never before",
    ),
    (
        "auto.commit.enable",
        &[],
        "offsets are committed when their outcomes are delivered, never before",
    ),
    (
        "enable.auto.offset.store",
        &[],
        "offsets are committed when their outcomes are delivered, never before",
    ),
    (
        "isolation.level",
        &["read_committed"],
        "requests of transactions that were thrown away are no requests",
    ),
    (
        "auto.offset.reset",
        &["earliest", "smallest", "beginning", "error"],
        "requests would be skipped without an outcome",
    ),
    ("delivery.report.only.error", &[], "what counts as delivered rests on it"),
    ("partitioner", &[], "an outcome's partition follows from its request's"),
    ("enable.partition.eof", &["false"], "the end of a partition is no record"),
];

/// Properties that have a setting of their own, which may not say otherwise: the property would win unseen.
const TWINS: &[(&str, &str)] = &[
    ("session.timeout.ms", "kafka.session_timeout_ms"),
    ("security.protocol", "kafka.security.protocol"),
    ("ssl.ca.location", "kafka.security.ca_file"),
    ("ssl.certificate.location", "kafka.security.certificate_file"),
    ("ssl.key.location", "kafka.security.key_file"),
    ("ssl.key.password", "kafka.security.key_password"),
    ("sasl.mechanism", "kafka.security.sasl_mechanism"),
    ("sasl.mechanisms", "kafka.security.sasl_mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password"),
];

/// Properties that belong to the group protocol `classic`.
const OF_CLASSIC: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
];

const NAME: &str = "1 to 249 letters, digits, dots, dashes and underscores";

/// Whether Kafka takes this name for a topic or an instance.
fn is_name(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether this is a host, or a host and a port.
fn is_server(server: &str) -> bool {
    let server = server.trim();
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    !host.is_empty()
        && !host.contains(|c: char| c.is_whitespace() || c == '/')
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether the log takes these directives, each a level or one by target: a bare word that is no level would silence the rest.
fn is_log_level(level: &str) -> bool {
    level
        .split(',')
        .all(|directive| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok())
        && EnvFilter::builder().parse(level).is_ok()
}
