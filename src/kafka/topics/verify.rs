//! What is wrong with the three topics, all at once.

use std::time::Duration;

use crate::config::Settings;
use crate::kafka::limits::{AHEAD_MS, MARGIN};
use crate::kafka::topics::admin::{DELETED, Layout, Topic};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Requests or outcomes are lost, or nothing works.
    Error,
    /// It works, with a consequence that should be wanted.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What, and what follows.
    pub text: String,
}

/// Everything that is wrong, errors first.
pub fn findings(layout: &Layout, settings: &Settings) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    let topics = &settings.topics;
    let names = [&topics.requests, &topics.results, &topics.failures];
    for (name, topic) in names.into_iter().zip(&layout.topics) {
        match topic {
            None => found
                .error(format!("topic {name} does not exist: `nik-stream topics create` makes it")),
            Some(topic) => found.alone(name, topic),
        }
    }
    for (name, topic) in &layout.replies {
        match topic {
            None => found.error(format!(
                "topic {name} of topics.reply_allowed does not exist: results for it go to {}",
                topics.results
            )),
            Some(topic) => found.alone(name, topic),
        }
    }
    found.sizes(layout, settings);
    if let [Some(requests), outcomes @ ..] = &layout.topics {
        for (name, topic) in names[1..].iter().zip(outcomes) {
            if let Some(topic) = topic {
                found.beside(names[0], requests, name, topic);
            }
        }
        if let Some(failures) = &outcomes[1] {
            found.retention(names[0], requests, names[2], failures);
        }
        found.requests(names[0], requests);
    }
    if let (Some(failures), Some(minutes)) = (&layout.topics[2], layout.positions_minutes) {
        found.positions(names[2], failures, minutes);
    }
    found.0.sort_by_key(|finding| finding.severity);
    found.0
}

struct Findings(Vec<Finding>);

impl Topic {
    fn number(&self, key: &str) -> Option<i64> {
        self.config.get(key)?.parse().ok()
    }

    /// For how long records are kept; none: for ever.
    fn retention(&self) -> Option<Duration> {
        let ms = self.number("retention.ms")?;
        u64::try_from(ms).ok().map(Duration::from_millis)
    }

    fn is_of_append_time(&self) -> bool {
        self.config.get("message.timestamp.type").map(String::as_str) == Some("LogAppendTime")
    }
}

impl Findings {
    fn error(&mut self, text: String) {
        self.0.push(Finding { severity: Severity::Error, text });
    }

    fn warn(&mut self, text: String) {
        self.0.push(Finding { severity: Severity::Warning, text });
    }

    /// What one topic tells by itself.
    fn alone(&mut self, name: &str, topic: &Topic) {
        for partition in &topic.without_leader {
            self.error(format!(
                "topic {name}: partition {partition} has no leader: nothing can be written to it or read from it"
            ));
        }
        let policy = topic.config.get("cleanup.policy");
        if policy.is_some_and(|policy| policy.contains("compact")) {
            self.error(format!(
                "topic {name}: cleanup.policy has compact: records without a key are refused, and of one key only the last is \
                 kept; expected {DELETED}"
            ));
        }
        let in_sync = topic.number("min.insync.replicas").unwrap_or(1);
        let replicas = i64::try_from(topic.replicas).unwrap_or(i64::MAX);
        if in_sync > replicas {
            self.error(format!(
                "topic {name}: min.insync.replicas is {in_sync}, with {replicas} replicas: no write is ever taken"
            ));
        } else if replicas == 1 {
            self.warn(format!(
                "topic {name}: 1 replica: the loss of one broker loses records, and its absence stops their partitions"
            ));
        } else if in_sync == replicas {
            self.warn(format!(
                "topic {name}: min.insync.replicas is {in_sync}, with {replicas} replicas: the absence of one broker stops its \
                 partitions"
            ));
        } else if in_sync == 1 {
            self.warn(format!(
                "topic {name}: min.insync.replicas is 1, with {replicas} replicas: a record that was taken may be on one broker \
                 only, and lost with it"
            ));
        }
        let kind = topic.config.get("compression.type");
        if let Some(kind) = kind.filter(|kind| *kind != "producer") {
            self.warn(format!(
                "topic {name}: compression.type is {kind}: the brokers compress anew what they are given; expected producer"
            ));
        }
        if let Some(before) = topic.number("message.timestamp.before.max.ms")
            && let Some(before) = bounded(before)
        {
            let before = span(before);
            self.warn(format!(
                "topic {name}: message.timestamp.before.max.ms: what is older than {before} is refused. Of an old request the \
                 outcome gets the clock's time, and a failure cannot be replayed"
            ));
        }
    }

    /// Room for the largest records.
    fn sizes(&mut self, layout: &Layout, settings: &Settings) {
        let topics = &settings.topics;
        let (request, result) = (settings.limits.request_bytes, settings.limits.result_bytes);
        let results = "a larger result becomes a failure, result_too_large";
        let failures = "larger failures lose their original, then their list";
        for (name, topic, key, limit, follows) in [
            (
                &topics.requests,
                &layout.topics[0],
                "request_bytes",
                request,
                "larger requests cannot be sent",
            ),
            (&topics.results, &layout.topics[1], "result_bytes", result, results),
            (&topics.failures, &layout.topics[2], "result_bytes", result, failures),
        ] {
            let room = topic.as_ref().and_then(|it| it.number("max.message.bytes"));
            let Some(room) = room.and_then(|room| usize::try_from(room).ok()) else {
                continue;
            };
            let expected = limit + MARGIN;
            if room < limit {
                self.error(format!(
                    "topic {name}: max.message.bytes is {room}, below limits.{key} = {limit}: {follows}; expected {expected}"
                ));
            } else if room < expected {
                self.warn(format!(
                    "topic {name}: max.message.bytes is {room}: beside limits.{key} = {limit} it leaves little room for key and \
                     headers; expected {expected}"
                ));
            }
        }
    }

    /// What an output tells beside the requests.
    fn beside(&mut self, requests: &str, from: &Topic, name: &str, to: &Topic) {
        if to.partitions != from.partitions {
            self.warn(format!(
                "topic {name}: {} partitions, and {requests} has {}: outcomes go by their key, so order holds within a key only",
                to.partitions, from.partitions
            ));
        }
        if to.is_of_append_time() {
            self.warn(format!(
                "topic {name}: message.timestamp.type is LogAppendTime: outcomes do not carry their request's time; expected \
                 CreateTime"
            ));
        }
        let ahead = to.number("message.timestamp.after.max.ms").and_then(bounded);
        // (A request that is further ahead gets the clock's time at once.)
        let at_once = Duration::from_millis(AHEAD_MS.unsigned_abs());
        if let Some(ahead) = ahead.filter(|ahead| *ahead < at_once) {
            let ahead = span(ahead);
            self.warn(format!(
                "topic {name}: message.timestamp.after.max.ms: what is more than {ahead} ahead of the clock is refused: such \
                 outcomes are sent twice, the second time with the clock's time"
            ));
        }
    }

    fn requests(&mut self, name: &str, topic: &Topic) {
        if topic.is_of_append_time() {
            self.warn(format!(
                "topic {name}: message.timestamp.type is LogAppendTime: ages are counted at the day a request arrived, of a \
                 replayed one at the day of its replay; expected CreateTime"
            ));
        }
    }

    fn retention(&mut self, requests: &str, from: &Topic, failures: &str, to: &Topic) {
        let Some(kept) = from.retention() else {
            return;
        };
        if to.retention().is_none_or(|failures| failures > kept) {
            let kept = span(kept);
            let longer = long(to);
            self.warn(format!(
                "topic {requests}: records are kept for {kept}, those of {failures} {longer}: in between, an original that \
                 was too large for its failure is lost (retention.ms)"
            ));
        }
    }

    fn positions(&mut self, failures: &str, topic: &Topic, minutes: i64) {
        let kept = Duration::from_secs(u64::try_from(minutes).unwrap_or(0) * 60);
        if topic.retention().is_none_or(|failures| failures > kept) {
            let kept = span(kept);
            let longer = long(topic);
            self.warn(format!(
                "the brokers forget what was replayed {kept} after the last replay (offsets.retention.minutes), and failures in \
                 {failures} are kept {longer}: replay at least that often, or the next replay sends them again"
            ));
        }
    }
}

/// For how long a topic keeps its records.
fn long(topic: &Topic) -> String {
    let bound = topic.retention().map(span);
    bound.map_or("for ever".to_owned(), |span| format!("for {span}"))
}

/// A number of milliseconds that stands for a bound.
fn bounded(ms: i64) -> Option<Duration> {
    (ms != i64::MAX).then(|| u64::try_from(ms).ok()).flatten().map(Duration::from_millis)
}

/// A duration in its largest unit that gives a whole number.
pub fn span(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", ms / unit),
        None => format!("{ms} ms"),
    }
}
