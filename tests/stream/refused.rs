//! The broker permanently refuses one outcome among hundreds: only that one is replaced, and its
//! neighbours are unchanged.

use rand::distr::Alphanumeric;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::{NewRecord, ProgramSettings, Record, shared};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::{Requests, key, number};
use crate::traffic::stage::{Stage, TOPIC, WAIT_TIMEOUT, ready, stop};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A stage of two partitions with these further settings of its topics (requests, results,
/// failures).
fn stage(name: &str, settings: [&[(&str, &str)]; 3]) -> Stage {
    let stage = Stage::named(shared(), name);
    for (topic, own) in stage.topics().into_iter().zip(settings) {
        shared().create_topic(topic, 2, &[&TOPIC, own].concat());
    }
    stage
}

/// Text that contains no NIK.
fn noise(seed: usize, bytes: usize) -> String {
    let random = ChaCha8Rng::seed_from_u64(seed as u64);
    random.sample_iter(Alphanumeric).take(bytes).map(char::from).collect()
}

/// A request whose list is part of its outcome, since it contains no NIK.
fn with_noise(request: NewRecord, bytes: usize) -> NewRecord {
    let number = number(request.key.as_deref()).expect("a number");
    let value = format!(r#"{{"nik":["{}"],"process":"full"}}"#, noise(number, bytes));
    NewRecord { value: Some(value.into_bytes()), ..request }
}

/// Sends all requests before the program starts, so that they share its epochs; returns the
/// outcomes of the ordinary ones, and of those that are special, results before failures.
fn outcomes(
    stage: &Stage,
    sent: &[NewRecord],
    is_special: impl Fn(usize) -> bool,
) -> ((Vec<Record>, Vec<Record>), Vec<Record>) {
    shared().produce(&stage.requests, sent);
    // Without compression, so that the broker sees the real sizes.
    let settings = stage.settings().set("kafka.producer.compression_type", "none");
    let program = ready(&settings);
    let (results, failures) = stage.wait_for_outcomes(shared(), sent.len());
    stop(program);
    let is_special = |record: &Record| is_special(number(record.key.as_deref()).expect("a number"));
    let (mut special, results) = results.into_iter().partition::<Vec<_>, _>(&is_special);
    let (more, failures) = failures.into_iter().partition::<Vec<_>, _>(&is_special);
    special.extend(more);
    ((results, failures), special)
}

/// Asserts that the neighbours have their ordinary outcomes.
fn assert_untouched(
    sent: &[NewRecord],
    outcomes: &(Vec<Record>, Vec<Record>),
    is_special: impl Fn(usize) -> bool,
) {
    let neighbours: Vec<_> = sent
        .iter()
        .filter(|request| !is_special(number(request.key.as_deref()).expect("a number")))
        .cloned()
        .collect();
    assert_eq!(differences(&neighbours, outcomes), Differences::default());
}

fn header<'a>(record: &'a Record, name: &str) -> Option<&'a [u8]> {
    let mut headers = record.headers.iter();
    let (_, value) = headers.find(|(found, _)| found == name.as_bytes())?;
    value.as_deref()
}

/// Asserts the failure of a record whose result was refused: reason, list, and whether it has the
/// original.
fn assert_too_large(sent: &NewRecord, outcome: &Record, with_list: bool, with_original: bool) {
    assert_eq!(header(outcome, "nik-failure-reason"), Some(&b"result_too_large"[..]));
    let request = str::from_utf8(sent.value.as_deref().expect("a value")).expect("text");
    let list = request.strip_prefix(r#"{"nik":"#).expect("as made above");
    let list = list.strip_suffix(r#","process":"full"}"#).expect("as made above");
    let data = if with_list { list } else { "[]" };
    let payload = format!(r#"{{"message":"failed","data":{data}}}"#);
    assert!(outcome.value.as_deref() == Some(payload.as_bytes()));
    let original = header(outcome, "nik-failure-original");
    assert!(original == sent.value.as_deref().filter(|_| with_original));
    assert_eq!((&outcome.key, outcome.timestamp), (&sent.key, sent.timestamp));
}

#[test]
fn a_result_too_large_for_its_topic_becomes_a_failure_and_its_neighbours_are_unchanged() {
    let stage = stage("large", [&[], &[("max.message.bytes", "100000")], &[]]);
    let large = |number: usize| number == 150 || number == 151 || number == 388;
    let sent: Vec<_> = Requests::new(0, 2)
        .take(500)
        .enumerate()
        .map(|(number, request)| if large(number) { with_noise(request, 300_000) } else { request })
        .collect();
    let (neighbours, special) = outcomes(&stage, &sent, large);
    assert_untouched(&sent, &neighbours, large);
    assert_eq!(special.len(), 3);
    for outcome in special {
        let number = number(outcome.key.as_deref()).expect("a number");
        assert_too_large(&sent[number], &outcome, true, true);
    }
}

#[test]
fn one_of_the_results_of_a_batch_that_is_too_large_is_too_large_itself() {
    let stage = stage("batches", [&[], &[("max.message.bytes", "4096")], &[]]);
    let large = |number: usize| number % 100 == 7;
    let sent: Vec<_> = Requests::new(0, 2)
        .take(400)
        .enumerate()
        .map(|(number, request)| if large(number) { with_noise(request, 8_000) } else { request })
        .collect();
    let (neighbours, special) = outcomes(&stage, &sent, large);
    assert_untouched(&sent, &neighbours, large);
    assert_eq!(special.len(), 4);
    for outcome in special {
        let number = number(outcome.key.as_deref()).expect("a number");
        assert_too_large(&sent[number], &outcome, true, true);
    }
}

#[test]
fn results_whose_batch_is_too_large_for_the_topic_are_sent_in_smaller_ones() {
    let stage = stage("parts", [&[], &[("max.message.bytes", "20000")], &[]]);
    let sent: Vec<_> = Requests::new(0, 2).take(3_000).collect();
    shared().produce(&stage.requests, &sent);
    let program = ready(&stage.settings().set("kafka.producer.compression_type", "none"));
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    let refusals = program.metrics()[r#"nik_stream_faults_total{cause="outcomes_refused"}"#];
    assert!(refusals > 0.5, "no batch was too large");
    stop(program);
}

#[test]
fn a_failure_too_large_for_its_topic_loses_the_original_then_the_list_then_the_requests_own_headers()
 {
    let small: &[_] = &[("max.message.bytes", "4096")];
    let stage = stage("small", [&[], small, small]);
    // The result never fits. The first failure fits with list and original, the second with the
    // list only, the third with neither, and the last not even with the request's headers.
    let sizes = [(1, 60, 0), (3, 150, 0), (5, 400, 0), (6, 400, 6_000)];
    let special = |number: usize| sizes.iter().any(|(special, ..)| *special == number);
    let mut sent: Vec<_> = Requests::new(0, 2).take(100).collect();
    for (number, niks, header) in sizes {
        let headers = [("number", key(number)), ("noise", noise(0, header).into_bytes())];
        sent[number].value = Some(of_niks(niks));
        sent[number].headers = headers.map(|(name, value)| (name.into(), Some(value))).to_vec();
    }
    let (neighbours, outcomes) = outcomes(&stage, &sent, special);
    assert_untouched(&sent, &neighbours, special);
    assert_eq!(outcomes.len(), 4);
    for outcome in outcomes {
        let number = number(outcome.key.as_deref()).expect("a number");
        let (with_list, with_original) = match number {
            1 => (true, true),
            3 => (true, false),
            _ => (false, false),
        };
        assert_too_large(&sent[number], &outcome, with_list, with_original);
        let own = header(&outcome, "noise").map(<[u8]>::len);
        assert_eq!(own, Some(0).filter(|_| number != 6));
    }
}

/// A request whose outcome is twenty times as long.
fn of_niks(count: usize) -> Vec<u8> {
    let niks: Vec<_> = (0..count).map(|serial| format!(r#""327301010190{serial:04}""#)).collect();
    format!(r#"{{"nik":[{}],"process":"full"}}"#, niks.join(",")).into_bytes()
}

#[test]
fn a_timestamp_that_the_broker_refuses_becomes_the_current_time_and_its_neighbours_are_unchanged() {
    let hour: &[_] = &[("message.timestamp.before.max.ms", "3600000")];
    let stage = stage("dated", [&[], hour, hour]);
    let old = |number: usize| number % 90 == 9 || number == 100;
    let mut now = 0;
    let sent: Vec<_> = Requests::new(0, 2)
        .take(400)
        .enumerate()
        .map(|(number, request)| {
            now = now.max(request.timestamp.expect("dated"));
            let timestamp = if old(number) { now - DAY_MS } else { now };
            NewRecord { timestamp: Some(timestamp), ..request }
        })
        .collect();
    let (neighbours, special) = outcomes(&stage, &sent, old);
    assert_untouched(&sent, &neighbours, old);
    assert_eq!(special.len(), sent.len() - neighbours.0.len() - neighbours.1.len());
    for outcome in special {
        let timestamp = outcome.timestamp.expect("a timestamp");
        assert!((now..now + 600_000).contains(&timestamp), "{timestamp}");
    }
}

/// Asserts that the program exits with 1 if the topic refuses every form of a failure, and that its
/// log contains `word`.
fn refused_to_the_end(stage: &Stage, settings: &ProgramSettings, key: Option<&str>, word: &str) {
    let mut program = ready(settings);
    let request = NewRecord {
        key: key.map(|key| key.as_bytes().to_vec()),
        value: Some(b"x".to_vec()),
        ..NewRecord::default()
    };
    shared().produce(&stage.requests, &[request]);
    assert_eq!(program.wait(WAIT_TIMEOUT), Some(1));
    let words = program.stderr();
    assert!(words.contains(&stage.failures) && words.contains(word), "{words}");
    let committed = shared().committed(&stage.group, &stage.requests);
    assert!(
        committed.values().all(|&next| next <= 0),
        "committed past a request without an outcome: {committed:?}"
    );
}

#[test]
fn the_program_exits_and_names_a_topic_that_refuses_even_the_smallest_failure() {
    let stage = stage("tiny", [&[], &[], &[("max.message.bytes", "300")]]);
    let key = noise(0, 1_000);
    refused_to_the_end(&stage, &stage.settings(), Some(&key), "max.message.bytes");
}

#[test]
fn the_program_exits_and_names_a_compacted_topic_that_refuses_records_without_a_key() {
    let stage = stage("compacted", [&[], &[], &[("cleanup.policy", "compact")]]);
    refused_to_the_end(&stage, &stage.settings(), None, "compacted");
}

#[test]
fn the_program_exits_and_names_a_topic_that_refuses_even_the_time_of_the_clock() {
    let none_allowed = [("message.timestamp.before.max.ms", "0")];
    let stage = stage("clock", [&[], &none_allowed, &none_allowed]);
    refused_to_the_end(&stage, &stage.settings(), None, "this machine's clock");
}

#[test]
fn the_program_exits_with_the_code_of_wrong_settings_if_the_brokers_refuse_its_transaction_timeout()
{
    let stage = stage("too-long", [&[]; 3]);
    let settings = stage.settings().set("kafka.producer.transaction_timeout_ms", "900001");
    let mut program = settings.run();
    assert_eq!(program.wait(WAIT_TIMEOUT), Some(64));
    let words = program.stderr();
    assert!(words.contains("at most their transaction.max.timeout.ms"), "{words}");
}

#[test]
fn at_least_once_commits_no_offset_before_the_broker_has_accepted_the_outcome() {
    let stage = stage("tinier", [&[], &[], &[("max.message.bytes", "300")]]);
    let settings = stage.settings().set("delivery.guarantee", "at_least_once");
    let key = noise(0, 1_000);
    refused_to_the_end(&stage, &settings, Some(&key), "max.message.bytes");
}
