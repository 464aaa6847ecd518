//! The outcomes of `Processor`, byte for byte.

use nik_wire::process::{Outcome, Settings};
use nik_wire::{Absent, Process, Reason};

use crate::sample::{answer, answer_under, date, processor};

mod detail;
mod framing;
mod limits;

const EMPTY: &str = r#"{"message":"failed","data":[]}"#;

fn failure(request: &str) -> (Reason, Option<Process>, String) {
    match answer(request) {
        (Outcome::Failure { reason, process }, bytes) => (reason, process, bytes),
        (Outcome::Result { .. }, bytes) => panic!("a result: {bytes}"),
    }
}

#[test]
fn the_examples_of_the_original_service_give_its_documented_results() {
    let request = include_str!("golden/origin/request.json");
    assert_eq!(answer(request).1, include_str!("golden/origin/full.json"));
    let limited = request.replace("full", "limited");
    assert_eq!(answer(&limited).1, include_str!("golden/origin/limited.json"));
}

#[test]
fn a_valid_nik_in_full_has_all_sections() {
    let (outcome, bytes) = answer(r#"{"nik":["3273014101900001"],"process":"full"}"#);
    assert_eq!(
        bytes,
        concat!(
            r#"{"message":"success","errors":[],"data":{"3273014101900001":{"data":{"#,
            r#""length":{"value":"3273014101900001","valid":true},"#,
            r#""area":{"value":{"province":"Jawa Barat","district":"Kota Bandung","subdistrict":"Sukasari"},"valid":true},"#,
            r#""dob":{"value":{"dob":"01-01-1990","age":34},"valid":true},"#,
            r#""gender":{"value":"Woman","valid":true},"#,
            r#""computerized":{"value":"0001","valid":true}},"valid":true}},"#,
            r#""summary":{"number":1,"number_processed":1,"error":0,"#,
            r#""valid":{"all_section":1,"section":{"length":1,"area":1,"dob":1,"gender":1,"computerized":1}}}}"#
        )
    );
    assert!(
        matches!(outcome, Outcome::Result { process: Process::Full, summary } if summary.all_section == 1)
    );
}

#[test]
fn errors_keep_their_bytes_and_duplicates_have_one_entry() {
    let (_, bytes) = answer(
        r#"{"nik":[ 1.5 , 3273010101900001,"3273010101900001" , {"a" : [ null ]},"12345","\u0033273010101900001"],"process":"limited"}"#,
    );
    assert_eq!(
        bytes,
        concat!(
            r#"{"message":"success","errors":[1.5,{"a" : [ null ]},"12345"],"data":{"3273010101900001":true},"#,
            r#""summary":{"number":6,"number_processed":3,"error":3,"#,
            r#""valid":{"all_section":3,"section":{"length":3,"area":3,"dob":3,"gender":3,"computerized":3}}}}"#
        )
    );
}

#[test]
fn each_reason_has_its_cause() {
    let list = r#"{"message":"failed","data":["3273010101900001"]}"#;
    let empty = r#"{"message":"failed","data":[]}"#;
    let cases = [
        (r"", Reason::MalformedJson, None, empty),
        (r#"{"nik":["3273010101900001"],"process":"full"} x"#, Reason::MalformedJson, None, empty),
        (r#"["3273010101900001"]"#, Reason::InvalidRequest, None, empty),
        (r#"{"nik":["3273010101900001"]}"#, Reason::InvalidRequest, None, list),
        (r#"{"process":"full"}"#, Reason::InvalidRequest, Some(Process::Full), empty),
        (r#"{"nik":["3273010101900001"],"process":"FULL"}"#, Reason::UnknownProcess, None, list),
    ];
    for (request, reason, process, bytes) in cases {
        assert_eq!(failure(request), (reason, process, bytes.to_owned()), "{request}");
    }
}

#[test]
fn a_record_without_a_value_is_a_tombstone() {
    let mut out = b"the record before".to_vec();
    let outcome = processor(Settings::default()).process(None, date("2024-03-01"), &mut out);
    assert_eq!(outcome, Outcome::Failure { reason: Reason::Tombstone, process: None });
    assert_eq!(out, EMPTY.as_bytes());
}

#[test]
fn invalid_requests_are_failures_with_the_process_and_list_that_could_be_read() {
    let cases = [
        (r"null", None),
        (r#""nik""#, None),
        (r"{}", None),
        (r#"{"nik":null,"process":"full"}"#, Some(Process::Full)),
        (r#"{"nik":"3273010101900001","process":"full"}"#, Some(Process::Full)),
        (r#"{"NIK":[],"process":"full"}"#, Some(Process::Full)),
        (r#"{"nik":[],"nik":[],"process":"full"}"#, Some(Process::Full)),
        (r#"{"nik":[],"\u006eik":1,"process":"full"}"#, Some(Process::Full)),
        (r#"{"nik":1,"nik":[1],"process":"limited"}"#, Some(Process::Limited)),
        (r#"{"nik":{},"process":"nonsense"}"#, None),
    ];
    for (request, process) in cases {
        assert_eq!(
            failure(request),
            (Reason::InvalidRequest, process, EMPTY.to_owned()),
            "{request}"
        );
    }
    let with_list = [
        r#"{"nik":[1, 2 ],"process":null}"#,
        r#"{"nik":[1, 2 ],"process":["full"]}"#,
        r#"{"nik":[1, 2 ],"process":"full","process":"full"}"#,
        r#"{"process":"full","nik":[1, 2 ],"process":3}"#,
        r#" {"\u006e\u0069\u006b" : [1, 2 ] } "#,
    ];
    for request in with_list {
        let list = r#"{"message":"failed","data":[1, 2 ]}"#.to_owned();
        assert_eq!(failure(request), (Reason::InvalidRequest, None, list), "{request}");
    }
}

#[test]
fn keys_and_processes_are_compared_decoded_and_case_sensitively() {
    let (outcome, _) =
        answer(r#"{"x":{"nik":3},"\u006eik":[],"proce\u0073s":"\u0066ull","nik ":1}"#);
    assert!(matches!(outcome, Outcome::Result { process: Process::Full, .. }));
    for process in ["Limited", "", "full ", "limited\\u0000", "l\\u0131mited"] {
        let request = format!(r#"{{"nik":[],"process":"{process}"}}"#);
        assert_eq!(failure(&request).0, Reason::UnknownProcess, "{process}");
    }
}

#[test]
fn an_empty_list_has_an_empty_result() {
    let (_, bytes) = answer(r#"{"nik":[],"process":"full"}"#);
    assert_eq!(
        bytes,
        concat!(
            r#"{"message":"success","errors":[],"data":{},"summary":{"number":0,"number_processed":0,"error":0,"#,
            r#""valid":{"all_section":0,"section":{"length":0,"area":0,"dob":0,"gender":0,"computerized":0}}}}"#
        )
    );
}

#[test]
fn integers_are_niks_by_their_text_and_other_numbers_are_errors() {
    let (_, bytes) = answer(
        r#"{"nik":[-0,-3273010,12345678901234567890,3.0,1e3,1E+999,0,null,true,[],{}],"process":"limited"}"#,
    );
    assert!(
        bytes.starts_with(concat!(
            r#"{"message":"success","errors":[-0,3.0,1e3,1E+999,0,null,true,[],{}],"#,
            r#""data":{"-3273010":false,"12345678901234567890":false},"#,
        )),
        "{bytes}"
    );
}

#[test]
fn an_absent_value_is_the_string_none_or_null() {
    let request = br#"{"nik":["0000009"],"process":"full"}"#;
    for (absent, json) in [(Absent::Text, r#""None""#), (Absent::Null, "null")] {
        let (_, bytes) = answer_under(Settings { absent, ..Settings::default() }, request);
        let expected = [
            r#""area":{"value":{"province":"#,
            json,
            r#","district":"#,
            json,
            r#","subdistrict":"#,
            json,
            r#"},"valid":false},"dob":{"value":{"dob":"#,
            json,
            r#","age":"#,
            json,
            r#"},"valid":false},"gender":{"value":"#,
            json,
            r#","valid":false},"computerized":{"value":"#,
            json,
            r#","valid":false}},"valid":false}"#,
        ];
        assert!(bytes.contains(&expected.concat()), "{bytes}");
    }
}

#[test]
fn a_retired_code_is_valid_even_if_its_name_is_unknown() {
    for (absent, name) in [(Absent::Text, r#""None""#), (Absent::Null, "null")] {
        let request = br#"{"nik":[3273020101900001],"process":"full"}"#;
        let (_, bytes) = answer_under(Settings { absent, ..Settings::default() }, request);
        let expected = r#""area":{"value":{"province":"Jawa Barat","district":"Kota Bandung","subdistrict":NAME},"valid":true}"#;
        assert!(bytes.contains(&expected.replace("NAME", name)), "{bytes}");
    }
}

#[test]
fn below_the_minimum_age_the_date_is_invalid_and_still_written() {
    let settings = Settings { min_age: 17, ..Settings::default() };
    let (_, bytes) =
        answer_under(settings, br#"{"nik":[3273010203070001,3273010103070001],"process":"full"}"#);
    assert!(
        bytes.contains(r#""dob":{"value":{"dob":"02-03-2007","age":16},"valid":false}"#),
        "{bytes}"
    );
    assert!(
        bytes.contains(r#""dob":{"value":{"dob":"01-03-2007","age":17},"valid":true}"#),
        "{bytes}"
    );
}

#[test]
fn an_outcome_does_not_depend_on_the_records_before() {
    let mut processor = processor(Settings::default());
    let mut out = Vec::new();
    let records: [&[u8]; 6] = [
        br#"{"nik":[1,"\u0033273010101900001"],"process":"full"}"#,
        br#"{"nik":["3273010101900001","#,
        br#"{"nik":["3273010101900001"],"process":"limited"}"#,
        br#"{"nik":["3273010101900001"]}"#,
        br#"{"nik":[],"process":"limited"}"#,
        br#"{"nik":[{"nik":"3273010101900001","gender":"Man"},1],"process":"explain"}"#,
    ];
    for record in records.iter().chain(records.iter().rev()) {
        let outcome = processor.process(Some(record), date("2024-03-01"), &mut out);
        let alone = answer_under(Settings::default(), record);
        assert_eq!((outcome, &*out), (alone.0, alone.1.as_bytes()));
    }
}

#[test]
fn reasons_and_processes_have_their_names_on_the_wire() {
    let reasons = [
        "tombstone",
        "request_too_large",
        "malformed_json",
        "invalid_request",
        "unknown_process",
        "too_many_niks",
        "result_too_large",
        "internal",
    ];
    assert_eq!(Reason::ALL.map(Reason::as_str), reasons);
    assert_eq!(Process::ALL.map(Process::as_str), ["limited", "full", "explain"]);
}
