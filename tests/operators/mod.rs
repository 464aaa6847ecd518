//! The commands for operators on a real Kafka: `topics`, `dlq`, `audit` and `compare`.

mod audit;
mod compare;
mod findings;
mod letters;
mod originals;
mod replay;
mod topics;
mod unpacked;

use std::process::Output;

use rdkafka::Offset;

use crate::cluster::{NewRecord, ProgramSettings, Record, shared};
use crate::traffic::stage::{Stage, ready, stop};

/// 2025-06-01T00:00:00Z.
const JUNE: i64 = 1_748_736_000_000;
/// A synthetic NIK.
const NIK: &str = "3273010101900001";

/// The output and the exit code of a command.
pub struct Said {
    pub out: String,
    pub words: String,
    pub code: Option<i32>,
}

/// Runs a command of the program.
pub fn say(settings: &ProgramSettings, arguments: &[&str]) -> Said {
    let Output { status, stdout, stderr } = settings.command(arguments).output().expect("it runs");
    Said {
        out: String::from_utf8(stdout).expect("text"),
        words: String::from_utf8(stderr).expect("text"),
        code: status.code(),
    }
}

/// The output of a command that must succeed.
pub fn done(settings: &ProgramSettings, arguments: &[&str]) -> String {
    let said = say(settings, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.words);
    said.out
}

/// The summary of a replay: sent, already replayed, lost, not a dead letter, filtered out.
fn counts(out: &str) -> [u64; 5] {
    let number = |line: &str| line.rsplit_once(' ')?.1.parse().ok();
    let lines = out.lines().filter(|line| !line.contains(':'));
    let counts: Vec<u64> = lines.filter_map(number).collect();
    counts.try_into().expect("five counts")
}

fn replayed(settings: &ProgramSettings, arguments: &[&str]) -> [u64; 5] {
    counts(&done(settings, &[&["dlq", "replay"], arguments].concat()))
}

/// Requests that fail, one minute apart, in partitions 0 to 2 in turn: malformed, with an unknown
/// process, null.
fn broken(count: usize) -> Vec<NewRecord> {
    let values =
        [Some(format!("{NIK} x")), Some(format!(r#"{{"nik":["{NIK}"],"process":"x"}}"#)), None];
    let request = |number: usize| NewRecord {
        partition: i32::try_from(number % 3).ok(),
        key: Some(format!("key {number}").into_bytes()),
        value: values[number / 3 % 3].clone().map(String::into_bytes),
        headers: vec![
            (b"number".to_vec(), Some(number.to_string().into_bytes())),
            (b"number".to_vec(), None),
        ],
        timestamp: Some(JUNE + 60_000 * i64::try_from(number).expect("a few")),
    };
    (0..count).map(request).collect()
}

/// Sends the requests, and runs the program until all have failed; returns the dead letters.
fn fail(stage: &Stage, settings: &ProgramSettings, requests: &[NewRecord]) -> Vec<Record> {
    let before = shared().read_committed(&stage.failures).len();
    shared().produce(&stage.requests, requests);
    let program = ready(settings);
    let (results, failures) = stage.wait_for_outcomes(shared(), before + requests.len());
    assert!(results.is_empty());
    stop(program);
    failures
}

/// A stage with this many dead letters.
fn failed(name: &str, count: usize) -> Stage {
    let stage = Stage::new(shared(), name, 3);
    fail(&stage, &stage.settings(), &broken(count));
    stage
}

/// A record without its offset, as a text that can be sorted.
fn content(record: &Record) -> String {
    let Record { partition, key, value, headers, timestamp, .. } = record;
    format!("{partition} {key:?} {value:?} {headers:?} {timestamp:?}")
}

/// The header of a request that was replayed so often.
fn replays(count: u32) -> (Vec<u8>, Option<Vec<u8>>) {
    (b"nik-replays".to_vec(), Some(count.to_string().into_bytes()))
}

/// Which copies of a request there are: the one that was sent, its replay, or both.
#[derive(Clone, Copy, PartialEq)]
enum Copies {
    Sent,
    Replayed,
    Both,
}

/// Asserts that the requests topic holds these copies of each of the first `count` requests.
fn assert_each(stage: &Stage, count: usize, copies: Copies) {
    let record = |sent: &NewRecord, headers| Record {
        partition: sent.partition.expect("given"),
        offset: 0,
        key: sent.key.clone(),
        value: sent.value.clone(),
        headers,
        timestamp: sent.timestamp,
    };
    let mut expected = Vec::new();
    for sent in broken(count) {
        if copies != Copies::Replayed {
            expected.push(content(&record(&sent, sent.headers.clone())));
        }
        if copies != Copies::Sent {
            let headers = [sent.headers.clone(), vec![replays(1)]].concat();
            expected.push(content(&record(&sent, headers)));
        }
    }
    let mut found: Vec<_> = requests(stage).iter().map(content).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

/// The records of the requests topic.
fn requests(stage: &Stage) -> Vec<Record> {
    shared().read_committed(&stage.requests)
}

/// Deletes all records in these partitions of a topic, as retention does.
fn delete_records(topic: &str, partitions: &[i32]) {
    shared().delete_records(topic, partitions, Offset::End);
}
