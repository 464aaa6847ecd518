//! The sentences about failures name what is wrong, and nothing of the request.

use nik_wire::process::Settings;
use nik_wire::{Detail, Reason};

use crate::sample::{date, processor};

/// Requests that fail, each with what is wrong.
const CASES: [(&[u8], Option<Detail>); 35] = [
    (b"", Some(Detail::Empty)),
    (b"\0\0\0\0\x07{}", Some(Detail::SchemaId)),
    (b"\xef\xbb\xbf{}", Some(Detail::ByteOrderMark)),
    (b"{\"nik\":[\"\xff\"]}", Some(Detail::NotUtf8)),
    (br#"{"nik":[0123],"process":"full"}"#, Some(Detail::LeadingZero)),
    (br#"{"nik":["1", -007],"process":"full"}"#, Some(Detail::LeadingZero)),
    (br#"{"process":"full","nik":[[{"a":01}]]}"#, Some(Detail::LeadingZero)),
    (b"00", Some(Detail::LeadingZero)),
    (br#"{"nik":[0 1],"process":"full"}"#, None),
    (br#"{"nik":["\uzzz01"],"process":"full"}"#, None),
    (br#"{"nik":[10.00.1],"process":"full"}"#, None),
    (br#"{"nik":[1"#, None),
    (b"nik", None),
    (br#"{"nik":[],"process":"full"} x"#, Some(Detail::BytesAfter)),
    (br#"{"nik":[],"process":"full"}{}"#, Some(Detail::BytesAfter)),
    (b"0 1", Some(Detail::BytesAfter)),
    (b"[]", Some(Detail::NotAnObject)),
    (b" null ", Some(Detail::NotAnObject)),
    (b"{}", Some(Detail::BothMissing)),
    (br#"{"NIK":[],"Process":"full"}"#, Some(Detail::BothMissing)),
    (br#"{"process":"full"}"#, Some(Detail::NikMissing)),
    (br#"{"process":1}"#, Some(Detail::NikMissing)),
    (br#"{"nik":[],"n\u0069k":1,"process":"full"}"#, Some(Detail::NikTwice)),
    (br#"{"nik":"1","process":"full"}"#, Some(Detail::NikNotArray)),
    (br#"{"nik":{"nik":[]}}"#, Some(Detail::NikNotArray)),
    (br#"{"nik":[]}"#, Some(Detail::ProcessMissing)),
    (br#"{"nik":[],"process":null,"process":"full"}"#, Some(Detail::ProcessTwice)),
    (br#"{"nik":[],"process":["full"]}"#, Some(Detail::ProcessNotString)),
    (
        br#"{"specversion":"1.0","id":"7","type":"t","source":"s","data":{"nik":[],"process":"full"}}"#,
        Some(Detail::CloudEvent),
    ),
    (br#"{"data":{"nik":[]},"process":"full","specversion":1}"#, Some(Detail::CloudEvent)),
    (br#"{"specversion":"1.0","nik":[]}"#, Some(Detail::ProcessMissing)),
    (br#"{"nik":[],"process":"fast"}"#, None),
    (br#"{ "nik" : [ ] , "process" : 0 }"#, Some(Detail::ProcessNotString)),
    (b"{\"nik\":[\n0\n],\"process\":\"full\",}", None),
    (br#"{"a":"\ud800","nik":[],"process":"full"}"#, None),
];

#[test]
fn a_failure_has_the_detail_of_what_is_wrong() {
    for (request, detail) in CASES {
        let shown = String::from_utf8_lossy(request);
        let mut out = Vec::new();
        let outcome =
            processor(Settings::default()).process(Some(request), date("2024-03-01"), &mut out);
        let reason = match outcome {
            nik_wire::process::Outcome::Failure { reason, .. } => reason,
            nik_wire::process::Outcome::Result { .. } => panic!("{shown} has a result"),
        };
        assert_eq!(Detail::of(request, reason), detail, "{shown}");
    }
}

#[test]
fn every_detail_has_a_case_and_a_sentence_that_fits_a_header() {
    for detail in Detail::ALL {
        assert!(CASES.iter().any(|(_, of_case)| *of_case == Some(detail)), "{detail:?}");
        let sentence = detail.as_str();
        assert!(sentence.is_ascii() && (10..=256).contains(&sentence.len()), "{sentence}");
    }
}

#[test]
fn only_malformed_and_invalid_requests_have_details() {
    for reason in Reason::ALL {
        let has = [&b"[]"[..], b"[01]"].iter().any(|request| Detail::of(request, reason).is_some());
        assert_eq!(has, [Reason::MalformedJson, Reason::InvalidRequest].contains(&reason));
    }
}
