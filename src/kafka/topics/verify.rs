//! Verifies the topics: everything that is wrong with them, at once.

use std::time::Duration;

use crate::config::Settings;
use crate::kafka::client::listed;
use crate::kafka::limits::RECORD_OVERHEAD;
use crate::kafka::roles::{PerTopic, Role, TRANSACTIONS, replication_setting};
use crate::kafka::topics::admin::{CLEANUP_POLICY, LEDGER_CLEANUP_POLICY, Layout, Topic};
use crate::pipeline::timestamps::OUTCOME_MAX_AHEAD_MS;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Requests or outcomes are lost, or the service cannot work.
    Error,
    /// The service works, but the operator should know the consequence.
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What is wrong, and its consequence.
    pub text: String,
}

/// Runs all checks. Errors come first.
pub fn findings(layout: &Layout, settings: &Settings) -> Vec<Finding> {
    let names = PerTopic::names(&settings.topics);
    let mut findings = Vec::new();
    let mut verify = |name: &str, topic: Option<&Topic>, kind: Kind| {
        let Some(topic) = topic else {
            let text = match kind {
                Kind::Stream(_) | Kind::Ledger => {
                    format!("topic {name} does not exist: `nik-stream topics create` creates it")
                }
                Kind::Reply => format!(
                    "topic {name} of topics.reply_allowed does not exist: its results go to {}",
                    names.results
                ),
            };
            findings.push(Finding { severity: Severity::Error, text });
            return;
        };
        let (role, checks) = match kind {
            Kind::Stream(role) => (Some(role), &RECORD_CHECKS[..]),
            Kind::Reply => (None, &RECORD_CHECKS[..]),
            Kind::Ledger => (None, &LEDGER_CHECKS[..]),
        };
        let subject = Subject { topic, role, names, layout, settings };
        for Check { key, severity, consequence } in COMMON_CHECKS.iter().chain(checks) {
            if let Some(consequence) = consequence(&subject) {
                let value = subject.value(key);
                let text = format!("topic {name}: {key} = {value}: {consequence}");
                findings.push(Finding { severity: *severity, text });
            }
        }
    };
    for (role, topic) in layout.topics.iter() {
        verify(names[role], topic.as_ref(), Kind::Stream(role));
    }
    if let Some((name, topic)) = &layout.ledger {
        verify(name, topic.as_ref(), Kind::Ledger);
    }
    for (name, topic) in &layout.replies {
        verify(name, topic.as_ref(), Kind::Reply);
    }
    findings.extend(layout.internal.iter().filter_map(|it| internal(layout, it.0, it.1)));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// What is wrong with a topic of the brokers that has this many replicas, or none yet.
fn internal(layout: &Layout, name: &str, replicas: Option<usize>) -> Option<Finding> {
    let factor_key = replication_setting(name);
    let (in_sync_key, consequence) = match name {
        TRANSACTIONS => ("transaction.state.log.min.isr", "no transaction can begin"),
        _ => ("min.insync.replicas", "no offset can be committed"),
    };
    let value = |key: &str| layout.broker_config.get(key)?.parse::<usize>().ok();
    let (brokers, factor, in_sync) = (layout.brokers, value(factor_key), value(in_sync_key));
    let text = match (replicas, factor, in_sync) {
        (None, Some(factor), _) if factor > brokers => format!(
            "the brokers' setting {factor_key} = {factor}: {name} cannot be created, as the cluster has fewer brokers, {brokers}: \
             {consequence}"
        ),
        (replicas, factor, Some(in_sync)) if replicas.or(factor).is_some_and(|it| it < in_sync) => {
            let replicas = replicas.or(factor).unwrap_or(0);
            format!(
                "the brokers' setting {in_sync_key} = {in_sync}: {name} has {replicas} replicas: {consequence}"
            )
        }
        _ => return None,
    };
    Some(Finding { severity: Severity::Error, text })
}

/// What a topic is for.
#[derive(Clone, Copy)]
enum Kind {
    Stream(Role),
    Ledger,
    /// It is listed in `topics.reply_allowed`.
    Reply,
}

/// One check of a topic.
struct Check {
    /// A setting of the topic, or `partitions`, `replicas`, `leader`.
    key: &'static str,
    severity: Severity,
    /// What the value causes, and the expected value; `None` if nothing is wrong.
    consequence: fn(&Subject<'_>) -> Option<String>,
}

const fn error(key: &'static str, consequence: fn(&Subject<'_>) -> Option<String>) -> Check {
    Check { key, severity: Severity::Error, consequence }
}

const fn warning(key: &'static str, consequence: fn(&Subject<'_>) -> Option<String>) -> Check {
    Check { key, severity: Severity::Warning, consequence }
}

/// The checks of all topics.
const COMMON_CHECKS: [Check; 5] = [
    error("leader", |it| {
        when(
            !it.topic.without_leader.is_empty(),
            "nothing can be written to or read from such a partition",
        )
    }),
    error("min.insync.replicas", |it| {
        let replicas = it.topic.replicas;
        when(it.in_sync() > replicas, format!("with replicas = {replicas} no write succeeds"))
    }),
    warning("replicas", |it| {
        when(
            it.topic.replicas == 1 && it.in_sync() == 1,
            "the loss of a broker loses records, and its absence stops its partitions",
        )
    }),
    warning("min.insync.replicas", |it| {
        let replicas = it.topic.replicas;
        when(
            replicas > 1 && it.in_sync() == replicas,
            format!("with replicas = {replicas} the absence of one broker stops its partitions"),
        )
    }),
    warning("min.insync.replicas", |it| {
        let replicas = it.topic.replicas;
        when(
            replicas > 1 && it.in_sync() == 1,
            format!(
                "with replicas = {replicas} an acknowledged record may exist on one broker only, and be lost with it"
            ),
        )
    }),
];

/// The checks of the requests, the outcomes and the reply topics.
const RECORD_CHECKS: [Check; 13] = [
    error("cleanup.policy", |it| {
        when(
            it.value("cleanup.policy").contains("compact"),
            format!(
                "records without a key are rejected, and only the last record of each key is kept; expected {CLEANUP_POLICY}"
            ),
        )
    }),
    warning("compression.type", |it| {
        let kind = it.topic.config.get("compression.type")?;
        // Without compression in the topic, its limit bounds what a batch unpacks to.
        let is_bound = kind == "uncompressed" && it.role == Some(Role::Requests);
        let is_fine = kind == "producer" || is_bound;
        when(!is_fine, "the brokers compress all records again; expected producer")
    }),
    warning("message.timestamp.before.max.ms", |it| {
        let before = format_duration(it.bound("message.timestamp.before.max.ms")?);
        Some(format!(
            "timestamps older than {before} are rejected: the outcome of an old request gets the current time, and its dead \
             letter cannot be replayed"
        ))
    }),
    error("max.message.bytes", |it| {
        let (room, (key, limit)) = (it.max_message_bytes()?, it.limit()?);
        let consequence = match it.role? {
            Role::Requests => "larger requests cannot be sent",
            Role::Results => "a larger result becomes a failure, result_too_large",
            Role::Failures => "larger failures lose their original, then their list",
        };
        let expected = limit + RECORD_OVERHEAD;
        let text = format!("less than {key} = {limit}: {consequence}; expected {expected}");
        when(room < limit, text)
    }),
    warning("max.message.bytes", |it| {
        let (room, (key, limit)) = (it.max_message_bytes()?, it.limit()?);
        let expected = limit + RECORD_OVERHEAD;
        let text =
            format!("{key} = {limit} leaves little room for key and headers; expected {expected}");
        when((limit..expected).contains(&room), text)
    }),
    warning("partitions", |it| {
        let requests = it.output_of()?;
        when(
            it.topic.partitions != requests.partitions,
            format!(
                "{} has {}: outcomes are partitioned by key, and keep their order within a key only",
                it.names.requests, requests.partitions
            ),
        )
    }),
    warning("message.timestamp.type", |it| {
        it.output_of()?;
        when(
            it.has_append_time(),
            "outcomes do not carry the timestamp of their request; expected CreateTime",
        )
    }),
    warning("message.timestamp.after.max.ms", |it| {
        it.output_of()?;
        let bound = it.bound("message.timestamp.after.max.ms")?;
        let ahead = format_duration(bound);
        when(
            // Beyond `OUTCOME_MAX_AHEAD_MS` the first attempt already carries the current time.
            bound < Duration::from_millis(OUTCOME_MAX_AHEAD_MS.unsigned_abs()),
            format!(
                "outcomes more than {ahead} ahead of the clock are rejected, and sent again with the current time"
            ),
        )
    }),
    warning("message.timestamp.type", |it| {
        when(
            it.role == Some(Role::Requests) && it.has_append_time(),
            "ages are computed for the day a request arrived, after a replay for the day of the replay; expected CreateTime",
        )
    }),
    warning("retention.ms", |it| {
        when(
            it.is_kept_forever(),
            "records with NIKs are kept forever; expected a time after which nobody needs them (Law 27 of 2022, article 16 (2) g)",
        )
    }),
    warning("retention.ms", |it| {
        let kept = it.layout.topics.requests.as_ref().and_then(retention)?;
        let (longer, requests) = (it.failures_outlive(kept)?, it.names.requests);
        let kept = format_duration(kept);
        Some(format!(
            "dead letters are kept {longer}, requests in {requests} for {kept}: after that, an original of which \
             its dead letter holds no copy is lost"
        ))
    }),
    warning("retention.ms", |it| {
        let kept = it.layout.offsets_retention()?;
        let longer = it.failures_outlive(kept)?;
        let kept = format_duration(kept);
        Some(format!(
            "dead letters are kept {longer}, but the brokers forget what was replayed {kept} after the last replay \
             (offsets.retention.minutes): replay at least that often, or the next replay sends them again"
        ))
    }),
    warning("retention.ms", |it| {
        let kept = it.layout.offsets_retention()?;
        let longer = match retention(it.topic) {
            _ if it.role != Some(Role::Requests) || it.settings.topics.positions.is_some() => None,
            Some(requests) => {
                (requests > kept).then(|| format!("for {}", format_duration(requests)))
            }
            None => Some("forever".to_owned()),
        }?;
        let kept = format_duration(kept);
        Some(format!(
            "requests are kept {longer}, but the brokers forget how far they were read {kept} after the last member left \
             (offsets.retention.minutes): after a longer stop they are answered again; topics.positions remembers it"
        ))
    }),
];

/// The checks of the ledger of positions.
const LEDGER_CHECKS: [Check; 2] = [
    error("cleanup.policy", |it| {
        when(
            it.value("cleanup.policy") != LEDGER_CLEANUP_POLICY,
            format!("entries are deleted, or all are kept; expected {LEDGER_CLEANUP_POLICY}"),
        )
    }),
    error("partitions", |it| {
        let requests = it.layout.topics.requests.as_ref()?;
        when(
            it.topic.partitions < requests.partitions,
            format!(
                "{} has {}: the positions of the others are kept by the group alone",
                it.names.requests, requests.partitions
            ),
        )
    }),
];

fn when(wrong: bool, consequence: impl Into<String>) -> Option<String> {
    wrong.then(|| consequence.into())
}

/// What a check sees.
struct Subject<'a> {
    topic: &'a Topic,
    /// `None`: the ledger, or a topic of `topics.reply_allowed`.
    role: Option<Role>,
    names: PerTopic<&'a str>,
    layout: &'a Layout,
    settings: &'a Settings,
}

impl<'a> Subject<'a> {
    fn value(&self, key: &str) -> String {
        match key {
            "leader" => {
                format!("none for partition {}", listed(&self.topic.without_leader))
            }
            "partitions" => self.topic.partitions.to_string(),
            "replicas" => self.topic.replicas.to_string(),
            key => self.topic.config.get(key).cloned().unwrap_or_default(),
        }
    }

    fn in_sync(&self) -> usize {
        number(self.topic, "min.insync.replicas").unwrap_or(1)
    }

    fn max_message_bytes(&self) -> Option<usize> {
        number(self.topic, "max.message.bytes")
    }

    /// A bound in milliseconds; `None` if the topic has no bound.
    fn bound(&self, key: &str) -> Option<Duration> {
        let ms: i64 = number(self.topic, key)?;
        if ms == i64::MAX {
            return None;
        }
        u64::try_from(ms).ok().map(Duration::from_millis)
    }

    fn has_append_time(&self) -> bool {
        self.value("message.timestamp.type") == "LogAppendTime"
    }

    /// The limit of the values that the topic must have room for, with its setting.
    fn limit(&self) -> Option<(&'static str, usize)> {
        let limits = &self.settings.limits;
        Some(match self.role? {
            Role::Requests => ("limits.request_bytes", limits.request_bytes),
            Role::Results | Role::Failures => ("limits.result_bytes", limits.result_bytes),
        })
    }

    /// The requests topic, if this is a topic of their outcomes.
    fn output_of(&self) -> Option<&'a Topic> {
        let is_output = self.role.is_some_and(|role| Role::OUTPUTS.contains(&role));
        self.layout.topics.requests.as_ref().filter(|_| is_output)
    }

    fn is_kept_forever(&self) -> bool {
        number(self.topic, "retention.ms").is_some_and(|ms: i64| ms < 0)
    }

    /// How long failures are kept, if that is longer than `bound`.
    fn failures_outlive(&self, bound: Duration) -> Option<String> {
        if self.role != Some(Role::Failures) {
            return None;
        }
        match retention(self.topic) {
            Some(kept) => (kept > bound).then(|| format!("for {}", format_duration(kept))),
            None => Some("forever".to_owned()),
        }
    }
}

fn number<T: std::str::FromStr>(topic: &Topic, key: &str) -> Option<T> {
    topic.config.get(key)?.parse().ok()
}

impl Layout {
    /// How long the brokers keep the committed offsets of a group without members; `None` if they do
    /// not say.
    fn offsets_retention(&self) -> Option<Duration> {
        let minutes = self.broker_config.get("offsets.retention.minutes")?.parse().ok()?;
        Some(Duration::from_mins(minutes))
    }
}

/// How long records are kept; `None`: forever.
fn retention(topic: &Topic) -> Option<Duration> {
    let ms: i64 = number(topic, "retention.ms")?;
    u64::try_from(ms).ok().map(Duration::from_millis)
}

/// A duration in the largest unit that gives a whole number. (A crate would count in months of
/// 30.44 days.)
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}
