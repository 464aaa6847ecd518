//! What may be wrong with the topics, also where a test's cluster cannot have it.

use std::time::Duration;

use nik_stream::config::load_from;
use nik_stream::kafka::topics::admin::{Layout, Topic};
use nik_stream::kafka::topics::verify::{Finding, Severity, findings, span};

const DAY: &str = "86400000";

/// A topic with which nothing is wrong.
fn sound() -> Topic {
    let config = [
        ("cleanup.policy", "delete"),
        ("min.insync.replicas", "2"),
        ("max.message.bytes", "6000000"),
        ("compression.type", "producer"),
        ("retention.ms", DAY),
        ("message.timestamp.type", "CreateTime"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.after.max.ms", "3600000"),
    ];
    Topic {
        partitions: 6,
        replicas: 3,
        without_leader: Vec::new(),
        config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

/// What is found when the failures' topic is changed so.
fn found(change: impl FnOnce(&mut Topic)) -> Vec<Finding> {
    let mut failures = sound();
    change(&mut failures);
    let layout = Layout {
        topics: [Some(sound()), Some(sound()), Some(failures)],
        replies: Vec::new(),
        positions_minutes: Some(1440),
    };
    let settings = load_from(&[], [], |_, _| Ok(())).unwrap().settings;
    findings(&layout, &settings)
}

fn set(topic: &mut Topic, key: &str, value: &str) {
    topic.config.insert(key.to_owned(), value.to_owned());
}

#[test]
fn nothing_is_wrong_with_sound_topics() {
    assert_eq!(found(|_| ()), []);
}

#[test]
fn replicas_that_are_too_few_or_too_many_in_sync_are_told() {
    let told = |replicas: usize, in_sync: &str| {
        let mut all = found(|topic| {
            topic.replicas = replicas;
            set(topic, "min.insync.replicas", in_sync);
        });
        assert!(all.len() <= 1);
        all.pop().map(|finding| (finding.severity, finding.text))
    };
    for (replicas, in_sync, severity, text) in [
        (1, "1", Severity::Warning, "1 replica:"),
        (1, "2", Severity::Error, "no write is ever taken"),
        (2, "2", Severity::Warning, "the absence of one broker stops its"),
        (3, "1", Severity::Warning, "on one broker only"),
    ] {
        let (found, words) = told(replicas, in_sync).unwrap();
        assert!(found == severity && words.contains(text), "{words}");
    }
    assert_eq!(told(3, "2"), None);
}

#[test]
fn a_partition_without_a_leader_is_an_error() {
    let all = found(|topic| topic.without_leader = vec![3]);
    assert_eq!(all.len(), 1);
    assert!(
        all[0].severity == Severity::Error && all[0].text.contains("partition 3 has no leader")
    );
}

#[test]
fn failures_that_outlive_their_requests_and_their_replays_are_told() {
    let all = found(|topic| set(topic, "retention.ms", "86400001"));
    assert_eq!(all.len(), 2);
    assert!(all[0].text.contains("are kept for 1 d, those of nik.failures for 86400001 ms"));
    assert!(all[1].text.contains("what was replayed 1 d after the last replay"));
    assert_eq!(found(|topic| set(topic, "retention.ms", "-1")).len(), 2);
    assert_eq!(found(|topic| set(topic, "retention.ms", "1000")), []);
}

#[test]
fn a_span_is_told_in_its_largest_whole_unit() {
    let told = [86_400_000, 90_000_000, 5_400_000, 90_000, 1_500, 0]
        .map(|ms| span(Duration::from_millis(ms)));
    assert_eq!(told, ["1 d", "25 h", "90 min", "90 s", "1500 ms", "0 ms"]);
}
