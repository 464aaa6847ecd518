//! The three topics are created and verified.

use super::{done, say};
use crate::cluster::{ProgramSettings, shared};
use crate::traffic::stage::{Stage, ready, stop};

/// The findings that a cluster of one broker always has.
fn of_one_broker(stage: &Stage) -> String {
    let alone = |topic: &str| {
        format!(
            "warning: topic {topic}: replicas = 1: the loss of a broker loses records, and its absence stops its partitions\n"
        )
    };
    stage.topics().map(alone).concat()
}

#[test]
fn created_topics_pass_verification_and_are_created_once() {
    let stage = Stage::named(shared(), "made");
    let settings = stage.settings();
    let [requests, results, failures] = stage.topics();
    let out =
        done(&settings, &["topics", "create", "--retention", "30d", "--failures-retention", "7d"]);
    let made = format!(
        "created {requests}: partitions 6, replicas 1, retention 30 d\n\
         created {results}: partitions 6, replicas 1, retention 30 d\n\
         created {failures}: partitions 6, replicas 1, retention 7 d\n"
    );
    let forgotten = format!(
        "warning: topic {requests}: retention.ms = 2592000000: requests are kept for 30 d, but the brokers forget how far they \
         were read 7 d after the last member left (offsets.retention.minutes): after a longer stop they are answered again; \
         topics.positions remembers it\n"
    );
    let warnings = of_one_broker(&stage);
    let (first, others) = warnings.split_at(warnings.find('\n').expect("lines") + 1);
    let warnings = format!("{first}{forgotten}{others}");
    assert_eq!(out, made + &warnings);
    let again = done(&settings, &["topics", "create", "--partitions", "9"]);
    let there = stage.topics().map(|topic| format!("{topic} already exists, unchanged\n"));
    assert_eq!(again, there.concat() + &warnings);
    assert_eq!(done(&settings, &["topics", "verify"]), warnings);
    assert!(stage.topics().iter().all(|topic| shared().partitions(topic) == 6));
    // The service can use them.
    stop(ready(&settings));
}

#[test]
fn the_ledger_is_created_and_verified_with_the_topics() {
    let stage = Stage::named(shared(), "ledgers");
    let ledger = stage.ledger();
    let settings = stage.settings().set("topics.positions", &ledger);
    let absent = format!("error: topic {ledger} does not exist: `nik-stream topics create`");
    assert!(say(&settings, &["topics", "verify"]).out.contains(&absent));
    let out = done(&settings, &["topics", "create", "--partitions", "3"]);
    let created = format!("created {ledger}: partitions 3, replicas 1, compacted\n");
    assert!(out.contains(&created), "{out}");
    assert!(!out.contains("error"), "{out}");
    stop(ready(&settings));

    shared().grow_topic(&stage.requests, 4);
    let wrong = format!("{}.wrong", stage.group);
    shared().create_topic(&wrong, 4, &[("cleanup.policy", "delete")]);
    for (name, finding) in [
        (&ledger, format!("error: topic {ledger}: partitions = 3: {} has 4: ", stage.requests)),
        (&wrong, format!("error: topic {wrong}: cleanup.policy = delete: ")),
    ] {
        let found = say(&stage.settings().set("topics.positions", name), &["topics", "verify"]);
        assert!(found.code == Some(1) && found.out.contains(&finding), "{}", found.out);
    }
}

#[test]
fn missing_topics_are_created_and_existing_ones_are_left_unchanged() {
    let stage = Stage::named(shared(), "half");
    shared().create_topic(&stage.results, 2, &[]);
    let arguments = ["topics", "create", "--partitions", "4", "--replication", "1"];
    let said = say(&stage.settings(), &arguments);
    // The existing topic has no room for the largest result.
    let (out, short) = (&said.out, format!("error: topic {}: max.message.bytes", stage.results));
    assert!(said.code == Some(1) && out.contains(&short), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("created {}: partitions 4", stage.requests)), "{out}");
    assert_eq!(lines[1], format!("{} already exists, unchanged", stage.results));
    assert!(
        out.contains(&format!("topic {}: partitions = 2: {} has 4", stage.results, stage.requests)),
        "{out}"
    );
}

#[test]
fn all_findings_are_reported_at_once() {
    let stage = Stage::named(shared(), "wrong");
    let settings = stage.settings();
    let missing = say(&settings, &["topics", "verify"]);
    let absent = |topic: &str| {
        format!("error: topic {topic} does not exist: `nik-stream topics create` creates it\n")
    };
    assert_eq!((missing.out, missing.code), (stage.topics().map(absent).concat(), Some(1)));

    let [requests, results, failures] = stage.topics();
    shared().create_topic(
        requests,
        3,
        &[
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", "3600000"),
            ("max.message.bytes", "1000"),
            ("message.timestamp.before.max.ms", "86400000"),
        ],
    );
    shared().create_topic(
        results,
        2,
        &[
            ("cleanup.policy", "compact,delete"),
            ("max.message.bytes", "4194304"),
            ("compression.type", "gzip"),
            ("message.timestamp.after.max.ms", "1000"),
        ],
    );
    shared().create_topic(
        failures,
        3,
        &[
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "2000"),
            ("retention.ms", "-1"),
            ("message.timestamp.type", "LogAppendTime"),
        ],
    );
    let found = say(&settings, &["topics", "verify"]);
    assert_eq!(found.code, Some(1), "{}", found.words);
    let lines: Vec<&str> = found.out.lines().collect();
    let expected = [
        format!(
            "error: topic {requests}: max.message.bytes = 1000: less than limits.request_bytes = 1048576: "
        ),
        format!("error: topic {results}: cleanup.policy = compact,delete: "),
        format!("error: topic {failures}: min.insync.replicas = 2: with replicas = 1 no write"),
        format!(
            "error: topic {failures}: max.message.bytes = 2000: less than limits.result_bytes = 4194304: "
        ),
        format!("warning: topic {requests}: replicas = 1: "),
        format!(
            "warning: topic {requests}: message.timestamp.before.max.ms = 86400000: timestamps older than 1 d "
        ),
        format!("warning: topic {requests}: message.timestamp.type = LogAppendTime: ages "),
        format!("warning: topic {results}: replicas = 1: "),
        format!("warning: topic {results}: compression.type = gzip: "),
        format!(
            "warning: topic {results}: max.message.bytes = 4194304: limits.result_bytes = 4194304 "
        ),
        format!("warning: topic {results}: partitions = 2: {requests} has 3: "),
        format!(
            "warning: topic {results}: message.timestamp.after.max.ms = 1000: outcomes more than 1 s ahead "
        ),
        format!("warning: topic {failures}: message.timestamp.type = LogAppendTime: outcomes "),
        format!(
            "warning: topic {failures}: retention.ms = -1: records with NIKs are kept forever; "
        ),
        format!(
            "warning: topic {failures}: retention.ms = -1: dead letters are kept forever, requests in {requests} for 1 h: "
        ),
        format!(
            "warning: topic {failures}: retention.ms = -1: dead letters are kept forever, but the brokers forget what was replayed 7 d after "
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{}", found.out);
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn a_topic_that_cannot_be_created_is_an_error() {
    let stage = Stage::named(shared(), "refused");
    let said = say(&stage.settings(), &["topics", "create", "--replication", "2"]);
    assert_eq!(said.code, Some(1));
    let expected = "2 replicas need 2 brokers, but the cluster has 1: see --replication";
    assert!(said.words.contains(expected), "{}", said.words);
    let odd = stage.settings().set("topics.results", "a topic");
    let said = say(&odd, &["topics", "create"]);
    assert_eq!(said.code, Some(64), "{}", said.words);
}

#[test]
fn unreachable_brokers_are_named() {
    let away = ProgramSettings::at("127.0.0.1:1");
    let commands = [&["topics", "create"][..], &["topics", "verify"], &["dlq", "list"]];
    // At the same time, as each waits for its timeout.
    std::thread::scope(|scope| {
        for command in commands {
            let away = &away;
            scope.spawn(move || {
                let said = say(away, command);
                assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{command:?}");
                let expected =
                    "no broker answers at 127.0.0.1:1 (kafka.bootstrap_servers, kafka.security)";
                assert!(said.words.contains(expected), "{command:?}: {}", said.words);
            });
        }
    });
}
