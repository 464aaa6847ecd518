//! Operators see no NIK of a request: not in logs at any level, not in metrics, not in the headers
//! that the program adds.

use std::collections::HashSet;
use std::time::Duration;

use nik_wire::{Process, Reason};

use crate::cluster::{NewRecord, Record, shared};
use crate::traffic::stage::{Stage, ready, wait_until};

/// Numbers of sixteen digits, each different, that begin unlike any time, offset or address.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> String {
        self.0 += 1;
        let number = 3_273_010_101_900_000 + self.0;
        number.to_string()
    }
}

/// Values with numbers in every possible place, and one that is null.
fn values(numbers: &mut Numbers) -> Vec<Option<Vec<u8>>> {
    let mut texts = Vec::new();
    for template in [
        r#"{"nik":["N"],"process":"full"}"#,
        r#"{"nik":[N],"process":"limited"}"#,
        r#"{"nik":["NN"," N","xN",-N,N.5,{"N":"N"},[N],"short N"],"process":"full"}"#,
        r#"{"nik":["N",N,{"nik":"N","birth_date":"1990-01-01","x":N},{"nik":"N."},"xN"],"process":"explain"}"#,
        r#"{"nik":["N"],"process":"N"}"#,
        r#"{"nik":["N"],"process":N}"#,
        r#"{"nik":["N"],"nik":["N"],"process":"full"}"#,
        r#"{"N":["N"],"nik":["N"],"process":"full","x":{"N":N}}"#,
        r#"{"N":"N"}"#,
        r#"["N"]"#,
        r#""N""#,
        r"N",
        r#"{"nik":["N"#,
        r#"{"nik":["N"],"process":"full"} N"#,
        r#"{"nik":["N\ud800"],"process":"full"}"#,
        r#"{"nik":[0N],"process":"full"}"#,
        r#"{"N":N,"N":N,}"#,
        "{\"nik\":[\"N\u{1}\"],\"process\":\"full\"}",
        r"N N N",
    ] {
        let mut text = template.to_owned();
        while text.contains('N') {
            text = text.replacen('N', &numbers.next(), 1);
        }
        texts.push(text.into_bytes());
    }
    // Too many NIKs, a result too large for its topic, a request too large, and one not in UTF-8.
    for count in [10_001, 300] {
        let list: Vec<_> = (0..count).map(|_| numbers.next()).collect();
        texts.push(format!(r#"{{"nik":[{}],"process":"full"}}"#, list.join(",")).into_bytes());
    }
    texts.push(format!("{}{}", numbers.next(), " ".repeat(1 << 20)).into_bytes());
    texts.push([numbers.next().as_bytes(), b"\xff"].concat());
    texts.into_iter().map(Some).chain([None]).collect()
}

/// Requests with numbers in every possible place.
fn requests(numbers: &mut Numbers) -> Vec<NewRecord> {
    let values = values(numbers);
    values
        .into_iter()
        .map(|value| NewRecord {
            key: Some(numbers.next().into_bytes()),
            value,
            headers: vec![
                (numbers.next().into_bytes(), Some(numbers.next().into_bytes())),
                (b"nik-failure-reason".to_vec(), Some(numbers.next().into_bytes())),
            ],
            ..NewRecord::default()
        })
        .collect()
}

/// All runs of sixteen digits, parts of longer runs included, that begin like the numbers.
fn numbers_in(text: &[u8]) -> HashSet<String> {
    text.windows(16)
        .filter(|window| window.starts_with(b"3273") && window.iter().all(u8::is_ascii_digit))
        .map(|window| String::from_utf8_lossy(window).into_owned())
        .collect()
}

fn assert_none(place: &str, text: &[u8]) {
    let found = numbers_in(text);
    assert!(found.is_empty(), "{place}: {found:?}");
}

#[test]
fn no_number_of_a_request_is_seen_by_an_operator_exactly_once() {
    // The broker refuses a result, too, and logs it. (With at_least_once that would double its
    // neighbours.)
    assert_private("exactly_once", "trace", "20000");
}

#[test]
fn no_number_of_a_request_is_seen_by_an_operator_at_least_once() {
    assert_private("at_least_once", "debug,librdkafka=trace", "6000000");
}

fn assert_private(guarantee: &str, level: &str, largest_result: &str) {
    let stage = Stage::named(shared(), "private");
    let limits = ["6000000", largest_result, "6000000"];
    for (topic, limit) in stage.topics().into_iter().zip(limits) {
        shared().create_topic(topic, 1, &[("max.message.bytes", limit)]);
    }
    let settings = stage
        .settings()
        .set("delivery.guarantee", guarantee)
        .set("log.level", level)
        .set("kafka.producer.compression_type", "none")
        .set("kafka.librdkafka.debug", "all");
    let mut program = ready(&settings);
    let sent = requests(&mut Numbers(0));
    shared().produce(&stage.requests, &sent);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    // Results and failures do contain numbers.
    assert!(results.len() >= 3 && failures.len() >= 15);
    let shows_numbers =
        |result: &Record| !numbers_in(result.value.as_deref().expect("text")).is_empty();
    assert!(results.iter().all(shows_numbers));

    for path in ["/metrics", "/readyz", "/livez", "/", "/api/status"] {
        let (_, body) = program.get(path).expect("an answer");
        assert_none(path, body.as_bytes());
    }
    for failure in &failures {
        let of_it = |sent: &&NewRecord| sent.key == failure.key;
        let sent = sent.iter().find(of_it).expect("its request");
        assert_headers(sent, failure);
    }
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
    let (words, data) = (program.stderr(), program.stdout());
    assert!(words.lines().count() > 500, "the log is too short to prove anything");
    assert_none("standard error", words.as_bytes());
    assert_none("standard output", data.as_bytes());
}

/// The program's headers contain no number; those of the request and the original are unchanged.
fn assert_headers(sent: &NewRecord, failure: &Record) {
    let own = &sent.headers[..1];
    assert!(failure.headers.ends_with(own));
    let ours = &failure.headers[..failure.headers.len() - own.len()];
    for (name, value) in ours {
        assert_none("a header's name", name);
        if name != b"nik-failure-original" {
            assert_none("a header's value", value.as_deref().expect("a value"));
        }
    }
}

#[test]
fn with_tokens_and_references_no_number_of_a_request_is_in_its_outcome_or_seen_by_an_operator() {
    let stage = Stage::named(shared(), "tokens");
    for (topic, limit) in stage.topics().into_iter().zip(["6000000", "20000", "6000000"]) {
        shared().create_topic(topic, 1, &[("max.message.bytes", limit)]);
    }
    let stage = stage.with_ledger(shared());
    let keys = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(keys.path(), format!("a {}\n", "7".repeat(64))).expect("written");
    let settings = stage
        .settings()
        .set("privacy.outcomes", "tokens")
        .set("privacy.failures", "reference")
        .set("privacy.key_file", keys.path().to_str().expect("a plain path"))
        .set("log.level", "trace")
        .set("kafka.producer.compression_type", "none")
        .set("kafka.librdkafka.debug", "all");
    let mut program = ready(&settings);
    let request = |value| NewRecord { key: Some(b"k".to_vec()), value, ..NewRecord::default() };
    let sent: Vec<_> = values(&mut Numbers(0)).into_iter().map(request).collect();
    shared().produce(&stage.requests, &sent);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    assert!(results.len() >= 3 && failures.len() >= 15);
    let tokens = results.iter().filter(|it| shows(it, "\"ta_")).count();
    assert!(tokens >= 3, "{tokens} results with tokens");
    let entries = shared().read_committed(&stage.ledger());
    assert!(!entries.is_empty());
    for record in results.iter().chain(&failures).chain(&entries) {
        assert_none("its key", record.key.as_deref().unwrap_or_default());
        assert_none("its value", record.value.as_deref().expect("a value"));
        for (name, value) in &record.headers {
            assert_none("a header's name", name);
            assert_none("a header's value", value.as_deref().expect("a value"));
        }
    }
    // A request cannot make the program panic, the cause of `Internal`.
    for reason in Reason::ALL.into_iter().filter(|it| *it != Reason::Internal) {
        let has = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| {
            name == b"nik-failure-reason" && value.as_deref() == Some(reason.as_str().as_bytes())
        };
        assert!(failures.iter().any(|it| it.headers.iter().any(has)), "no {reason:?}");
    }
    let metrics = program.metrics();
    for process in Process::ALL.map(Process::as_str) {
        let name = format!("nik_stream_requests_total{{outcome=\"result\",process=\"{process}\"}}");
        assert!(metrics[&name] > 0.5, "no result of {process}");
    }
    assert!(
        failures.iter().all(|it| it.value.as_deref() == Some(br#"{"message":"failed","data":[]}"#))
    );
    for path in ["/metrics", "/readyz", "/livez", "/", "/api/status"] {
        let (_, body) = program.get(path).expect("an answer");
        assert_none(path, body.as_bytes());
    }

    // Keys are passed on, and counted once the outcome is committed.
    let counted = || program.metrics()["nik_stream_niks_in_keys_total"];
    assert!(counted() < 0.5);
    let key = Some(b"customer-3273010101900001".to_vec());
    let value = Some(br#"{"nik":[],"process":"limited"}"#.to_vec());
    shared().produce(&stage.requests, &[NewRecord { key, value, ..NewRecord::default() }]);
    wait_until("the key is counted", || counted() > 0.5);

    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
    let (words, data) = (program.stderr(), program.stdout());
    assert!(words.lines().count() > 500, "the log is too short to prove anything");
    assert_none("standard error", words.as_bytes());
    assert_none("standard output", data.as_bytes());
}

fn shows(record: &Record, text: &str) -> bool {
    let value = record.value.as_deref().unwrap_or_default();
    String::from_utf8_lossy(value).contains(text)
}
