//! The checks of the topics, also for what a test cluster cannot have.

use std::collections::BTreeSet;
use std::time::Duration;

use nik_stream::config::load_from;
use nik_stream::kafka::roles::PerTopic;
use nik_stream::kafka::topics::admin::{Layout, Topic};
use nik_stream::kafka::topics::verify::{Finding, Severity, findings, format_duration};

const DAY: &str = "86400000";

/// A topic that passes all checks.
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
        without_leader: BTreeSet::new(),
        config: config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
    }
}

/// A layout that passes all checks.
fn sound_layout() -> Layout {
    let broker_config = [
        ("offsets.retention.minutes", "1440"),
        ("offsets.topic.replication.factor", "3"),
        ("transaction.state.log.replication.factor", "3"),
        ("transaction.state.log.min.isr", "2"),
        ("min.insync.replicas", "1"),
    ];
    Layout {
        topics: PerTopic {
            requests: Some(sound()),
            results: Some(sound()),
            failures: Some(sound()),
        },
        ledger: None,
        replies: Vec::new(),
        brokers: 3,
        broker_config: broker_config.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        internal: vec![("__consumer_offsets", Some(3)), ("__transaction_state", None)],
    }
}

/// The findings after a change of the failures topic.
fn found(change: impl FnOnce(&mut Topic)) -> Vec<Finding> {
    found_in(|layout| change(layout.topics.failures.as_mut().unwrap()))
}

/// The findings after a change of the layout.
fn found_in(change: impl FnOnce(&mut Layout)) -> Vec<Finding> {
    let mut layout = sound_layout();
    change(&mut layout);
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
fn too_few_replicas_and_a_wrong_number_in_sync_are_findings() {
    let told = |replicas: usize, in_sync: &str| {
        let mut all = found(|topic| {
            topic.replicas = replicas;
            set(topic, "min.insync.replicas", in_sync);
        });
        assert!(all.len() <= 1);
        all.pop().map(|finding| (finding.severity, finding.text))
    };
    for (replicas, in_sync, severity, text) in [
        (1, "1", Severity::Warning, "replicas = 1:"),
        (1, "2", Severity::Error, "no write succeeds"),
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
    let all = found(|topic| topic.without_leader = BTreeSet::from([3]));
    assert_eq!(all.len(), 1);
    assert!(
        all[0].severity == Severity::Error && all[0].text.contains("leader = none for partition 3")
    );
}

#[test]
fn dead_letters_that_outlive_their_requests_or_the_replay_offsets_are_findings() {
    let all = found(|topic| set(topic, "retention.ms", "86400001"));
    assert_eq!(all.len(), 2);
    assert!(
        all[0]
            .text
            .contains("dead letters are kept for 86400001 ms, requests in nik.requests for 1 d")
    );
    assert!(all[1].text.contains("what was replayed 1 d after the last replay"));
    let forever = found(|topic| set(topic, "retention.ms", "-1"));
    assert_eq!(forever.len(), 3);
    assert!(forever[0].text.contains("records with NIKs are kept forever"));
    assert_eq!(found(|topic| set(topic, "retention.ms", "1000")), []);
}

#[test]
fn requests_that_outlive_the_committed_offsets_are_a_finding() {
    for (retention, kept) in [("86400001", "for 86400001 ms"), ("-1", "forever")] {
        let all = found_in(|layout| {
            set(layout.topics.requests.as_mut().unwrap(), "retention.ms", retention);
        });
        let expected = format!("requests are kept {kept}, but the brokers forget");
        assert!(all.iter().any(|it| it.text.contains(&expected)), "{all:?}");
    }
}

#[test]
fn internal_topics_that_the_brokers_cannot_create_or_write_are_errors() {
    let errors = |change: fn(&mut Layout)| {
        let all = found_in(change);
        assert!(all.iter().all(|it| it.severity == Severity::Error), "{all:?}");
        all.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
    };
    let alone = errors(|layout| layout.brokers = 1);
    assert_eq!(alone.len(), 1, "the topic of offsets exists: {alone:?}");
    assert!(alone[0].contains("transaction.state.log.replication.factor = 3"), "{alone:?}");
    let both = errors(|layout| {
        layout.brokers = 1;
        layout.internal[0].1 = None;
    });
    assert!(both[0].contains("offsets.topic.replication.factor = 3"), "{both:?}");
    let thin = errors(|layout| layout.internal[1].1 = Some(1));
    assert!(thin[0].contains("transaction.state.log.min.isr = 2"), "{thin:?}");
    assert_eq!(errors(|layout| layout.broker_config.clear()), Vec::<String>::new());
}

#[test]
fn a_duration_is_printed_in_its_largest_whole_unit() {
    let told = [86_400_000, 90_000_000, 5_400_000, 90_000, 1_500, 0]
        .map(|ms| format_duration(Duration::from_millis(ms)));
    assert_eq!(told, ["1 d", "25 h", "90 min", "90 s", "1500 ms", "0 ms"]);
}
