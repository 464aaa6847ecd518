//! Every request against its outcomes, as a `read_committed` reader sees them.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use chrono::{DateTime, FixedOffset};
use serde_json::value::RawValue;

use super::load::{ID, OVERSIZE};
use crate::cluster::Record;

/// What the comparison found. `examples` tells the first of what is not right.
#[derive(Default)]
pub struct Verdict {
    pub requests: usize,
    pub results: usize,
    pub failures: usize,
    pub lost: usize,
    pub doubled: usize,
    pub wrong: usize,
    pub out_of_order: usize,
    /// Outcomes in another partition than their request: only while the topics' counts of partitions differ.
    pub elsewhere: usize,
    pub examples: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Topic {
    Results,
    Failures,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        [self.lost, self.doubled, self.wrong, self.out_of_order] == [0; 4]
    }

    fn example(&mut self, what: &str, request: &Record, outcome: Option<(Topic, &Record)>) {
        let known = self.examples.iter().filter(|text| text.starts_with(what));
        if known.count() < 5 {
            let place = |record: &Record| {
                format!("partition {} offset {}", record.partition, record.offset)
            };
            let text = |value: &Option<Vec<u8>>| {
                let text = value.as_ref().map(|value| {
                    String::from_utf8_lossy(value).chars().take(300).collect::<String>()
                });
                text.unwrap_or_else(|| "null".to_owned())
            };
            let outcome = outcome.map(|(topic, record)| {
                format!("{topic:?} {}: {}", place(record), text(&record.value))
            });
            self.examples.push(format!(
                "{what}: request {}: {} -> {outcome:?}",
                place(request),
                text(&request.value)
            ));
        }
    }
}

/// Compares. The requests are in the order of partition and offset, and so are the outcomes.
pub fn reconcile(requests: &[Record], results: &[Record], failures: &[Record]) -> Verdict {
    let mut verdict = Verdict {
        requests: requests.len(),
        results: results.len(),
        failures: failures.len(),
        ..Verdict::default()
    };
    let expected = expected(requests);
    let by_id: HashMap<&[u8], usize> =
        requests.iter().enumerate().map(|(index, request)| (id(request), index)).collect();
    assert_eq!(by_id.len(), requests.len(), "requests whose identity is their own");

    let mut seen = vec![0_usize; requests.len()];
    for (topic, outcomes) in [(Topic::Results, results), (Topic::Failures, failures)] {
        // Within a partition of an output, the outcomes of one partition of requests stand in the requests' order.
        let mut latest: HashMap<(i32, i32), i64> = HashMap::new();
        for outcome in outcomes {
            let index = by_id[id(outcome)];
            let request = &requests[index];
            seen[index] += 1;
            let before = latest.insert((outcome.partition, request.partition), request.offset);
            if before.is_some_and(|before| before > request.offset) {
                verdict.out_of_order += 1;
                verdict.example("out of order", request, Some((topic, outcome)));
            }
            verdict.elsewhere += usize::from(outcome.partition != request.partition);
            if let Some(what) = difference(request, &expected[index], topic, outcome) {
                verdict.wrong += 1;
                verdict.example(what, request, Some((topic, outcome)));
            }
        }
    }
    for (request, seen) in requests.iter().zip(seen) {
        if seen == 0 {
            verdict.lost += 1;
            verdict.example("lost", request, None);
        } else if seen > 1 {
            verdict.doubled += seen - 1;
            verdict.example("doubled", request, None);
        }
    }
    verdict
}

fn id(record: &Record) -> &[u8] {
    let header = record.headers.iter().find(|(name, _)| name == ID);
    header
        .and_then(|(_, value)| value.as_deref())
        .expect("every record has the identity of its request")
}

fn difference(
    request: &Record,
    expected: &[u8],
    topic: Topic,
    outcome: &Record,
) -> Option<&'static str> {
    let is_result = expected.starts_with(br#"{"message":"success""#);
    let ours = |name: &[u8]| name.starts_with(b"__dlq.") || name.starts_with(b"nik-failure-");
    let passed_on = outcome.headers.iter().filter(|(name, _)| !ours(name));
    let header = |wanted: &str| {
        let found = outcome.headers.iter().find(|(name, _)| name == wanted.as_bytes());
        found.and_then(|(_, value)| std::str::from_utf8(value.as_deref()?).ok()?.parse().ok())
    };
    let place = (header("__dlq.errors.partition"), header("__dlq.errors.offset"));
    if is_result != (topic == Topic::Results) {
        Some("in the wrong topic")
    } else if outcome.value.as_deref() != Some(expected) {
        Some("other bytes than check's")
    } else if outcome.key != request.key || outcome.timestamp != request.timestamp {
        Some("another key or timestamp")
    } else if !passed_on.eq(request.headers.iter()) {
        Some("other headers")
    } else if is_result && outcome.headers.len() != request.headers.len() {
        Some("headers of a failure on a result")
    } else if !is_result && place != (Some(i64::from(request.partition)), Some(request.offset)) {
        Some("a failure that names another place")
    } else {
        None
    }
}

/// What is to be published for each request: what `nik-stream check` says at the request's day in Jakarta.
fn expected(requests: &[Record]) -> Vec<Vec<u8>> {
    let mut expected = vec![Vec::new(); requests.len()];
    let mut days: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, request) in requests.iter().enumerate() {
        match &request.value {
            None => expected[index] = br#"{"message":"failed","data":[]}"#.to_vec(),
            Some(value) if request.headers.iter().any(|(name, _)| name == OVERSIZE) => {
                expected[index] = refused(value);
            }
            Some(_) => days
                .entry(day_in_jakarta(request.timestamp.expect("a timestamp")))
                .or_default()
                .push(index),
        }
    }
    for (day, indices) in days {
        let values: Vec<&[u8]> =
            indices.iter().filter_map(|&index| requests[index].value.as_deref()).collect();
        for (index, answer) in indices.iter().zip(check(&day, &values)) {
            expected[*index] = answer;
        }
    }
    expected
}

// What check cannot know: the results topic refuses this one.
fn refused(value: &[u8]) -> Vec<u8> {
    #[derive(serde::Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        nik: &'a RawValue,
    }
    let request: Request<'_> = serde_json::from_slice(value).expect("a request");
    format!(r#"{{"message":"failed","data":{}}}"#, request.nik).into_bytes()
}

fn day_in_jakarta(ms: i64) -> String {
    let jakarta = FixedOffset::east_opt(7 * 3600).expect("an offset");
    DateTime::from_timestamp_millis(ms)
        .expect("a date")
        .with_timezone(&jakarta)
        .date_naive()
        .to_string()
}

fn check(day: &str, values: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_nik-stream"))
        .args(["check", "--reference-date", day])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("check runs");
    let mut input = program.stdin.take().expect("piped");
    let output = BufReader::new(program.stdout.take().expect("piped"));
    let answers: Vec<Vec<u8>> = std::thread::scope(|scope| {
        scope.spawn(move || {
            for value in values {
                assert!(!value.contains(&b'\n'), "one request a line");
                input.write_all(value).and_then(|()| input.write_all(b"\n")).expect("check reads");
            }
        });
        output.split(b'\n').map(|line| line.expect("check writes")).collect()
    });
    assert!(program.wait().expect("check ends").success());
    assert_eq!(answers.len(), values.len(), "an answer for each line");
    answers
}
