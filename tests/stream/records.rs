//! One record in, one record out: what an outcome keeps of its request, and its partition.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::cluster::{NewRecord, Program, Record, shared, unique};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::{Requests, now_ms, number};
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_until};

const VALID: &str = r#"{"nik":["3273010101900001"],"process":"limited"}"#;

fn request(value: &str) -> NewRecord {
    NewRecord { partition: Some(0), value: Some(value.into()), ..NewRecord::default() }
}

/// Sends the records to an instance and returns their results and failures.
fn outcomes(stage: &Stage, records: &[NewRecord]) -> (Vec<Record>, Vec<Record>) {
    let program = stage.run();
    shared().produce(&stage.requests, records);
    let outcomes = stage.wait_for_outcomes(shared(), records.len());
    stop(program);
    outcomes
}

#[test]
fn an_outcome_keeps_key_partition_timestamp_and_headers() {
    let stage = Stage::new(shared(), "untouched", 4);
    let headers = vec![
        (b"twice".to_vec(), Some(b"one".to_vec())),
        (b"\xc3\x28 not UTF-8".to_vec(), Some(b"\xff\0two".to_vec())),
        (b"twice".to_vec(), None),
        (b"".to_vec(), Some(Vec::new())),
        (b"twice".to_vec(), Some(b"one".to_vec())),
    ];
    let sent = [(3, VALID), (2, "[]")].map(|(partition, value)| NewRecord {
        partition: Some(partition),
        key: Some(vec![0xff, 0, b'k']),
        headers: headers.clone(),
        timestamp: Some(1_234_567_890_123),
        ..request(value)
    });
    let (results, failures) = outcomes(&stage, &sent);
    for (sent, outcome) in sent.iter().zip([&results[0], &failures[0]]) {
        assert_eq!(Some(outcome.partition), sent.partition);
        assert_eq!(outcome.key, sent.key);
        assert_eq!(outcome.timestamp, sent.timestamp);
    }
    assert_eq!(results[0].headers, headers);
    assert_eq!(failures[0].headers[7..], headers);
}

#[test]
fn dropped_headers_are_missing_in_results_replies_and_failures_and_all_others_stay() {
    let stage = Stage::new(shared(), "dropped", 1);
    let reply = format!("{}.reply", stage.group);
    shared().create_topic(&reply, 1, &TOPIC);
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), Some(value.into()));
    let headers = vec![
        header("ce_id", "7"),
        header("trace", "a"),
        header("__TypeId__", "com.example.Request"),
        header("CE_id", "8"),
        header("ce_", ""),
        header("trace", "b"),
        header("nik-failure-reason", "an earlier one"),
    ];
    let of = |value: &str, headers: &[_]| NewRecord { headers: headers.into(), ..request(value) };
    let to_reply = [header("kafka_replyTopic", &reply), header("ce_type", "x")];
    let sent =
        [of(VALID, &headers), of("[]", &headers), of(VALID, &headers[2..3]), of(VALID, &to_reply)];
    let settings = stage
        .settings()
        .set("topics.drop_headers", "ce_*, __TypeId__,nik-failure-*, __dlq.*,kafka_replyTopic")
        .set("topics.reply_allowed", &reply);
    shared().produce(&stage.requests, &sent);
    let program = ready(&settings);
    let (results, failures) = stage.wait_for_outcomes(shared(), 3);
    wait_until("the reply is there", || !shared().read_committed(&reply).is_empty());
    stop(program);
    let kept = [header("trace", "a"), header("CE_id", "8"), header("trace", "b")];
    assert_eq!(results[0].headers, kept);
    assert!(results[1].headers.is_empty());
    assert!(shared().read_committed(&reply)[0].headers.is_empty());
    let failure = &failures[0].headers;
    let own = failure[..7].iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    let own: Vec<_> = own.collect();
    assert_eq!(own[0], "__dlq.errors.topic");
    assert_eq!(failure[5], header("nik-failure-reason", "invalid_request"));
    assert_eq!(own[6], "nik-failure-original");
    assert_eq!(failure[7..], kept);
}

#[test]
fn an_empty_key_stays_empty_and_a_null_key_stays_null() {
    let stage = Stage::new(shared(), "keys", 1);
    let keys = [Some(Vec::new()), None, Some(b"key".to_vec())];
    let sent = keys.clone().map(|key| NewRecord { key, ..request(VALID) });
    let (results, _) = outcomes(&stage, &sent);
    assert_eq!(results.len(), 3);
    for (result, key) in results.iter().zip(keys) {
        assert_eq!(result.key, key);
        assert!(result.headers.is_empty(), "none were sent");
    }
}

#[test]
fn a_missing_timestamp_and_those_beyond_the_limits_become_the_current_time() {
    const MINUTE: i64 = 60_000;
    const YEAR_2000: i64 = 946_684_800_000;
    /// Born on 20 November 1999.
    const BORN_1999: &str = r#"{"nik":["3273012011990001"],"process":"limited"}"#;
    let stage = Stage::named(shared(), "timestamps");
    // By default brokers refuse what is more than an hour ahead.
    let anything =
        [&TOPIC[..], &[("message.timestamp.after.max.ms", "9223372036854775807")]].concat();
    for topic in stage.topics() {
        shared().create_topic(topic, 1, if topic == stage.requests { &anything } else { &TOPIC });
    }
    let start = now_ms();
    let kept = [YEAR_2000, start + 9 * MINUTE];
    // Seconds, a day before 2000, too far ahead, microseconds, none.
    let changed = [start / 1000, YEAR_2000 - 1, start + 12 * MINUTE, start * 1000, -1];
    let sent: Vec<_> = kept.into_iter().chain(changed).collect();
    let sent: Vec<_> = sent
        .into_iter()
        .map(|timestamp| NewRecord { timestamp: Some(timestamp), ..request(BORN_1999) })
        .collect();
    let program = stage.run();
    shared().produce(&stage.requests, &sent);
    let (results, _) = stage.wait_for_outcomes(shared(), sent.len());
    let clock = start..=now_ms();
    let timestamps: Vec<_> = results.iter().map(|result| result.timestamp).collect();
    assert_eq!(timestamps[..2], kept.map(Some));
    for timestamp in &timestamps[2..] {
        assert!(timestamp.is_some_and(|timestamp| clock.contains(&timestamp)));
    }
    let valid = br#"{"message":"success","errors":[],"data":{"3273012011990001":true}"#;
    for result in &results {
        assert!(result.value.as_ref().expect("a value").starts_with(valid), "{result:?}");
    }
    let counts = || ["past", "future", "refused", "missing"].map(|it| replaced(&program, it));
    wait_until("all are counted", || counts() == ["2", "2", "0", "1"]);
    let log = program.stderr();
    let lines = |cause: &str| log.matches(&format!("\"cause\":\"{cause}\"")).count();
    assert_eq!(["past", "future", "missing"].map(lines), [1, 1, 0], "{log}");
    stop(program);
}

fn replaced(program: &Program, cause: &str) -> String {
    let name = format!("nik_stream_timestamps_replaced_total{{cause=\"{cause}\"}}");
    program.metrics()[&name].to_string()
}

/// Keys and their `Utils.murmur2`, from Kafka's tests.
const MURMUR2: [(&str, i32); 7] = [
    ("21", -973_932_308),
    ("foobar", -790_332_482),
    ("a-little-bit-long-string", -985_981_536),
    ("a-little-bit-longer-string", -1_486_304_829),
    ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ("abc", 479_470_107),
    ("", 275_646_681),
];

#[test]
fn if_partition_counts_differ_the_key_decides_as_in_java_clients_and_without_a_key_the_modulo() {
    const INPUT: i32 = 4;
    let stage = Stage::with(shared(), "routes", [5, 7, 3]);
    let mut sent = Vec::new();
    for value in [VALID, "[]"] {
        for (key, _) in MURMUR2 {
            sent.push(NewRecord {
                partition: Some(INPUT),
                key: Some(key.into()),
                ..request(value)
            });
        }
        sent.push(NewRecord { partition: Some(INPUT), ..request(value) });
    }
    let (results, failures) = outcomes(&stage, &sent);
    for (outcomes, count) in [(results, 7), (failures, 3)] {
        assert_eq!(outcomes.len(), MURMUR2.len() + 1);
        for outcome in outcomes {
            let hash = |key: &Vec<u8>| {
                let found = MURMUR2.iter().find(|(known, _)| known.as_bytes() == key);
                found.expect("a key that was sent").1 & i32::MAX
            };
            let expected = outcome.key.as_ref().map_or(INPUT, hash) % count;
            assert_eq!(outcome.partition, expected, "{:?}", outcome.key);
        }
    }
}

#[test]
fn requests_of_an_aborted_transaction_have_no_outcome() {
    let stage = Stage::new(shared(), "aborted", 2);
    let program = stage.run();
    let producer = shared().transactional_producer(&unique("aborting"));
    let mut requests = Requests::new(0, 2);
    for committed in [false, true, false, false, true, false] {
        producer.transaction(committed, || {
            for request in requests.by_ref().take(20) {
                producer.send(&stage.requests, &request);
            }
        });
    }
    let (results, failures) = stage.wait_for_outcomes(shared(), 40);
    let mut numbers: Vec<_> = results
        .iter()
        .chain(&failures)
        .map(|outcome| number(outcome.key.as_deref()).expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (20..40).chain(80..100).collect::<Vec<_>>());
    stop(program);
}

#[test]
fn outcomes_have_the_bytes_that_the_judgement_gives_on_the_day_of_the_record() {
    let stage = Stage::new(shared(), "bytes", 3);
    let sent: Vec<_> = Requests::new(0, 3).take(1_000).collect();
    let found = differences(&sent, &outcomes(&stage, &sent));
    assert_eq!(found, Differences::default());
}

#[test]
fn outcomes_have_the_bytes_that_check_prints() {
    let stage = Stage::new(shared(), "checked", 1);
    let sent: Vec<_> = Requests::new(0, 1)
        .filter(|request| request.value.is_some())
        .take(200)
        .map(|request| NewRecord {
            // 29 February 2000 in Jakarta, and still the 28th in London.
            timestamp: Some(951_760_000_000),
            ..request
        })
        .collect();
    let (mut outcomes, failures) = outcomes(&stage, &sent);
    outcomes.extend(failures);
    outcomes.sort_by_key(|outcome| outcome.key.clone());

    let mut check = Command::new(env!("CARGO_BIN_EXE_nik-stream"))
        .args(["check", "--reference-date", "2000-02-29"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut lines = check.stdin.take().expect("piped");
    for request in &sent {
        lines.write_all(request.value.as_deref().expect("no tombstone")).expect("written");
        lines.write_all(b"\n").expect("written");
    }
    drop(lines);
    let printed = check.wait_with_output().expect("ends").stdout;
    let printed: Vec<_> = printed.trim_ascii_end().split(|&byte| byte == b'\n').collect();
    assert_eq!(printed.len(), outcomes.len());
    for (printed, outcome) in printed.into_iter().zip(outcomes) {
        let published = outcome.value.expect("a value");
        assert_eq!(
            String::from_utf8_lossy(printed),
            String::from_utf8_lossy(&published),
            "{:?}",
            outcome.key
        );
    }
}
