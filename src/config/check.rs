//! Validation beyond the type of a single value: names, combinations of keys, and librdkafka
//! properties on which guarantees depend.

mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use axum::http::Uri;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::layers::DEFAULT;
use super::topics::separated;
use super::{
    Delivery, GroupProtocol, Kafka, Log, OutcomeForm, Privacy, Problem, PropertyCheck, Settings,
    Topics, Traces,
};

/// The problems of settings whose values all have the right type.
///
/// `broken` are the keys that have a problem already. They are skipped, also in combinations,
/// because the settings hold a lower layer's value for them.
pub(super) fn check(
    settings: &Settings,
    origins: &BTreeMap<String, String>,
    broken: &BTreeSet<String>,
    property: PropertyCheck,
) -> Vec<Problem> {
    let mut check = Check { origins, broken, problems: Vec::new() };
    check.kafka(&settings.kafka);
    check.security(&settings.kafka.security);
    check.overrides(&settings.kafka, property);
    check.topics(&settings.topics);
    check.replies(&settings.topics);
    check.dropped_headers(&settings.topics);
    check.delivery(&settings.delivery);
    check.privacy(&settings.privacy);
    check.traces(&settings.traces);
    check.log(&settings.log);
    check.problems
}

struct Check<'a> {
    origins: &'a BTreeMap<String, String>,
    broken: &'a BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Reports a problem at the first of `keys` that is set, unless one of them is broken.
    fn refuse(&mut self, keys: &[&str], text: impl Into<String>) {
        if keys.iter().any(|key| self.broken.contains(*key)) {
            return;
        }
        let key = *keys.iter().find(|key| self.is_set(key)).unwrap_or(&keys[0]);
        self.problems.push(Problem {
            origin: self.origins.get(key).cloned().unwrap_or_default(),
            key: Some(key.to_owned()),
            text: text.into(),
        });
    }

    fn is_set(&self, key: &str) -> bool {
        self.origins.get(key).is_some_and(|origin| origin != DEFAULT)
    }

    fn kafka(&mut self, kafka: &Kafka) {
        if !kafka.bootstrap_servers.split(',').all(is_server) {
            self.refuse(
                &["kafka.bootstrap_servers"],
                "expected host:port, several separated by commas, IPv6 addresses in brackets, such as [::1]:9092",
            );
        }
        if kafka.instance_id.as_deref().is_some_and(|id| !is_name(id)) {
            self.refuse(&["kafka.instance_id"], format!("expected {NAME}"));
        }
        if kafka.group_protocol == GroupProtocol::Consumer {
            if kafka.instance_id.is_some() {
                self.refuse(
                    &["kafka.instance_id", "kafka.group_protocol"],
                    "must be empty with the group protocol \"consumer\": a crashed static member could not rejoin until \
                     its session timed out",
                );
            }
            if self.is_set("kafka.session_timeout_ms") {
                self.refuse(
                    &["kafka.session_timeout_ms", "kafka.group_protocol"],
                    "must not be set with the group protocol \"consumer\": the brokers set the session timeout",
                );
            }
        }
    }

    fn topics(&mut self, topics: &Topics) {
        let named = [
            ("topics.requests", Some(&topics.requests)),
            ("topics.results", Some(&topics.results)),
            ("topics.failures", Some(&topics.failures)),
            ("topics.positions", topics.positions.as_ref()),
        ];
        let named: Vec<_> =
            named.into_iter().filter_map(|(key, topic)| Some((key, topic?))).collect();
        for (index, &(key, topic)) in named.iter().enumerate() {
            if !is_name(topic) {
                self.refuse(&[key], format!("expected {NAME}"));
            }
            if topics.replies().any(|reply| reply == topic) {
                self.refuse(
                    &["topics.reply_allowed", key],
                    format!("must not contain the topic of {key}"),
                );
            }
            for &(other, _) in named[..index].iter().filter(|(_, earlier)| *earlier == topic) {
                let (key, other) = if self.is_set(key) { (key, other) } else { (other, key) };
                self.refuse(&[key, other], format!("must not be the topic of {other}"));
            }
        }
    }

    fn replies(&mut self, topics: &Topics) {
        const KEY: &str = "topics.reply_allowed";
        let names: Vec<_> = topics.replies().collect();
        if !names.iter().all(|name| is_name(name)) {
            self.refuse(
                &[KEY],
                format!("expected topic names separated by commas, each of {NAME}"),
            );
        }
        if names.iter().collect::<BTreeSet<_>>().len() < names.len() {
            self.refuse(&[KEY], "must contain each name only once");
        }
    }

    fn dropped_headers(&mut self, topics: &Topics) {
        let is_name =
            |name: &str| !name.is_empty() && !name.strip_suffix('*').unwrap_or(name).contains('*');
        if !separated(topics.drop_headers.as_ref()).all(is_name) {
            self.refuse(
                &["topics.drop_headers"],
                "expected names of headers separated by commas, with a * only at the end of a name",
            );
        }
    }

    fn delivery(&mut self, delivery: &Delivery) {
        const LEAST: &str = "delivery.commit_min_interval_ms";
        const MOST: &str = "delivery.commit_interval_ms";
        let (least, most) = (delivery.commit_min_interval_ms, delivery.commit_interval_ms);
        if least > most {
            self.refuse(
                &[LEAST, MOST],
                format!("expected {LEAST} to be at most {MOST}, found {least} and {most}"),
            );
        }
    }

    fn privacy(&mut self, privacy: &Privacy) {
        if privacy.outcomes == OutcomeForm::Tokens && privacy.keys.is_empty() {
            let text = format!("\"tokens\" requires {}", Privacy::KEY_FILE);
            self.refuse(&["privacy.outcomes", Privacy::KEY_FILE], text);
        }
    }

    fn log(&mut self, log: &Log) {
        if !is_log_level(&log.level) {
            self.refuse(
                &["log.level"],
                "expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", also per target, as in \
                 \"info,librdkafka=debug\"",
            );
        }
    }

    fn traces(&mut self, traces: &Traces) {
        let endpoint = traces.endpoint.as_deref().map(str::parse::<Uri>);
        let is_http =
            |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
        if endpoint.is_some_and(|uri| !uri.as_ref().is_ok_and(is_http)) {
            self.refuse(
                &["traces.endpoint"],
                "expected the address of a collector that accepts OTLP over HTTP, such as http://host:4318",
            );
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
                let protected = PROTECTED.iter().find(|(protected, ..)| *protected == name);
                if let Some((_, allowed, reason)) = protected
                    && !allowed.contains(&value)
                {
                    self.refuse(&[&key], format!("cannot be set: {reason}"));
                } else if let Err(text) = property(name, value) {
                    self.refuse(&[&key], text);
                }
                let equivalent = EQUIVALENTS.iter().find(|(property, _)| *property == name);
                if let Some((_, setting)) = equivalent.filter(|(_, setting)| self.is_set(setting)) {
                    self.refuse(&[&key], format!("cannot be set: {setting} is set as well"));
                }
                if kafka.group_protocol == GroupProtocol::Consumer && CLASSIC_ONLY.contains(&name) {
                    self.refuse(
                        &[&key, "kafka.group_protocol"],
                        "cannot be set: with the group protocol \"consumer\" it is up to the brokers",
                    );
                }
            }
        }
    }
}

/// Properties on which a guarantee depends: the name, the values that keep it, and the reason.
const PROTECTED: &[(&str, &[&str], &str)] = &[
    ("bootstrap.servers", &[], "use kafka.bootstrap_servers"),
    ("metadata.broker.list", &[], "use kafka.bootstrap_servers"),
    ("group.id", &[], "use kafka.group_id, which is also the prefix of the transactional ids"),
    ("group.instance.id", &[], "use kafka.instance_id; each worker needs a different one"),
    ("group.protocol", &[], "use kafka.group_protocol"),
    (
        "transactional.id",
        &[],
        "each worker needs a different one, made from kafka.group_id and kafka.instance_id",
    ),
    ("enable.idempotence", &[], "without it, a retry can write an outcome twice"),
    ("acks", ALL_REPLICAS, ACKS),
    ("request.required.acks", ALL_REPLICAS, ACKS),
    ("enable.auto.commit", &[], OFFSETS),
    ("auto.commit.enable", &[], OFFSETS),
    ("enable.auto.offset.store", &[], OFFSETS),
    (
        "isolation.level",
        &["read_committed"],
        "requests of aborted transactions must not be processed",
    ),
    (
        "auto.offset.reset",
        &["earliest", "smallest", "beginning", "error"],
        "requests would be skipped without an outcome",
    ),
    ("allow.auto.create.topics", &["false"], "a deleted topic would come back with other settings"),
    ("delivery.report.only.error", &[], "delivery reports show which outcomes are written"),
    ("partitioner", &[], "an outcome's partition is determined by its request"),
    (
        "enable.partition.eof",
        &["true"],
        "the event at the end of a partition moves its position past transaction markers",
    ),
];

const ALL_REPLICAS: &[&str] = &["all", "-1"];
const ACKS: &str = "an outcome counts as written when all in-sync replicas have it";
const OFFSETS: &str = "offsets are committed after or together with their outcomes, never before";

/// Properties and the settings for them. Only one of both may be set: the property would override
/// the setting without notice.
const EQUIVALENTS: &[(&str, &str)] = &[
    ("session.timeout.ms", "kafka.session_timeout_ms"),
    ("security.protocol", "kafka.security.protocol"),
    ("ssl.ca.pem", "kafka.security.ca_file"),
    ("ssl.ca.location", "kafka.security.ca_file"),
    ("ssl.certificate.pem", "kafka.security.certificate_file"),
    ("ssl.key.pem", "kafka.security.key_file"),
    ("ssl.certificate.location", "kafka.security.certificate_file"),
    ("ssl.key.location", "kafka.security.key_file"),
    ("ssl.key.password", "kafka.security.key_password"),
    ("sasl.mechanism", "kafka.security.sasl_mechanism"),
    ("sasl.mechanisms", "kafka.security.sasl_mechanism"),
    ("sasl.username", "kafka.security.username"),
    ("sasl.password", "kafka.security.password"),
];

/// The librdkafka property that a key sets, if it sets one.
pub(super) fn property_of(key: &str) -> Option<&str> {
    let tables = ["kafka.librdkafka.", "kafka.consumer.", "kafka.producer."];
    let of_table = tables.iter().find_map(|table| key.strip_prefix(table));
    of_table
        .or_else(|| EQUIVALENTS.iter().find(|(_, it)| *it == key).map(|(property, _)| *property))
}

/// Properties that exist only in the group protocol `classic`.
const CLASSIC_ONLY: &[&str] = &[
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "partition.assignment.strategy",
    "group.protocol.type",
];

const NAME: &str = "1 to 249 letters, digits, dots, dashes and underscores";

/// Whether Kafka accepts this name for a topic or an instance.
fn is_name(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Whether this is a host, or a host and a port.
fn is_server(server: &str) -> bool {
    let server = server.trim();
    // In an IPv6 address, the colons are inside brackets.
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.contains(|c: char| c.is_whitespace() || "/:;[]".contains(c)),
    };
    !host.is_empty()
        && is_host
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Whether these are levels, overall or per target. `EnvFilter` alone would treat a bare word that
/// is not a level as a target, and log nothing else.
fn is_log_level(level: &str) -> bool {
    level
        .split(',')
        .all(|directive| directive.contains('=') || directive.trim().parse::<LevelFilter>().is_ok())
        && EnvFilter::builder().parse(level).is_ok()
}
