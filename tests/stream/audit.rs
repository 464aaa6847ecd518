//! Holds the outcomes against the requests: none lost, none doubled, each with the bytes that the judgement gives, in order.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use nik::Date;
use nik::dataset;
use nik::region::RetiredCodes;
use nik_stream::pipeline::epoch::Tally;
use nik_wire::Reason;
use nik_wire::process::{Outcome, Processor, Settings};

use super::load::{Load, number};
use super::reader::Reader;
use super::stage::Stage;
use crate::cluster::{KafkaCluster, NewRecord, Record};

/// What is wrong with the outcomes; all 0 when they are exactly those of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Requests without an outcome.
    pub lost: usize,
    /// Outcomes of a request after its first.
    pub doubled: usize,
    /// Outcomes that are not what their request asks for: topic, bytes, partition, timestamp or header.
    pub wrong: usize,
    /// Outcomes before that of an earlier request of their partition.
    pub unordered: usize,
}

/// The judgement, as `nik-stream run` makes it by default.
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

/// Compares what came out with what went in. Requests are known by the numbers in their keys; those of one partition are in
/// order, and one that stands there twice has two outcomes.
pub fn differences(
    requests: &[NewRecord],
    (results, failures): &(Vec<Record>, Vec<Record>),
) -> Differences {
    let mut differences = Differences::default();
    let mut open: HashMap<_, VecDeque<_>> = HashMap::new();
    for (place, request) in requests.iter().enumerate() {
        let number = number(request.key.as_deref());
        open.entry(number).or_default().push_back((place, request));
    }
    let mut judge = judge();
    for (records, is_failures) in [(results, false), (failures, true)] {
        let mut last: HashMap<i32, usize> = HashMap::new();
        for record in records {
            let Some(open) = open.get_mut(&number(record.key.as_deref())) else {
                differences.wrong += 1;
                continue;
            };
            let Some((place, request)) = open.pop_front() else {
                differences.doubled += 1;
                continue;
            };
            let before = last.insert(record.partition, place);
            differences.unordered += usize::from(before.is_some_and(|before| before > place));
            let (outcome, bytes) = outcome(&mut judge, request);
            let right = matches!(outcome, Outcome::Failure { .. }) == is_failures
                && record.value.as_ref() == Some(&bytes)
                && Some(record.partition) == request.partition
                && record.timestamp == request.timestamp
                && record.headers.ends_with(&request.headers);
            differences.wrong += usize::from(!right);
        }
    }
    differences.lost = open.values().map(VecDeque::len).sum();
    differences
}

/// Stops the load and waits for the last outcome; then there is exactly one for each record of the requests' topic.
///
/// That topic may hold some requests twice: a broker that is killed forgets producers whose latest record is dated more than a
/// day ago, as the load's are, and then takes what such a producer sends again for new.
pub fn assert_exact(cluster: &KafkaCluster, stage: &Stage, load: Load, reader: &Reader) {
    let sent = load.finish();
    let requests = cluster.read_committed(&stage.requests);
    let requests: Vec<NewRecord> = requests.into_iter().map(NewRecord::from).collect();
    let keys: HashSet<_> = requests.iter().map(|request| &request.key).collect();
    assert_eq!(keys.len(), sent.len(), "requests that arrived");
    reader.wait_for(requests.len());
    let found = differences(&requests, &stage.outcomes(cluster));
    let (sent, held) = (sent.len(), requests.len());
    assert_eq!(found, Differences::default(), "of {held}, {sent} sent");
}

/// What the counters of an instance say that has answered exactly these requests.
pub fn counters<'a>(requests: impl IntoIterator<Item = &'a NewRecord>) -> BTreeMap<String, u64> {
    let (mut judge, mut tally) = (judge(), Tally::default());
    for request in requests {
        tally.add(&outcome(&mut judge, request).0);
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
        (requests("result", "limited"), tally.results[0]),
        (requests("result", "full"), tally.results[1]),
        (requests("failure", "limited"), tally.failures[0]),
        (requests("failure", "full"), tally.failures[1]),
        (requests("failure", "none"), tally.unread),
    ];
    failures.chain(others).collect()
}

/// Those of an instance's counters that [`counters`] foretells.
pub fn counted(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, u64> {
    metrics
        .iter()
        .filter(|(name, _)| {
            ["nik_summary_", "nik_stream_requests_", "nik_stream_failures_"]
                .iter()
                .any(|start| name.starts_with(start))
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
