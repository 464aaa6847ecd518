//! A request's bytes in, its outcome's bytes out.

use std::sync::Arc;

use nik_stream::codec::{Process, Reason};
use nik_stream::nik::Date;
use nik_stream::pipeline::process::{Outcome, Processor, Settings};
use nik_stream::region::{Regions, RetiredCodes};

const CURRENT: &str = "32\tJawa Barat\n3273\tKota Bandung\n327301\tSukasari\n91\tPapua\n9171\tKota Jayapura\n917101\tJayapura Utara\n";
const RETIRED: &str =
    "code\tlevel\tname\tfirst_seen\tlast_seen\tsuccessor\tevidence\tconfidence\tnote\n";

fn processor(settings: Settings) -> Processor {
    let regions = Regions::parse(CURRENT, RETIRED, RetiredCodes::All).unwrap();
    Processor::new(Arc::new(regions), settings)
}

fn answer(request: &str) -> (Outcome, String) {
    let reference = Date::parse("2024-03-01").unwrap();
    let mut out = Vec::new();
    let outcome =
        processor(Settings::default()).process(Some(request.as_bytes()), reference, &mut out);
    (outcome, String::from_utf8(out).unwrap())
}

fn failure(request: &str) -> (Reason, Option<Process>, String) {
    match answer(request) {
        (Outcome::Failure { reason, process }, bytes) => (reason, process, bytes),
        (Outcome::Result { .. }, bytes) => panic!("an answer: {bytes}"),
    }
}

#[test]
fn the_examples_of_the_origin_come_out_as_documented() {
    let request = include_str!("golden/origin/request.json");
    assert_eq!(answer(request).1, include_str!("golden/origin/full.json"));
    let limited = request.replace("full", "limited");
    assert_eq!(
        answer(&limited).1,
        include_str!("golden/origin/limited.json")
    );
}

#[test]
fn a_valid_nik_is_told_in_full() {
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
fn errors_stand_before_the_data_as_they_were_sent_and_doubles_appear_once() {
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
fn each_reason_is_given_for_what_it_stands_for() {
    let list = r#"{"message":"failed","data":["3273010101900001"]}"#;
    let empty = r#"{"message":"failed","data":[]}"#;
    let cases = [
        (r"", Reason::MalformedJson, None, empty),
        (
            r#"{"nik":["3273010101900001"],"process":"full"} x"#,
            Reason::MalformedJson,
            None,
            empty,
        ),
        (
            r#"["3273010101900001"]"#,
            Reason::InvalidRequest,
            None,
            empty,
        ),
        (
            r#"{"nik":["3273010101900001"]}"#,
            Reason::InvalidRequest,
            None,
            list,
        ),
        (
            r#"{"process":"full"}"#,
            Reason::InvalidRequest,
            Some(Process::Full),
            empty,
        ),
        (
            r#"{"nik":["3273010101900001"],"process":"FULL"}"#,
            Reason::UnknownProcess,
            None,
            list,
        ),
    ];
    for (request, reason, process, bytes) in cases {
        assert_eq!(
            failure(request),
            (reason, process, bytes.to_owned()),
            "{request}"
        );
    }
}
