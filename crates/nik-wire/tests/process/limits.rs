//! Requests and results at the limits, and one above.

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Generator, Options};
use nik_wire::process::{Outcome, Processor, Settings};
use nik_wire::{Limits, Process, Reason};

use super::{EMPTY, failure};
use crate::sample::{answer, answer_under, date, processor};

#[test]
fn a_request_may_have_as_many_bytes_as_the_limit_but_not_one_more() {
    let request = br#"{"nik":[],"process":"full"}"#;
    let limited_to = |request_bytes| {
        let limits = Limits { request_bytes, ..Limits::default() };
        answer_under(Settings { limits, ..Settings::default() }, request)
    };
    assert!(matches!(limited_to(request.len()).0, Outcome::Result { .. }));
    let refused = Outcome::Failure { reason: Reason::RequestTooLarge, process: None };
    assert_eq!(limited_to(request.len() - 1), (refused, EMPTY.to_owned()));
}

#[test]
fn ten_thousand_niks_have_a_result_and_one_more_are_refused_with_their_list() {
    let list = |count| format!("[{}]", vec!["1"; count].join(","));
    let request = |count| format!(r#"{{"process":"full","nik":{}}}"#, list(count));
    let (outcome, _) = answer(&request(10_000));
    assert!(matches!(outcome, Outcome::Result { summary, .. } if summary.error == 10_000));
    let failed = format!(r#"{{"message":"failed","data":{}}}"#, list(10_001));
    assert_eq!(failure(&request(10_001)), (Reason::TooManyNiks, Some(Process::Full), failed));
}

#[test]
fn a_result_may_have_as_many_bytes_as_the_limit_but_not_one_more() {
    let request = br#"{"nik":["3273010101900001"],"process":"full"}"#;
    let limited_to =
        |result_bytes| answer_under(Settings { result_bytes, ..Settings::default() }, request);
    let length = limited_to(usize::MAX).1.len();
    assert!(matches!(limited_to(length).0, Outcome::Result { .. }));
    let refused = Outcome::Failure { reason: Reason::ResultTooLarge, process: Some(Process::Full) };
    let list = r#"{"message":"failed","data":["3273010101900001"]}"#;
    assert_eq!(limited_to(length - 1), (refused, list.to_owned()));
    assert_eq!(limited_to(list.len()), (refused, list.to_owned()));
    assert_eq!(limited_to(list.len() - 1), (refused, EMPTY.to_owned()));
}

/// The length of the result in full for ten thousand valid NIKs, with all regions known.
fn length_in_full(niks: &str) -> usize {
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let request = format!(r#"{{"nik":[{niks}],"process":"full"}}"#);
    let mut out = Vec::new();
    let mut processor = Processor::new(regions.into(), Settings::default());
    let outcome = processor.process(Some(request.as_bytes()), date("2026-01-01"), &mut out);
    let all_valid =
        matches!(outcome, Outcome::Result { summary, .. } if summary.all_section == 10_000);
    assert!(all_valid, "{outcome:?}");
    out.len()
}

#[test]
fn ten_thousand_niks_in_full_have_a_result_within_the_limit() {
    // Women, all from the kecamatan with the longest names, with two dates of birth.
    let longest = (1..=5_000)
        .flat_map(|serial| ["410190", "420190"].map(|day| format!("\"310102{day}{serial:04}\"")));
    assert_eq!(length_in_full(&longest.collect::<Vec<_>>().join(",")), 4_070_222);

    // From the whole country: the figure in the documentation.
    let options = Options { niks_per_request: 10_000, invalid: 0.0, ..Options::default() };
    let regions = dataset::regions(RetiredCodes::All).unwrap();
    let mut request = Vec::new();
    Generator::new(&regions, 7, options).request(&mut request);
    let request = String::from_utf8(request).unwrap();
    let (_, list) = request.split_once('[').unwrap();
    let length = length_in_full(list.split_once(']').unwrap().0);
    assert!((3_500_000..3_600_000).contains(&length), "{length}");
}

#[test]
fn a_result_that_the_broker_refuses_becomes_a_failure_with_or_without_its_list() {
    let mut processor = processor(Settings::default());
    let request = br#"{"process":"limited","nik":[ 1 ]}"#;
    let mut out = b"the refused result".to_vec();
    let refused =
        Outcome::Failure { reason: Reason::ResultTooLarge, process: Some(Process::Limited) };
    for (with_niks, bytes) in [(true, r#"{"message":"failed","data":[ 1 ]}"#), (false, EMPTY)] {
        let outcome = processor.refuse(Some(request), Reason::ResultTooLarge, with_niks, &mut out);
        assert_eq!((outcome, &*out), (refused, bytes.as_bytes()));
    }
    let unread = Outcome::Failure { reason: Reason::ResultTooLarge, process: None };
    for value in [None, Some(&b"{"[..])] {
        let outcome = processor.refuse(value, Reason::ResultTooLarge, true, &mut out);
        assert_eq!((outcome, &*out), (unread, EMPTY.as_bytes()));
    }
}
