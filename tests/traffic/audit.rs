//! Compares the outcomes with the requests: exactly one each, with the bytes that the judgement
//! gives, in order.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use nik::dataset;
use nik::region::RetiredCodes;
use nik::{Comparison, Date, Declared, ExplainedSummary, SectionReason, Warning};
use nik_stream::pipeline::epoch::Tally;
use nik_wire::process::{Outcome, Processor, Settings};
use nik_wire::{Process, Reason};
use serde_json::value::RawValue;

use super::load::{Load, OVERSIZE, id};
use super::reader::Reader;
use super::stage::Stage;
use crate::cluster::{KafkaCluster, NewRecord, ProgramSettings, Record};

/// At most this many examples of a kind are kept.
const EXAMPLES: usize = 5;

/// How the outcomes differ from what the requests ask for; all 0 if they do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Requests without an outcome.
    pub lost: usize,
    /// Outcomes of a request after its first.
    pub doubled: usize,
    /// Outcomes that are not what their request asks for: topic, key, bytes, timestamp or headers.
    pub wrong: usize,
    /// Outcomes that precede the outcome of an earlier request of the same partition.
    pub unordered: usize,
    /// Outcomes in another partition than their request.
    pub elsewhere: usize,
    pub examples: Vec<String>,
}

impl Differences {
    fn example(&mut self, what: &str, request: &NewRecord, outcome: Option<&Record>) {
        if self.examples.iter().filter(|text| text.starts_with(what)).count() < EXAMPLES {
            let text = |value: &Option<Vec<u8>>| {
                let value = value.as_deref().unwrap_or(b"null");
                String::from_utf8_lossy(value).chars().take(300).collect::<String>()
            };
            let name = String::from_utf8_lossy(id(&request.headers));
            let outcome = outcome.map(|it| (it.partition, it.offset, text(&it.value)));
            let (partition, value) = (request.partition, text(&request.value));
            self.examples.push(format!("{what}: {name} in {partition:?}: {value} -> {outcome:?}"));
        }
    }
}

/// The judgement with the default settings of `nik-stream run`.
pub fn judge() -> Processor {
    let regions = dataset::regions(RetiredCodes::All).expect("the data in the program");
    Processor::new(regions.into(), Settings::default())
}

/// The outcome of one request and its bytes.
pub fn outcome(judge: &mut Processor, request: &NewRecord) -> (Outcome, Vec<u8>) {
    let date = Date::from_unix_ms_jakarta(request.timestamp.expect("a dated request"));
    let mut bytes = Vec::new();
    let outcome = judge.process(request.value.as_deref(), date, &mut bytes);
    (outcome, bytes)
}

/// Compares the outcomes with the requests by their ids. The requests of each partition are in its
/// order; a request that occurs twice has two outcomes.
pub fn differences(
    requests: &[NewRecord],
    (results, failures): &(Vec<Record>, Vec<Record>),
) -> Differences {
    let mut found = Differences::default();
    let mut open: HashMap<&[u8], VecDeque<usize>> = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        open.entry(id(&request.headers)).or_default().push_back(index);
    }
    let mut judge = judge();
    for (records, in_failures) in [(results, false), (failures, true)] {
        // By partition of this topic and partition of the requests: the latest request whose
        // outcome was seen.
        let mut latest: HashMap<(i32, Option<i32>), usize> = HashMap::new();
        for record in records {
            let Some(open) = open.get_mut(id(&record.headers)) else {
                found.wrong += 1;
                found.example("no request", &NewRecord::default(), Some(record));
                continue;
            };
            let Some(index) = open.pop_front() else {
                found.doubled += 1;
                found.example("doubled", &NewRecord::default(), Some(record));
                continue;
            };
            let request = &requests[index];
            let before = latest.insert((record.partition, request.partition), index);
            if before.is_some_and(|before| before > index) {
                found.unordered += 1;
                found.example("unordered", request, Some(record));
            }
            if request.partition != Some(record.partition) {
                found.elsewhere += 1;
                found.example("elsewhere", request, Some(record));
            }
            if let Some(what) = mistake(&mut judge, request, record, in_failures) {
                found.wrong += 1;
                found.example(what, request, Some(record));
            }
        }
    }
    for request in open.into_values().flatten().map(|index| &requests[index]) {
        found.lost += 1;
        found.example("lost", request, None);
    }
    found
}

/// What is wrong with the outcome of a request, apart from its place.
fn mistake(
    judge: &mut Processor,
    request: &NewRecord,
    record: &Record,
    in_failures: bool,
) -> Option<&'static str> {
    let (is_failure, bytes) = expected(judge, request);
    let of_failure = |name: &[u8]| name.starts_with(b"__dlq.") || name.starts_with(b"nik-failure-");
    let passed_on = record.headers.iter().filter(|(name, _)| !of_failure(name));
    if is_failure != in_failures {
        Some("in the wrong topic")
    } else if record.value.as_ref() != Some(&bytes) {
        Some("other bytes")
    } else if record.key != request.key || record.timestamp != request.timestamp {
        Some("another key or timestamp")
    } else if !passed_on.eq(&request.headers) {
        Some("other headers")
    } else if !is_failure && record.headers.len() != request.headers.len() {
        Some("headers of a failure on a result")
    } else {
        None
    }
}

/// Whether a request fails, and the bytes of its outcome.
fn expected(judge: &mut Processor, request: &NewRecord) -> (bool, Vec<u8>) {
    #[derive(serde::Deserialize)]
    struct Oversize<'a> {
        #[serde(borrow)]
        nik: &'a RawValue,
    }
    // The judgement does not know that the topic refuses this result.
    if request.headers.iter().any(|(name, _)| name == OVERSIZE) {
        let value = request.value.as_deref().expect("a request");
        let Oversize { nik } = serde_json::from_slice(value).expect("a request");
        return (true, format!(r#"{{"message":"failed","data":{nik}}}"#).into_bytes());
    }
    let (outcome, bytes) = outcome(judge, request);
    (matches!(outcome, Outcome::Failure { .. }), bytes)
}

/// What `nik-stream audit` finds: lost, doubled, and different or unexplained; or why it failed.
pub fn audited(settings: &ProgramSettings) -> Result<[usize; 3], String> {
    let arguments = ["audit", "--since", "2000-01-01", "--json"];
    let output = settings.command(&arguments).output().expect("it runs");
    let words = || String::from_utf8_lossy(&output.stderr).into_owned();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| words())?;
    let count = |name: &str| report[name].as_u64().and_then(|count| usize::try_from(count).ok());
    let counts = ["lost", "doubled", "different", "unexplained"].map(count);
    let [Some(lost), Some(doubled), Some(different), Some(unexplained)] = counts else {
        return Err(report.to_string());
    };
    Ok([lost, doubled, different + unexplained])
}

/// Stops the load and waits for the last outcome; asserts that each record of the requests topic
/// has exactly one.
///
/// That topic may hold some requests twice: a broker that is killed forgets producers whose latest
/// record is dated more than a day ago, as the load's are, and accepts a retry of such a producer
/// as a new record.
pub fn assert_exact(cluster: &KafkaCluster, stage: &Stage, load: Load, reader: &Reader) {
    let sent = load.finish();
    let requests = cluster.read_committed(&stage.requests);
    let requests: Vec<NewRecord> = requests.into_iter().map(NewRecord::from).collect();
    let ids: HashSet<_> = requests.iter().map(|request| id(&request.headers)).collect();
    assert_eq!(ids.len(), sent.len(), "requests in the topic");
    reader.wait_for(requests.len());
    let found = differences(&requests, &stage.all_outcomes(cluster));
    let (sent, held) = (sent.len(), requests.len());
    assert_eq!(found, Differences::default(), "of {held}, {sent} sent");
}

/// The counters of an instance that has answered exactly these requests.
pub fn counters<'a>(requests: impl IntoIterator<Item = &'a NewRecord>) -> BTreeMap<String, u64> {
    let (mut judge, mut tally) = (judge(), Tally::default());
    for request in requests {
        let outcome = outcome(&mut judge, request).0;
        tally.add(&outcome);
        tally.count_explained(&outcome, judge.explained());
    }
    let summary = tally.summary;
    let section = |name: &str| format!("nik_summary_valid_section_total{{section=\"{name}\"}}");
    let requests = |outcome: &str, process: &str| {
        format!("nik_stream_requests_total{{outcome=\"{outcome}\",process=\"{process}\"}}")
    };
    let by_reason = Reason::ALL.iter().zip(tally.reasons);
    let failures = by_reason.map(|(reason, count)| {
        let name = format!("nik_stream_failures_total{{reason=\"{}\"}}", reason.as_str());
        (name, count)
    });
    let others = [
        ("nik_summary_number_total".to_owned(), summary.number),
        ("nik_summary_number_processed_total".to_owned(), summary.number_processed),
        ("nik_summary_error_total".to_owned(), summary.error),
        ("nik_summary_valid_all_section_total".to_owned(), summary.all_section),
        (section("length"), summary.length),
        (section("area"), summary.area),
        (section("dob"), summary.dob),
        (section("gender"), summary.gender),
        (section("computerized"), summary.computerized),
        (requests("failure", "none"), tally.unread),
    ];
    let counts = Process::ALL.into_iter().zip(tally.results.into_iter().zip(tally.failures));
    let processes = counts.flat_map(|(process, (results, failures))| {
        let process = process.as_str();
        [(requests("result", process), results), (requests("failure", process), failures)]
    });
    failures.chain(others).chain(processes).chain(explained(&tally.explained)).collect()
}

/// The counters of the process `explain`.
fn explained(counts: &ExplainedSummary) -> Vec<(String, u64)> {
    let reasons = SectionReason::ALL.iter().zip(counts.reasons).map(|(reason, count)| {
        let (reason, section) = (reason.as_str(), reason.section());
        let labels = format!("reason=\"{reason}\",section=\"{section}\"");
        (format!("nik_stream_reasons_total{{{labels}}}"), count)
    });
    let warnings = Warning::ALL.iter().zip(counts.warnings).map(|(warning, count)| {
        (format!("nik_stream_warnings_total{{warning=\"{}\"}}", warning.as_str()), count)
    });
    let of_field = |(field, counts)| {
        let possible = Comparison::ALL.into_iter().zip(counts);
        let possible = possible.filter(move |(outcome, _)| Declared::can_be(field, *outcome));
        possible.map(move |(outcome, count): (Comparison, u64)| {
            let labels = format!("field=\"{field}\",outcome=\"{}\"", outcome.as_str());
            (format!("nik_stream_declared_total{{{labels}}}"), count)
        })
    };
    let declared = Declared::FIELDS.into_iter().zip(counts.declared).flat_map(of_field);
    reasons.chain(warnings).chain(declared).collect()
}

/// The counters of an instance that [`counters`] predicts.
pub fn counted(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, u64> {
    metrics
        .iter()
        .filter(|(name, _)| {
            let starts = [
                "nik_summary_",
                "nik_stream_requests_",
                "nik_stream_failures_",
                "nik_stream_reasons_",
                "nik_stream_warnings_",
                "nik_stream_declared_",
            ];
            starts.iter().any(|start| name.starts_with(start))
        })
        .map(|(name, &value)| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a counter of a short test"
            )]
            (name.clone(), value as u64)
        })
        .collect()
}
