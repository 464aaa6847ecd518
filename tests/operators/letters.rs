//! Dead letters are listed and shown.

use serde_json::{Value, json};

use super::{JUNE, NIK, delete_records, done, fail, failed, say};
use crate::cluster::{NewRecord, Record, shared};
use crate::traffic::stage::Stage;

/// The position of the dead letter of the request with this key.
fn place(failures: &[Record], key: &str) -> String {
    let of_it = |failure: &&Record| failure.key.as_deref() == Some(key.as_bytes());
    let failure = failures.iter().find(of_it).expect("a failure");
    format!("{}:{}", failure.partition, failure.offset)
}

#[test]
fn dead_letters_are_counted_by_reason_and_partition() {
    let stage = failed("counted", 20);
    let settings = stage.settings();
    let table = "\
reason            partition replays  failures  first                     last
malformed_json            0       0         3  2025-06-01T00:00:00.000Z  2025-06-01T00:18:00.000Z
malformed_json            1       0         3  2025-06-01T00:01:00.000Z  2025-06-01T00:19:00.000Z
malformed_json            2       0         2  2025-06-01T00:02:00.000Z  2025-06-01T00:11:00.000Z
tombstone                 0       0         2  2025-06-01T00:06:00.000Z  2025-06-01T00:15:00.000Z
tombstone                 1       0         2  2025-06-01T00:07:00.000Z  2025-06-01T00:16:00.000Z
tombstone                 2       0         2  2025-06-01T00:08:00.000Z  2025-06-01T00:17:00.000Z
unknown_process           0       0         2  2025-06-01T00:03:00.000Z  2025-06-01T00:12:00.000Z
unknown_process           1       0         2  2025-06-01T00:04:00.000Z  2025-06-01T00:13:00.000Z
unknown_process           2       0         2  2025-06-01T00:05:00.000Z  2025-06-01T00:14:00.000Z
";
    let said = say(&settings, &["dlq", "list"]);
    assert_eq!(said.out, table);
    assert_eq!(
        said.words,
        format!("20 dead letters in {}; times are those of the requests, in UTC\n", stage.failures)
    );
    let chosen = [
        "dlq",
        "list",
        "--json",
        "--reason",
        "tombstone",
        "--reason",
        "internal",
        "--partition",
        "1",
        "--partition",
        "2",
        "--since",
        "2025-06-01T07:08:00+07:00",
        "--until",
        "2025-06-01T00:17:00Z",
    ];
    let row = |partition, at| json!({"reason": "tombstone", "partition": partition, "replays": 0, "failures": 1, "first": at, "last": at});
    let rows = [row(1, "2025-06-01T00:16:00.000Z"), row(2, "2025-06-01T00:08:00.000Z")];
    let lines: Vec<Value> = done(&settings, &chosen)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines, rows);
    let none =
        done(&settings, &["dlq", "list", "--json", "--since", "2025-06-02", "--until", "1h"]);
    assert_eq!(none, "");
}

#[test]
fn dead_letters_are_listed_with_the_location_of_their_originals() {
    let stage = Stage::new(shared(), "listed", 3);
    // Two requests do not fit into their dead letters, one does; all but the second are deleted.
    let settings = stage.settings().set("limits.result_bytes", "2500");
    let request = |number: u8, partition, length| NewRecord {
        partition: Some(partition),
        key: Some(vec![b'k', b'0' + number]),
        value: Some(vec![b'x'; length]),
        timestamp: Some(JUNE),
        ..NewRecord::default()
    };
    let sent = [request(0, 0, 3000), request(1, 1, 3000), request(2, 2, 10)];
    let failures = fail(&stage, &settings, &sent);
    delete_records(&stage.requests, &[0, 2]);
    let out = done(&settings, &["dlq", "list", "--each"]);
    let mut expected =
        format!("{:<12}  {:<24}  {:<17}  {:<30}  original\n", "place", "time", "reason", "request");
    let mut lines = Vec::new();
    for (partition, original) in ["lost", "there", "kept"].into_iter().enumerate() {
        let place = place(&failures, &format!("k{partition}"));
        let request = format!("{}:{partition}:0", stage.requests);
        let time = "2025-06-01T00:00:00.000Z";
        let reason = "malformed_json";
        let line = format!("{place:<12}  {time:<24}  {reason:<17}  {request:<30}  {original}\n");
        expected.push_str(&line);
        lines.push(json!({
            "place": place, "time": time, "reason": "malformed_json", "request": request, "original": original, "replays": 0,
        }));
    }
    assert_eq!(out, expected);
    let out = done(&settings, &["dlq", "list", "--each", "--json"]);
    let found = out.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    assert_eq!(found.collect::<Vec<Value>>(), lines);
}

#[test]
fn foreign_records_are_skipped_and_counted() {
    let stage = failed("others", 3);
    let foreign =
        NewRecord { value: Some(b"hello".to_vec()), partition: Some(1), ..NewRecord::default() };
    shared().produce(&stage.failures, &[foreign]);
    let said = say(&stage.settings(), &["dlq", "list"]);
    assert_eq!(said.out.lines().count(), 4);
    assert!(said.words.contains("1 records skipped"), "{}", said.words);
    let offset = shared().end_offsets(&stage.failures)[&1] - 1;
    let said = say(&stage.settings(), &["dlq", "show", &format!("1:{offset}")]);
    assert_eq!(said.code, Some(1));
    assert!(said.words.contains("lacks the headers of a dead letter"), "{}", said.words);
}

#[test]
fn numbers_are_hidden_unless_reveal_is_given() {
    let stage = Stage::new(shared(), "shown", 3);
    let escaped = NIK.chars().map(String::from).collect::<Vec<_>>();
    let escaped = format!(r"\u003{}", escaped.join(r"\u003"));
    let value =
        format!(r#"{{"nik":["{NIK}",{NIK},"{escaped}","１２３４５６７８"],"process":"x"}}"#);
    let sent = NewRecord {
        partition: Some(1),
        key: Some(format!("\u{1b}[31m{NIK}").into_bytes()),
        value: Some(value.clone().into_bytes()),
        headers: vec![
            (format!("of {NIK}").into_bytes(), Some(format!("{NIK}\u{7}").into_bytes())),
            (b"bytes".to_vec(), Some(b"\xff123456".to_vec())),
            (b"none".to_vec(), None),
        ],
        timestamp: Some(JUNE + 1),
    };
    let failures = fail(&stage, &stage.settings(), &[sent]);
    let place = format!("1:{}", failures[0].offset);
    let (stars, few) = ("*".repeat(16), "*".repeat(8));
    let page = |nik: &str, escaped: &str, wide: &str| {
        format!(
            r#"failure    {place} in {}
time       2025-06-01T00:00:00.001Z (of the request)
reason     unknown_process: process is none of limited, full and explain
replay     open: not sent again
group      {}
request    {}:1:0
key        \u{{1b}}[31m{nik}
header     of {nik}: {nik}\u{{7}}
header     bytes: \xff123456
header     none: (null)
data       {{"message":"failed","data":["{nik}",{nik},"{escaped}","{wide}"]}}
original   read from the requests topic
value      {{"nik":["{nik}",{nik},"{escaped}","{wide}"],"process":"x"}}
"#,
            stage.failures, stage.group, stage.requests
        )
    };
    let said = say(&stage.settings(), &["dlq", "show", &place]);
    assert_eq!(said.out, page(&stars, &stars, &few), "{}", said.words);
    assert!(said.words.contains("--reveal"));
    let said = say(&stage.settings(), &["dlq", "show", &place, "--reveal"]);
    assert_eq!(said.out, page(NIK, &escaped, "１２３４５６７８"));
    assert_eq!(said.words, "");
}

#[test]
fn a_position_without_a_dead_letter_is_an_error_that_names_the_offsets_there_are() {
    let stage = failed("nowhere", 1);
    for (place, code, text) in [
        ("0:999", 1, "has no dead letter at 0:999"),
        ("3:0", 1, "has no partition 3: its 3 partitions start at 0"),
        ("0", 2, "PARTITION:OFFSET"),
    ] {
        let said = say(&stage.settings(), &["dlq", "show", place]);
        assert_eq!(said.code, Some(code), "{place}");
        assert!(said.words.contains(text), "{place}: {}", said.words);
    }
}

#[test]
fn a_missing_topic_is_named() {
    let stage = Stage::named(shared(), "missing");
    for command in [&["dlq", "list"][..], &["dlq", "show", "0:0"], &["dlq", "replay"]] {
        let said = say(&stage.settings(), command);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""));
        let expected = format!("topic {} does not exist", stage.failures);
        assert!(said.words.contains(&expected), "{}", said.words);
    }
}
