//! Schema ids in front of requests and outcomes, byte for byte.

use nik_wire::process::{Outcome, Settings};
use nik_wire::{Framing, Limits, Process, Reason};

use super::EMPTY;
use crate::sample::{date, processor};

const REQUEST: &[u8] = br#"{"nik":["3273010101900001"],"process":"limited"}"#;
const RESULT: &[u8] = br#"{"message":"success","errors":[],"data":{"3273010101900001":true},"summary":{"number":1,"number_processed":1,"error":0,"valid":{"all_section":1,"section":{"length":1,"area":1,"dob":1,"gender":1,"computerized":1}}}}"#;
/// A schema id with a line break in it, as Confluent's serializers write it.
const PREFIX: &[u8] = b"\0\x01\x02\x0a\xff";

fn answer(settings: Settings, request: &[u8]) -> (Outcome, Vec<u8>) {
    let mut out = b"the outcome before".to_vec();
    let outcome = processor(settings).process(Some(request), date("2024-03-01"), &mut out);
    (outcome, out)
}

fn framed(framing: Framing) -> Settings {
    Settings { framing, ..Settings::default() }
}

fn reason(outcome: Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Result { .. } => None,
        Outcome::Failure { reason, .. } => Some(reason),
    }
}

#[test]
fn reading_and_writing_schema_ids_are_independent() {
    const IDS: Framing = Framing { requests: false, results: 7, failures: 0x0102_0aff };
    let with_id = [PREFIX, REQUEST].concat();
    let unknown = br#"{"nik":["3273010101900001"],"process":"fast"}"#;
    let list = br#"{"message":"failed","data":["3273010101900001"]}"#;
    let (seven, none) = (b"\0\0\0\0\x07", b"");
    for requests in [false, true] {
        for (ids, result_prefix, failure_prefix) in
            [(IDS, &seven[..], PREFIX), (Framing::default(), &none[..], &none[..])]
        {
            let settings = framed(Framing { requests, ..ids });
            let result = (None, [result_prefix, RESULT].concat());
            let failure =
                |reason, payload: &[u8]| (Some(reason), [failure_prefix, payload].concat());
            let malformed = failure(Reason::MalformedJson, EMPTY.as_bytes());
            let cases = [
                (REQUEST.to_vec(), result.clone()),
                (with_id.clone(), if requests { result } else { malformed.clone() }),
                (unknown.to_vec(), failure(Reason::UnknownProcess, list)),
                (
                    [PREFIX, unknown].concat(),
                    if requests {
                        failure(Reason::UnknownProcess, list)
                    } else {
                        malformed.clone()
                    },
                ),
                // A second prefix is not one.
                ([PREFIX, &with_id].concat(), malformed.clone()),
                (b"\x01\0\0\0\x07{}".to_vec(), malformed.clone()),
            ];
            for (request, expected) in cases {
                let (outcome, bytes) = answer(settings, &request);
                assert_eq!((reason(outcome), bytes), expected, "{settings:?} {request:?}");
            }
            for length in 0..=PREFIX.len() {
                let (outcome, bytes) = answer(settings, &PREFIX[..length]);
                assert_eq!((reason(outcome), bytes), malformed, "{length} bytes");
            }
        }
    }
}

#[test]
fn a_list_in_a_framed_request_keeps_its_bytes_in_the_failure() {
    let settings = framed(Framing { requests: true, ..Framing::default() });
    let request = [PREFIX, br#"{"nik":[ 1, "\u0041" ]}"#].concat();
    let (outcome, bytes) = answer(settings, &request);
    assert_eq!(outcome, Outcome::Failure { reason: Reason::InvalidRequest, process: None });
    assert_eq!(bytes, br#"{"message":"failed","data":[ 1, "\u0041" ]}"#);
    let mut out = Vec::new();
    let refused = processor(settings).refuse(
        Some(&[PREFIX, REQUEST].concat()),
        Reason::ResultTooLarge,
        true,
        &mut out,
    );
    let process = Some(Process::Limited);
    assert_eq!(refused, Outcome::Failure { reason: Reason::ResultTooLarge, process });
    assert_eq!(out, br#"{"message":"failed","data":["3273010101900001"]}"#);
}

#[test]
fn the_limits_of_a_record_include_its_schema_id() {
    let framing = Framing { requests: true, results: 1, failures: 0 };
    let request = [PREFIX, REQUEST].concat();
    for (less, expected) in [(0, None), (1, Some(Reason::RequestTooLarge))] {
        let limits = Limits { request_bytes: request.len() - less, ..Limits::default() };
        let settings = Settings { limits, ..framed(framing) };
        assert_eq!(reason(answer(settings, &request).0), expected);
    }
    for (less, expected) in [(0, None), (1, Some(Reason::ResultTooLarge))] {
        let settings =
            Settings { result_bytes: PREFIX.len() + RESULT.len() - less, ..framed(framing) };
        assert_eq!(reason(answer(settings, &request).0), expected);
    }
    let framing = Framing { failures: 1, ..framing };
    let list = br#"{"message":"failed","data":["3273010101900001"]}"#.len() + PREFIX.len();
    let request = br#"{"nik":["3273010101900001"],"process":"fast"}"#;
    for (less, expected) in [(0, list), (1, EMPTY.len() + PREFIX.len())] {
        let settings = Settings { result_bytes: list - less, ..framed(framing) };
        assert_eq!(answer(settings, request).1.len(), expected);
    }
}

#[test]
fn the_niks_of_a_request_with_a_schema_id_are_judged_one_by_one() {
    let mut processor = processor(framed(Framing { requests: true, ..Framing::default() }));
    for request in [REQUEST.to_vec(), [PREFIX, REQUEST].concat()] {
        let mut found = Vec::new();
        processor.judge_each(&request, date("2024-03-01"), |reasons| found.push(reasons));
        assert_eq!(found, [Some([None; 5])]);
    }
}
