//! The JSON reader and writer, compared with `serde_json`.

use std::collections::HashSet;
use std::fmt::Write;

use nik_wire::process::{Outcome, Settings};
use nik_wire::{Limits, Reason, RequestReader};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::sample::{answer, answer_under};

/// Whether the scanner accepts the text.
fn is_json(text: &str) -> bool {
    let malformed = Outcome::Failure { reason: Reason::MalformedJson, process: None };
    answer(text).0 != malformed
}

/// Whether `serde_json` accepts the text. Parsed as `IgnoredAny`, lone surrogates pass; parsed as
/// `Value`, numbers beyond `f64` are errors although they are JSON.
fn is_json_for_serde(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
        && serde_json::from_str::<Value>(text)
            .map_or_else(|error| error.to_string().contains("number out of range"), |_| true)
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(nik|process|limited|full)".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec(("(nik|process|\\PC{0,3})", inner), 0..6)
                .prop_map(|members| Value::from(Map::from_iter(members))),
        ]
    })
}

/// Every character as `\uXXXX`.
fn escaped(text: &str) -> String {
    text.encode_utf16().fold(String::new(), |mut escaped, unit| {
        write!(escaped, "\\u{unit:04X}").expect("writing to a String cannot fail");
        escaped
    })
}

fn malformed_pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[\\[\\]{}\",:\\\\ \n\t\r\u{b}\u{0}/utfnbrx0-9.eE+-]{1,3}",
        "\\\\u[0-9a-fA-Fx]{3,4}",
        "\\\\u[dD][89a-fA-F][0-9a-f]{2}",
        "(true|false|null|nul|\"nik\"|\"nik\":\\[|\"process\":\"full\"|\u{feff}|é)",
        "-?(0|[1-9][0-9]?)(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes_have_an_outcome_in_json(bytes: Vec<u8>) {
        let (_, outcome) = answer_under(Settings::default(), &bytes);
        prop_assert!(serde_json::from_str::<Value>(&outcome).is_ok());
    }

    #[test]
    fn any_document_is_accepted_compact_and_pretty(value in value()) {
        prop_assert!(is_json(&value.to_string()));
        prop_assert!(is_json(&serde_json::to_string_pretty(&value).unwrap()));
    }

    #[test]
    fn a_document_with_one_edit_is_accepted_exactly_if_serde_accepts_it(
        value in value(), at: prop::sample::Index, cut in 0_usize..4, piece in malformed_pieces()
    ) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        let at = at.index(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, piece.chars());
        let text: String = text.into_iter().collect();
        prop_assert_eq!(is_json(&text), is_json_for_serde(&text), "{}", text);
    }

    #[test]
    fn fragments_are_accepted_exactly_if_serde_accepts_them(text in malformed_pieces(), inside in malformed_pieces()) {
        for text in [text.clone(), format!("\"{inside}\""), format!("[{text}]"), format!("{{{text}:\"{inside}\"}}")] {
            prop_assert_eq!(is_json(&text), is_json_for_serde(&text), "{}", text);
        }
    }

    #[test]
    fn any_string_is_written_as_serde_writes_it_whatever_its_escapes_were(head in "(?s).{6}", digits in "[0-9]{6}", rest: String) {
        let text = format!("{head}{digits}{rest}");
        let written = serde_json::to_string(&text).unwrap();
        let serial = if rest.is_empty() { "\"None\"".into() } else { serde_json::to_string(&rest).unwrap() };
        for sent in [written.clone(), format!("\"{}\"", escaped(&text))] {
            let (_, limited) = answer(&format!(r#"{{"nik":[{sent}],"process":"limited"}}"#));
            prop_assert!(limited.contains(&format!(r#""data":{{{written}:"#)), "{}", limited);
            let (_, full) = answer(&format!(r#"{{"nik":[{sent}],"process":"full"}}"#));
            prop_assert!(full.contains(&format!(r#""length":{{"value":{written},"#)), "{}", full);
            prop_assert!(full.contains(&format!(r#""computerized":{{"value":{serial},"#)), "{}", full);
        }
    }

    #[test]
    fn the_fast_path_gives_the_same_outcome_as_the_general_reader(
        niks in prop::collection::vec(prop_oneof![9 => "[0-9]{16}", 3 => "327301[0-3][0-9]0[1-9]9[0-9]000[0-2]", 1 => "[0-9 /:éA]{15,17}"], 0..12),
        spaced: bool,
        process in "(limited|full|explain)",
        edit in prop::option::weighted(0.3, (any::<prop::sample::Index>(), 0_usize..2, "[\\[\\]{}\":, 0-9a]?")),
    ) {
        let (comma, colon) = if spaced { (", ", ": ") } else { (",", ":") };
        let list: Vec<_> = niks.iter().map(|nik| format!("\"{nik}\"")).collect();
        let mut request = format!(r#"{{"nik"{colon}[{}]{comma}"process"{colon}"{process}"}}"#, list.join(comma));
        if let Some((at, cut, piece)) = edit {
            let mut text: Vec<char> = request.chars().collect();
            let at = at.index(text.len());
            text.splice(at..at + cut.min(text.len() - at), piece.chars());
            request = text.into_iter().collect();
        }
        // The fast path does not accept a trailing space.
        prop_assert_eq!(answer(&request), answer(&format!("{request} ")), "{}", request);
    }

    #[test]
    fn errors_keep_their_bytes(values in prop::collection::vec(value(), 0..6)) {
        let elements = values.iter().filter(|value| !value.is_string() && !value.is_i64());
        let elements: Vec<_> = elements.map(|value| serde_json::to_string_pretty(value).unwrap()).collect();
        let (_, bytes) = answer(&format!(r#"{{"nik":[ {} ],"process":"full"}}"#, elements.join(" , ")));
        let expected = format!(r#"{{"message":"success","errors":[{}],"data":{{}},"#, elements.join(","));
        prop_assert!(bytes.starts_with(&expected), "{}", bytes);
    }

    #[test]
    fn duplicates_have_one_entry_in_the_place_of_the_first_and_are_all_counted(
        picks in prop::collection::vec((0_u32..40, any::<bool>()), 0..60), process in "(limited|full)"
    ) {
        let element = |(pick, as_text): &(u32, bool)| {
            let nik = format!("32730101019000{pick:02}");
            if *as_text { format!("\"{}\"", escaped(&nik)) } else { nik }
        };
        let list: Vec<_> = picks.iter().map(element).collect();
        let (_, bytes) = answer(&format!(r#"{{"nik":[{}],"process":"{process}"}}"#, list.join(",")));
        let mut seen = HashSet::new();
        let first = picks.iter().filter(|(pick, _)| seen.insert(*pick));
        let expected: Vec<_> = first.map(|(pick, _)| format!("32730101019000{pick:02}")).collect();
        let result: Value = serde_json::from_str(&bytes).unwrap();
        let keys: Vec<_> = result["data"].as_object().unwrap().keys().cloned().collect();
        prop_assert_eq!(keys, expected);
        prop_assert_eq!(&result["summary"]["number_processed"], &json!(picks.len()));
        prop_assert_eq!(bytes, serde_json::to_string(&result).unwrap(), "compact, and no duplicate key");
    }
}

#[test]
fn at_most_128_levels_may_be_nested() {
    let arrays = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let objects = |count: usize| format!("{}1{}", r#"{"a":"#.repeat(count), "}".repeat(count));
    for (inside, around) in
        [(128, ["", ""]), (127, [r#"{"x":"#, "}"]), (126, [r#"{"process":"full","nik":[1,"#, "]}"])]
    {
        for nested in [arrays, objects] {
            assert!(is_json(&format!("{}{}{}", around[0], nested(inside), around[1])));
            assert!(!is_json(&format!("{}{}{}", around[0], nested(inside + 1), around[1])));
        }
    }
    let depth = 500_000;
    assert!(!is_json(&arrays(depth)), "deep nesting must not overflow the stack");
    assert!(
        is_json(&format!("[{}]", vec![arrays(127); 1000].join(","))),
        "siblings are not nested"
    );
}

#[test]
fn malformed_bytes_are_refused() {
    let malformed: [&[u8]; 14] = [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        b"{}\0",
        b"{} {}",
        b"[\xff]",
        b"\"\xed\xa0\x80\"",
        b"\"\xc0\x80\"",
        br#"{"x":"\ud800"}"#,
        br#"{"x":"\udc00\ud800"}"#,
        br#"{"\ud83dx":1}"#,
        br#"{"x":["\ud83d\u0041"]}"#,
        b"[\x0b]",
        b"\"\x1f\"",
    ];
    for bytes in malformed {
        let (outcome, written) = answer_under(Settings::default(), bytes);
        assert_eq!(
            outcome,
            Outcome::Failure { reason: Reason::MalformedJson, process: None },
            "{bytes:?}"
        );
        assert_eq!(written, r#"{"message":"failed","data":[]}"#);
    }
    assert!(is_json("\"\u{7f}\u{2028}\u{feff}\\ud83d\\uDE00\\/\""));
}

#[test]
fn ten_thousand_different_niks_have_an_entry_each_and_equal_ones_share_one() {
    let different: Vec<_> =
        (0..10_000).map(|index| format!("{}", 3_273_010_101_900_000_u64 + index)).collect();
    for (list, entries) in [(different, 10_000), (vec!["3273010101900001".to_owned(); 10_000], 1)] {
        let (_, bytes) = answer(&format!(r#"{{"nik":[{}],"process":"limited"}}"#, list.join(",")));
        let result: Value = serde_json::from_str(&bytes).unwrap();
        assert_eq!(result["data"].as_object().unwrap().len(), entries);
        assert_eq!(result["summary"]["number"], 10_000);
        assert_eq!(bytes, serde_json::to_string(&result).unwrap());
    }
}

#[test]
fn niks_that_differ_in_one_digit_have_an_entry_each() {
    for at in 0..16 {
        let nik = "3273010101900001";
        let list = (0..10).map(|digit| format!("\"{}{digit}{}\"", &nik[..at], &nik[at + 1..]));
        let list: Vec<_> = list.collect();
        for process in ["limited", "full"] {
            let (_, bytes) =
                answer(&format!(r#"{{"nik":[{}],"process":"{process}"}}"#, list.join(",")));
            let result: Value = serde_json::from_str(&bytes).unwrap();
            assert_eq!(result["data"].as_object().unwrap().len(), 10, "at {at}");
        }
    }
}

#[test]
fn a_request_knows_the_length_of_its_list() {
    for (list, length) in [("", 0), ("1", 1), (r#"1,"3273010101900001",null"#, 3)] {
        let request = format!(r#"{{"nik":[{list}],"process":"full"}}"#);
        let mut reader = RequestReader::default();
        let Ok(request) = reader.read(request.as_bytes(), Limits::default()) else {
            panic!("refused: [{list}]");
        };
        let found = (request.len(), request.is_empty());
        assert_eq!(found, (length, length == 0), "[{list}]");
    }
}

#[test]
fn only_requests_of_the_common_shape_take_the_fast_path() {
    for (request, fast) in [
        (r#"{"nik":["3273010101900001"],"process":"limited"}"#, true),
        (r#"{"nik":["3273010101900001","3273010101900002"],"process":"full"}"#, true),
        (r#"{"nik": ["3273010101900001", "3273010101900002"], "process": "limited"}"#, true),
        (r#"{"nik": ["3273010101900001"], "process": "full"}"#, true),
        (r#"{"nik":["3273010101900001"],"process":"explain"}"#, true),
        (r#"{"nik": ["3273010101900001"], "process": "explain"}"#, true),
        (r#"{"nik":["3273010101900001", "3273010101900002"],"process":"full"}"#, false),
        (r#"{"nik":["327301010190001"],"process":"full"}"#, false),
        (r#"{"nik":[3273010101900001],"process":"full"}"#, false),
        (r#"{"nik":[],"process":"full"}"#, false),
        (r#"{"process":"full","nik":["3273010101900001"]}"#, false),
    ] {
        let mut reader = RequestReader::default();
        let Ok(read) = reader.read(request.as_bytes(), Limits::default()) else {
            panic!("refused: {request}");
        };
        assert_eq!(read.digit_list().is_some(), fast, "{request}");
    }
}
