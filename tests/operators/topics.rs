//! `topics create` and `topics verify`.

use super::{done, say};
use crate::cluster::{ProgramSettings, shared};
use crate::traffic::stage::Stage;

/// The findings that every cluster of one broker has.
fn of_one_broker(stage: &Stage) -> String {
    let alone = |topic: &str| {
        format!(
            "warning: topic {topic}: 1 replica: the loss of one broker loses records, and its absence stops their partitions\n"
        )
    };
    stage.topics().map(alone).concat()
}

#[test]
fn created_topics_have_only_the_findings_of_one_broker_and_are_created_once() {
    let stage = Stage::named(shared(), "made");
    let settings = stage.settings();
    let [requests, results, failures] = stage.topics();
    let out =
        done(&settings, &["topics", "create", "--retention", "30d", "--failures-retention", "7d"]);
    let made = format!(
        "made {requests}: partitions 6, replicas 1, kept for 30 d\n\
         made {results}: partitions 6, replicas 1, kept for 30 d\n\
         made {failures}: partitions 6, replicas 1, kept for 7 d\n"
    );
    assert_eq!(out, made + &of_one_broker(&stage));
    let again = done(&settings, &["topics", "create", "--partitions", "9"]);
    let there = stage.topics().map(|topic| format!("{topic} is there: left as it is\n"));
    assert_eq!(again, there.concat() + &of_one_broker(&stage));
    assert_eq!(done(&settings, &["topics", "verify"]), of_one_broker(&stage));
    assert!(stage.topics().iter().all(|topic| shared().partitions(topic) == 6));
    // The service works with them.
    crate::traffic::stage::stop(crate::traffic::stage::ready(&settings));
}

#[test]
fn only_missing_topics_are_created() {
    let stage = Stage::named(shared(), "half");
    shared().create_topic(&stage.results, 2, &[]);
    let arguments = ["topics", "create", "--partitions", "4", "--replication", "1"];
    let said = say(&stage.settings(), &arguments);
    // The existing topic refuses large results.
    let (out, short) = (&said.out, format!("error: topic {}: max.message.bytes", stage.results));
    assert!(said.code == Some(1) && out.contains(&short), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("made {}: partitions 4", stage.requests)), "{out}");
    assert_eq!(lines[1], format!("{} is there: left as it is", stage.results));
    assert!(
        out.contains(&format!(
            "topic {}: 2 partitions, and {} has 4",
            stage.results, stage.requests
        )),
        "{out}"
    );
}

#[test]
fn all_findings_are_reported_at_once() {
    let stage = Stage::named(shared(), "wrong");
    let settings = stage.settings();
    let missing = say(&settings, &["topics", "verify"]);
    let absent = |topic: &str| {
        format!("error: topic {topic} does not exist: `nik-stream topics create` makes it\n")
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
        format!("error: topic {results}: cleanup.policy has compact"),
        format!("error: topic {failures}: min.insync.replicas is 2, with 1 replicas"),
        format!(
            "error: topic {requests}: max.message.bytes is 1000, below limits.request_bytes = 1048576"
        ),
        format!(
            "error: topic {failures}: max.message.bytes is 2000, below limits.result_bytes = 4194304"
        ),
        format!("warning: topic {requests}: 1 replica"),
        format!(
            "warning: topic {requests}: message.timestamp.before.max.ms: what is older than 1 d is refused"
        ),
        format!("warning: topic {results}: 1 replica"),
        format!("warning: topic {results}: compression.type is gzip"),
        format!(
            "warning: topic {results}: max.message.bytes is 4194304: beside limits.result_bytes"
        ),
        format!("warning: topic {results}: 2 partitions, and {requests} has 3"),
        format!(
            "warning: topic {results}: message.timestamp.after.max.ms: what is more than 1 s ahead"
        ),
        format!("warning: topic {failures}: message.timestamp.type is LogAppendTime"),
        format!(
            "warning: topic {requests}: records are kept for 1 h, those of {failures} for ever"
        ),
        format!("warning: topic {requests}: message.timestamp.type is LogAppendTime"),
        format!(
            "warning: the brokers forget what was replayed 7 d after the last replay (offsets.retention.minutes), and failures in {failures}"
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{}", found.out);
    for (line, expected) in lines.iter().zip(&expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
}

#[test]
fn a_topic_that_cannot_be_created_is_reported_with_the_reason() {
    let stage = Stage::named(shared(), "refused");
    let said = say(&stage.settings(), &["topics", "create", "--replication", "2"]);
    assert_eq!(said.code, Some(1));
    let expected = "2 replicas need as many brokers, and there are 1: see --replication";
    assert!(said.words.contains(expected), "{}", said.words);
    let odd = stage.settings().set("topics.results", "a topic");
    let said = say(&odd, &["topics", "create"]);
    assert_eq!(said.code, Some(64), "{}", said.words);
}

#[test]
fn unreachable_brokers_are_named() {
    let away = ProgramSettings::at("127.0.0.1:1");
    let commands = [&["topics", "create"][..], &["topics", "verify"], &["dlq", "list"]];
    // In parallel, since each waits a while for the brokers.
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
