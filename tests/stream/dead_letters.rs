//! Dead letters: the reason, the source record, and the original request, so that nothing is lost.

use nik_wire::Detail;

use crate::cluster::{Header, NewRecord, ProgramSettings, Record, shared};
use crate::traffic::stage::{Stage, ready, stop};

const NAMES: [&str; 6] = [
    "__dlq.errors.topic",
    "__dlq.errors.partition",
    "__dlq.errors.offset",
    "__dlq.errors.group",
    "__dlq.errors.message",
    "nik-failure-reason",
];
const ORIGINAL: &str = "nik-failure-original";

fn header(name: &str, value: &[u8]) -> Header {
    (name.into(), Some(value.to_vec()))
}

/// The failures of these values, all sent to partition 2 of 3 with these headers.
fn failures(
    stage: &Stage,
    settings: &ProgramSettings,
    values: &[Option<&[u8]>],
    headers: &[Header],
) -> Vec<Record> {
    let sent: Vec<_> = values
        .iter()
        .map(|value| NewRecord {
            partition: Some(2),
            value: value.map(<[u8]>::to_vec),
            headers: headers.to_vec(),
            ..NewRecord::default()
        })
        .collect();
    let program = ready(settings);
    shared().produce(&stage.requests, &sent);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    assert!(results.is_empty());
    stop(program);
    failures
}

/// Asserts all headers of a failure, in their order.
fn assert_headers(
    stage: &Stage,
    (offset, failure): (usize, &Record),
    reason: &str,
    original: Option<&[u8]>,
    own: &[Header],
) {
    let message = failure.headers[4].1.clone().expect("a message");
    assert!((10..=256).contains(&message.len()) && message.is_ascii());
    let offset = offset.to_string();
    let values: [&[u8]; 6] = [
        stage.requests.as_bytes(),
        b"2",
        offset.as_bytes(),
        stage.group.as_bytes(),
        &message,
        reason.as_bytes(),
    ];
    let mut expected: Vec<_> =
        NAMES.into_iter().zip(values).map(|(name, value)| header(name, value)).collect();
    expected.extend(original.map(|original| header(ORIGINAL, original)));
    expected.extend_from_slice(own);
    let names = |headers: &[Header]| -> Vec<_> {
        let names = headers.iter().map(|(name, _)| name.clone());
        names.map(String::from_utf8).collect()
    };
    assert_eq!(names(&failure.headers), names(&expected), "{reason}");
    assert!(failure.headers == expected, "{reason}: a header's value");
}

/// A request, the reason of its failure, and the list in the failure.
type Case<'a> = (Option<&'a [u8]>, &'static str, Option<String>);

#[test]
fn each_reason_comes_with_the_place_of_the_request_and_the_original() {
    let list = |count| vec![r#""3273010101900001""#; count].join(",");
    let full = |count| format!(r#"{{"nik":[{}],"process":"full"}}"#, list(count));
    let (too_large, too_many) = (vec![b' '; 2 << 20], full(10_001));
    let cases: [Case<'_>; 12] = [
        (None, "tombstone", None),
        (Some(b""), "malformed_json", None),
        (Some(&too_large), "request_too_large", None),
        (Some(b"{\"nik\":[\"3273010101900001\"]"), "malformed_json", None),
        (Some(b"{\"nik\":[\"\xff\"],\"process\":\"full\"}"), "malformed_json", None),
        (Some(b"[\"3273010101900001\"]"), "invalid_request", None),
        (Some(b"{\"nik\":[ 1 , 2.0]}"), "invalid_request", Some("[ 1 , 2.0]".to_owned())),
        (Some(b"{\"nik\":[],\"nik\":[1],\"process\":\"full\"}"), "invalid_request", None),
        (
            Some(b"{\"nik\":[\"1\"],\"process\":\"Full\"}"),
            "unknown_process",
            Some("[\"1\"]".to_owned()),
        ),
        (
            Some(b"{\"nik\":[\"1\"],\"process\":null}"),
            "invalid_request",
            Some("[\"1\"]".to_owned()),
        ),
        (Some(too_many.as_bytes()), "too_many_niks", Some(format!("[{}]", list(10_001)))),
        (Some(b"{\"process\":\"full\"}"), "invalid_request", None),
    ];
    let stage = Stage::new(shared(), "reasons", 3);
    let own = [header("trace", b"\xff"), ("null".into(), None)];
    let found = failures(&stage, &stage.settings(), &cases.clone().map(|(value, ..)| value), &own);
    for (failure, (value, reason, data)) in found.iter().enumerate().zip(cases) {
        let data = data.unwrap_or("[]".to_owned());
        let payload = format!(r#"{{"message":"failed","data":{data}}}"#);
        assert!(failure.1.value.as_deref() == Some(payload.as_bytes()), "{reason}");
        assert_headers(&stage, failure, reason, value, &own);
    }
}

#[test]
fn a_result_over_the_limit_is_a_failure_with_as_much_of_the_request_as_fits() {
    let stage = Stage::new(shared(), "beyond", 3);
    let settings = stage.settings().set("limits.result_bytes", "2500");
    let request = |count| {
        let niks: Vec<_> =
            (0..count).map(|serial| format!(r#""327301010190{serial:04}""#)).collect();
        let niks = niks.join(",");
        (format!(r#"{{"nik":[{niks}],"process":"full"}}"#), niks)
    };
    // List and original fit; only the list fits; neither fits. A NIK in full takes some 350 bytes.
    let cases = [request(12), request(100), request(140)];
    let values: Vec<_> = cases.iter().map(|(value, _)| Some(value.as_bytes())).collect();
    let found = failures(&stage, &settings, &values, &[]);
    let whole = |niks: &str| format!(r#"{{"message":"failed","data":[{niks}]}}"#);
    for (failure, (payload, original)) in found.iter().enumerate().zip([
        (whole(&cases[0].1), values[0]),
        (whole(&cases[1].1), None),
        (whole(""), None),
    ]) {
        assert!(failure.1.value.as_deref() == Some(payload.as_bytes()));
        assert_headers(&stage, failure, "result_too_large", original, &[]);
    }
}

#[test]
fn an_original_that_does_not_fit_is_left_out() {
    let stage = Stage::new(shared(), "unfit", 3);
    let value = vec![b'x'; (4 << 20) + 1];
    let found = failures(&stage, &stage.settings(), &[Some(&value)], &[]);
    assert_headers(&stage, (0, &found[0]), "request_too_large", None, &[]);
}

#[test]
fn a_dead_letter_that_is_sent_again_gets_each_header_once() {
    let stage = Stage::new(shared(), "again", 3);
    let mut headers = vec![header("trace", b"first")];
    for name in NAMES.into_iter().chain([ORIGINAL, NAMES[0]]) {
        headers.push(header(name, b"of the letter before"));
        headers.push(header("trace", b"kept"));
    }
    headers.push((b"__dlq.errors.message\xff".to_vec(), Some(b"not ours".to_vec())));
    let own: Vec<_> = headers
        .iter()
        .filter(|(_, value)| value.as_deref() != Some(b"of the letter before"))
        .cloned()
        .collect();
    let found = failures(&stage, &stage.settings(), &[Some(b"x")], &headers);
    let (last, own_of_utf8) = own.split_last().expect("some");
    assert_eq!(found[0].headers.last(), Some(last));
    let mut failure = found[0].clone();
    failure.headers.pop();
    assert_headers(&stage, (0, &failure), "malformed_json", Some(b"x"), own_of_utf8);
}

#[test]
fn no_header_of_a_failure_is_longer_than_256_bytes() {
    let mut stage = Stage::new(shared(), "long", 3);
    // 255 bytes end with a whole character; the 256th would cut one.
    stage.group = format!("x{}", "é".repeat(200));
    let settings = stage.settings().set("kafka.group_id", &stage.group);
    let found = failures(&stage, &settings, &[Some(b"x")], &[]);
    assert_eq!(found[0].headers[3], header(NAMES[3], &stage.group.as_bytes()[..255]));
    let ours = found[0].headers.iter().filter(|(name, _)| name != ORIGINAL.as_bytes());
    assert!(ours.filter_map(|(_, value)| value.as_ref()).all(|value| value.len() <= 256));
}

#[test]
fn the_message_of_a_failure_names_what_is_wrong() {
    let stage = Stage::new(shared(), "messages", 3);
    let settings = stage.settings().set("topics.framing", "either");
    let values: [&[u8]; 3] = [
        b"\0\0\0\0\x01{\"nik\":[]}",
        br#"{"nik":[0123],"process":"full"}"#,
        br#"{"specversion":"1.0"}"#,
    ];
    let failures = failures(&stage, &settings, &values.map(Some), &[]);
    let details = [Detail::ProcessMissing, Detail::LeadingZero, Detail::CloudEvent];
    for (failure, detail) in failures.iter().zip(details) {
        assert_eq!(failure.headers[4], header("__dlq.errors.message", detail.as_str().as_bytes()));
    }
}
