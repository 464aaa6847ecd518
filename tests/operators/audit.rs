//! `audit` finds what is lost, doubled, different or unexplained, and nothing else.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

use nik_wire::process::Processor;
use serde_json::{Value, json};

use super::{NIK, Said, delete_records, say};
use crate::cluster::{NewRecord, ProgramSettings, Record, shared};
use crate::traffic::audit::{judge, outcome};
use crate::traffic::load::{Requests, now_ms};
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_until};

const FAULTS: [&str; 4] = ["lost", "doubled", "different", "unexplained"];

/// What an audit of everything prints, and its exit code.
fn audited(settings: &ProgramSettings, more: &[&str]) -> (Value, Option<i32>) {
    let arguments = [&["audit", "--since", "2000-01-01", "--json"], more].concat();
    let Said { out, words, code } = say(settings, &arguments);
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{words}"));
    (report, code)
}

fn faults(report: &Value) -> [u64; 4] {
    FAULTS.map(|name| count(report, name))
}

fn count(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report}"))
}

/// Asserts an audit without faults; returns what it printed.
fn assert_clean(settings: &ProgramSettings, more: &[&str]) -> Value {
    let (report, code) = audited(settings, more);
    assert_eq!((faults(&report), code), ([0; 4], Some(0)), "{report}");
    assert_eq!((&report["examples"], &report["complete"]), (&json!([]), &json!(true)));
    report
}

/// Sends the requests and runs the program until all are answered.
fn answer(stage: &Stage, settings: &ProgramSettings, requests: &[NewRecord], replies: &[&str]) {
    let before = outcomes(stage, replies);
    shared().produce(&stage.requests, requests);
    let program = ready(settings);
    wait_until("all are answered", || outcomes(stage, replies) >= before + requests.len());
    stop(program);
}

/// The number of outcomes in the topics.
fn outcomes(stage: &Stage, replies: &[&str]) -> usize {
    let topics = [&[stage.results.as_str(), &stage.failures], replies].concat();
    topics.iter().map(|topic| shared().read_committed(topic).len()).sum()
}

/// Requests, some without a key and an id, some of them with the same timestamp and value, too.
fn mixture(count: usize) -> Vec<NewRecord> {
    let mut requests: Vec<_> = Requests::new(0, 3).take(count).collect();
    for (number, request) in requests.iter_mut().enumerate() {
        if number % 4 == 0 {
            (request.key, request.headers) = (None, Vec::new());
        }
        if number % 8 == 0 {
            request.timestamp = Some(1_700_000_000_000);
        }
        if number % 16 == 0 {
            request.value = Some(format!(r#"{{"nik":["{NIK}"],"process":"full"}}"#).into_bytes());
        }
    }
    requests
}

#[test]
fn a_right_service_has_no_faults_and_no_nik_or_key_is_printed() {
    let stage = Stage::new(shared(), "audited", 3);
    let settings = stage.settings();
    let requests = mixture(600);
    answer(&stage, &settings, &requests, &[]);
    let (results, failures) = stage.outcomes(shared());
    let report = assert_clean(&settings, &[]);
    let found = ["requests", "results", "failures", "in_flight", "out_of_reach", "sampled_out"];
    let found = found.map(|name| count(&report, name));
    assert_eq!(found, [600, results.len() as u64, failures.len() as u64, 0, 0, 0]);

    let report = assert_clean(&settings, &["--sample", "1/3", "--rate", "100000"]);
    let (requests, sampled_out) = (count(&report, "requests"), count(&report, "sampled_out"));
    assert_eq!(requests + sampled_out, 600);
    assert!((100..300).contains(&requests), "{requests}");
    assert_eq!(count(&report, "results") + count(&report, "failures"), requests);

    // The keyless requests of one moment are chosen by their time.
    let of_moment = ["--until", "2023-11-14T22:13:20.001Z", "--since", "2023-11-14T22:13:20Z"];
    let arguments = [&["audit", "--json"], &of_moment[..]].concat();
    let report: Value = serde_json::from_str(&say(&settings, &arguments).out).expect("JSON");
    assert_eq!((count(&report, "requests"), faults(&report)), (75, [0; 4]));

    let said = say(&settings, &["audit", "--since", "2000-01-01"]);
    assert!(said.out.contains("lost                       0\n"), "{}", said.out);
    let digits = |text: &str| text.split(|it: char| !it.is_ascii_digit()).any(|it| it.len() > 12);
    assert!(!digits(&said.out) && !digits(&said.words), "{}{}", said.out, said.words);
}

/// A topic with these records.
fn copy(stage: &Stage, name: &str, records: &[Record]) -> String {
    let topic = format!("{}.{name}", stage.group);
    shared().create_topic(&topic, 3, &TOPIC);
    let records: Vec<_> = records.iter().cloned().map(NewRecord::from).collect();
    shared().produce(&topic, &records);
    topic
}

/// Kind, topic, partition and offset of a fault.
type Example = (String, String, i64, i64);

fn example(kind: &str, topic: &str, partition: i32, offset: i64) -> Example {
    (kind.to_owned(), topic.to_owned(), partition.into(), offset)
}

/// The examples of a report.
fn examples(report: &Value) -> BTreeSet<Example> {
    let examples = report["examples"].as_array().expect("examples").iter().map(|it| {
        let number = |name: &str| it[name].as_i64().expect("a number");
        let text = |name: &str| it[name].as_str().expect("a text").to_owned();
        (text("kind"), text("topic"), number("partition"), number("offset"))
    });
    examples.collect()
}

#[test]
fn exactly_what_is_hidden_doubled_altered_or_misplaced_is_found() {
    let stage = Stage::new(shared(), "tampered", 3);
    let settings = stage.settings();
    let requests: Vec<_> = Requests::new(0, 3).take(300).collect();
    answer(&stage, &settings, &requests, &[]);
    let (mut results, mut failures) = stage.outcomes(shared());
    let untouched = settings
        .clone()
        .set("topics.results", &copy(&stage, "same-results", &results))
        .set("topics.failures", &copy(&stage, "same-failures", &failures));
    assert_clean(&untouched, &[]);

    let id = |record: &Record| record.headers.last().cloned();
    let request = |outcome: &Record| {
        let kept = shared().read_committed(&stage.requests);
        let found = kept.into_iter().find(|it| Some(it.headers[0].clone()) == id(outcome));
        let found = found.expect("its request");
        example("lost", &stage.requests, found.partition, found.offset)
    };
    let hidden = [results.remove(200), results.remove(17), failures.remove(3)];
    let mut expected: BTreeSet<_> = hidden.iter().map(request).collect();
    let altered = 50;
    let value = results[altered].value.as_mut().expect("a result");
    *value.last_mut().expect("a brace") = b' ';
    let misplaced = failures.remove(5);
    results.push(misplaced);
    let doubled = [results[9].clone(), failures[2].clone()];
    results.push(doubled[0].clone());
    failures.push(doubled[1].clone());
    let names = ["results", "failures"].map(|name| format!("{}.{name}-copy", stage.group));
    // The offset of the record at this index: offsets count from 0 in each partition.
    let offset = |records: &[Record], index: usize| {
        let partition = records[index].partition;
        let before = records[..index].iter().filter(|it| it.partition == partition).count();
        (partition, i64::try_from(before).expect("a few"))
    };
    let mut add = |kind: &str, topic: usize, records: &[Record], index: usize| {
        let (partition, offset) = offset(records, index);
        expected.insert(example(kind, &names[topic], partition, offset));
    };
    add("different", 0, &results, altered);
    add("different", 0, &results, results.len() - 2);
    add("doubled", 0, &results, results.len() - 1);
    add("doubled", 1, &failures, failures.len() - 1);
    let settings = settings
        .set("topics.results", &copy(&stage, "results-copy", &results))
        .set("topics.failures", &copy(&stage, "failures-copy", &failures));
    let (report, code) = audited(&settings, &[]);
    assert_eq!((faults(&report), code), ([3, 2, 2, 0], Some(1)), "{report}");
    assert_eq!(examples(&report), expected);

    // The requests of the same outcomes are another group's.
    let other = settings.clone().set("topics.requests", &copy(&stage, "requests-copy", &[]));
    let (report, code) = audited(&other, &[]);
    assert_eq!((faults(&report), code), ([0, 0, 0, 299], Some(1)), "{report}");
}

#[test]
fn requests_behind_the_groups_position_are_in_flight() {
    let stage = Stage::new(shared(), "flying", 3);
    let settings = stage.settings();
    let mut requests: Vec<_> = Requests::new(0, 3).take(90).collect();
    shared().produce(&stage.requests, &requests[..9]);
    let report = assert_clean(&settings, &[]);
    assert_eq!((count(&report, "in_flight"), count(&report, "requests")), (9, 9));
    answer(&stage, &settings, &requests.split_off(9), &[]);
    assert_eq!(count(&assert_clean(&settings, &[]), "in_flight"), 0);
    shared().produce(&stage.requests, &requests);
    let report = assert_clean(&settings, &[]);
    assert_eq!((count(&report, "in_flight"), count(&report, "requests")), (9, 99));
    // A group without a position had come as far as the outcomes.
    let unknown = settings.set("kafka.group_id", "unknown");
    assert_eq!(count(&assert_clean(&unknown, &[]), "in_flight"), 9);
    let said = say(&unknown, &["audit", "--since", "2000-01-01"]);
    assert!(said.words.contains("group unknown has no committed offset"), "{}", said.words);
}

#[test]
fn replayed_failures_are_explained_by_the_request_that_follows() {
    let stage = Stage::new(shared(), "again", 3);
    let strict = stage.settings().set("limits.niks_per_request", "2");
    let requests: Vec<_> = Requests::new(0, 3).take(60).collect();
    answer(&stage, &strict, &requests, &[]);
    assert_clean(&strict, &[]);
    let settings = stage.settings();
    let (report, code) = audited(&settings, &[]);
    let refused = shared().read_committed(&stage.failures).len() as u64;
    let changed = count(&report, "different");
    assert!((30..refused).contains(&changed) && code == Some(1), "{report}");
    super::done(&settings, &["dlq", "replay", "--reason", "too_many_niks"]);
    let again = shared().read_committed(&stage.requests).len() - requests.len();
    assert_eq!(again as u64, changed);
    let program = ready(&settings);
    let all = requests.len() + again;
    wait_until("the replayed requests are answered", || outcomes(&stage, &[]) >= all);
    stop(program);
    let report = assert_clean(&settings, &[]);
    assert_eq!(count(&report, "replayed"), changed);
}

#[test]
fn what_retention_deleted_is_out_of_reach() {
    let stage = Stage::new(shared(), "deleted", 3);
    let settings = stage.settings();
    let requests: Vec<_> = Requests::new(0, 3).take(120).collect();
    let (first, second) = requests.split_at(60);
    answer(&stage, &settings, first, &[]);
    delete_records(&stage.requests, &[0]);
    delete_records(&stage.results, &[1]);
    delete_records(&stage.failures, &[0, 1, 2]);
    answer(&stage, &settings, second, &[]);
    let report = assert_clean(&settings, &[]);
    // Those of partition 0: the requests are gone; of the others the outcomes.
    let (mut judge, mut gone) = (judge(), 0);
    for request in first {
        let is_failure = is_failure(&mut judge, request);
        gone += u64::from(match request.partition {
            Some(0) => !is_failure,
            Some(1) => true,
            _ => is_failure,
        });
    }
    assert_eq!(count(&report, "out_of_reach"), gone);
}

fn is_failure(judge: &mut Processor, request: &NewRecord) -> bool {
    matches!(outcome(judge, request).0, nik_wire::process::Outcome::Failure { .. })
}

#[test]
fn replies_other_partition_counts_refused_results_and_times_ahead_count_as_right() {
    let stage = Stage::named(shared(), "odd");
    let small = [&TOPIC[..], &[("max.message.bytes", "20000")]].concat();
    shared().create_topic(&stage.requests, 3, &TOPIC);
    shared().create_topic(&stage.results, 2, &small);
    shared().create_topic(&stage.failures, 4, &TOPIC);
    let reply = format!("{}.reply", stage.group);
    shared().create_topic(&reply, 1, &TOPIC);
    let settings = stage
        .settings()
        .set("topics.reply_allowed", &reply)
        .set("kafka.producer.compression_type", "none");
    let mut requests: Vec<_> = Requests::new(0, 3).take(120).collect();
    for (number, request) in requests.iter_mut().enumerate() {
        if number % 5 == 0 {
            let name = b"kafka_replyTopic".to_vec();
            request.headers.push((name, Some(reply.clone().into_bytes())));
        }
        if number % 7 == 0 {
            request.timestamp = Some(now_ms() + 3_600_000);
        }
        if number % 30 == 1 {
            let niks = vec![format!("{NIK:?}"); 1].join(",");
            let noise = "x".repeat(30_000);
            request.value =
                Some(format!(r#"{{"nik":[{niks},"{noise}"],"process":"full"}}"#).into_bytes());
        }
    }
    answer(&stage, &settings, &requests, &[&reply]);
    let refused = shared().read_committed(&stage.failures);
    let reason = (b"nik-failure-reason".to_vec(), Some(b"result_too_large".to_vec()));
    assert!(refused.iter().any(|failure| failure.headers.contains(&reason)), "one is refused");
    let report = assert_clean(&settings, &[]);
    assert_eq!(count(&report, "requests"), 120);
    assert_eq!(count(&report, "out_of_reach"), 18);
}

#[test]
fn a_wrong_rule_shows_in_all_and_only_the_answers_that_it_changes() {
    let stage = Stage::new(shared(), "ruled", 3);
    let count = 100;
    let requests: Vec<_> = Requests::new(0, 3).take(count).collect();
    let planted = stage.settings().set("rules.min_age", "30");
    answer(&stage, &planted, &requests, &[]);
    assert_clean(&planted, &[]);

    let regions = nik::dataset::regions(nik::region::RetiredCodes::All).expect("the data");
    let wrong = nik_wire::process::Settings { min_age: 30, ..Default::default() };
    let (mut right, mut wrong) = (judge(), Processor::new(regions.into(), wrong));
    let (results, failures) = stage.outcomes(shared());
    let results = results.iter().map(|it| (&stage.results, it));
    let failures = failures.iter().map(|it| (&stage.failures, it));
    let mut changed = BTreeSet::new();
    for (topic, found) in results.chain(failures) {
        let request = requests.iter().find(|it| it.key == found.key);
        let request = request.expect("outcomes keep the key of their request");
        if outcome(&mut right, request) != outcome(&mut wrong, request) {
            changed.insert(example("different", topic, found.partition, found.offset));
        }
    }
    let (report, code) = audited(&stage.settings(), &[]);
    assert_eq!((faults(&report), code), ([0, 0, changed.len() as u64, 0], Some(1)), "{report}");

    // An audit names ten places at most, and each request is dated a day before the last.
    let mut named = BTreeSet::new();
    for days in (0..count).step_by(10) {
        let age = |days: usize| format!("{}s", (days * 86_400).max(1));
        let (since, until) = (age(days + 10), age(days));
        let arguments = ["audit", "--json", "--since", &since, "--until", &until];
        let said = say(&stage.settings(), &arguments);
        named.extend(examples(&serde_json::from_str(&said.out).expect("JSON")));
    }
    assert_eq!(named, changed);
    assert!((20..80).contains(&changed.len()), "{}", changed.len());
}

#[test]
fn outcomes_that_name_other_rules_are_not_faults() {
    let stage = Stage::new(shared(), "judged", 3);
    let mut requests: Vec<_> = Requests::new(0, 3).take(150).collect();
    let name = b"nik-judged-by".to_vec();
    requests[0].headers.push((name.clone(), Some(b"the client's".to_vec())));
    requests[1].headers.clear();
    let settings = stage.settings().set("delivery.judged_by", "true");
    let strict = settings.clone().set("rules.min_age", "60");
    answer(&stage, &strict, &requests, &[]);
    let (results, failures) = stage.outcomes(shared());
    let mut values = BTreeSet::new();
    for outcome in results.iter().chain(&failures) {
        let of_name = outcome.headers.iter().filter(|(it, _)| *it == name);
        assert_eq!(of_name.count(), 1);
        values.insert(outcome.headers.last().expect("the last one").1.clone().expect("a value"));
    }
    assert_eq!(values.len(), 1);
    let value = String::from_utf8(values.pop_first().expect("one")).expect("text");
    let [version, release, rules] = value.split('/').collect::<Vec<_>>()[..] else {
        panic!("{value}")
    };
    assert_eq!((version, release), (env!("CARGO_PKG_VERSION"), "2025.1"));
    assert!(rules.len() == 16 && rules.bytes().all(|it| it.is_ascii_hexdigit()), "{rules}");
    assert_eq!(count(&assert_clean(&strict, &[]), "other_release"), 0);
    let other = count(&assert_clean(&settings, &[]), "other_release");
    assert!(other > 10, "{other}");
}

#[test]
fn dropped_headers_frames_and_tokens_of_each_key_are_expected() {
    let stage = Stage::new(shared(), "framed", 3);
    let mut requests: Vec<_> = Requests::new(0, 3).take(90).collect();
    for (number, request) in requests.iter_mut().enumerate() {
        request.headers.push((b"ce_id".to_vec(), Some(number.to_string().into_bytes())));
        if let Some(value) = request.value.as_mut().filter(|_| number % 2 == 0) {
            value.splice(0..0, [0, 0, 0, 0, 7]);
        }
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let path = dir.path().join("keys");
    let keys = |ids: &[&str]| {
        let line = |id: &&str| format!("{id} {}\n", id.repeat(64));
        std::fs::write(&path, ids.iter().map(line).collect::<String>()).expect("written");
    };
    let settings = stage
        .settings()
        .set("topics.drop_headers", "ce_*")
        .set("topics.framing", "either")
        .set("topics.results_schema_id", "12")
        .set("privacy.outcomes", "tokens")
        .set("privacy.failures", "reference")
        .set("privacy.key_file", &path.display().to_string());
    keys(&["a"]);
    let (first, second) = requests.split_at(45);
    answer(&stage, &settings, first, &[]);
    keys(&["b", "a"]);
    answer(&stage, &settings, second, &[]);
    assert_clean(&settings, &[]);
    keys(&["b"]);
    let (report, code) = audited(&settings, &[]);
    assert!(count(&report, "different") > 20 && code == Some(1), "{report}");
}

#[test]
fn an_interrupted_audit_prints_what_it_has_seen_so_far() {
    let stage = Stage::new(shared(), "interrupted", 3);
    let requests: Vec<_> = Requests::new(0, 3).take(60).collect();
    answer(&stage, &stage.settings(), &requests, &[]);
    let arguments = ["audit", "--since", "2000-01-01", "--json", "--rate", "1"];
    let mut command = stage.settings().command(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let status = format!("/proc/{}/status", child.id());
    wait_until("it handles signals", || {
        let status = std::fs::read_to_string(&status).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
        let caught = u64::from_str_radix(caught.expect("a mask"), 16).expect("hexadecimal");
        caught & 1 << 1 != 0 // SIGINT is 2
    });
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().expect("kill runs");
    assert!(sent.success());
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!((status.code(), &report["complete"]), (Some(3), &json!(false)), "{report}");
    assert!(count(&report, "requests") < 60, "{report}");
}

#[test]
fn what_cannot_be_found_out_exits_with_3_and_wrong_use_with_2_or_64() {
    let stage = Stage::named(shared(), "absent");
    let said = say(&stage.settings(), &["audit", "--since", "1h"]);
    assert_eq!(said.code, Some(3));
    assert!(said.words.contains(&stage.requests) && said.out.is_empty(), "{}", said.words);
    for arguments in [
        &["audit"][..],
        &["audit", "--since", "yesterday"],
        &["audit", "--since", "1h", "--sample", "1/0"],
        &["audit", "--since", "1h", "--sample", "0.5"],
        &["audit", "--since", "1h", "--until", "2h"],
        &["audit", "--since", "9999-01-01"],
        &["compare", "--since", "1h", "--until", "1h", "--regions", "data/regions"],
    ] {
        assert_eq!(say(&stage.settings(), arguments).code, Some(2), "{arguments:?}");
    }
    let wrong = stage.settings().set("rules.min_age", "old");
    assert_eq!(say(&wrong, &["audit", "--since", "1h"]).code, Some(64));
}
