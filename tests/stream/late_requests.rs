//! Transactional requests whose first attempt gets no answer and reaches the broker late: it never
//! changes a later transaction.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::proxy::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, END_TXN, INIT_PRODUCER_ID, Proxy, TXN_OFFSET_COMMIT,
    Verdict,
};
use crate::cluster::{KafkaCluster, NewRecord, Program, ProgramSettings};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, TRANSACTION_TIMEOUT, WAIT_TIMEOUT, ready, stop, wait_until};

const PARTITIONS: usize = 2;
const RATE: u32 = 400;
/// The metric of producers that were replaced.
const REPLACED: &str = r#"nik_stream_faults_total{cause="request_unanswered"}"#;
/// Kafka's codes `INVALID_PRODUCER_EPOCH` and `PRODUCER_FENCED`.
const REFUSED: [i16; 2] = [47, 90];
/// The pause between two kills in the long run.
const KILL_INTERVAL: Duration = Duration::from_secs(10);
/// How long the last outcomes may take; after that they count as lost.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// The settings of one worker: a dynamic member, and a static one.
fn memberships(stage: &Stage) -> [ProgramSettings; 2] {
    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        // Longer than a freeze that ends the session, so that the transaction stays open meanwhile.
        .set("kafka.producer.transaction_timeout_ms", "15000");
    [settings.clone(), settings.set("kafka.instance_id", "only")]
}

fn replaced(program: &Program) -> f64 {
    program.metrics()[REPLACED]
}

/// The requests of a stage, sent one at a time.
struct OneByOne<'a> {
    cluster: &'a KafkaCluster,
    stage: &'a Stage,
    reader: &'a Reader,
    requests: Requests,
    sent: Vec<NewRecord>,
}

impl<'a> OneByOne<'a> {
    fn new(cluster: &'a KafkaCluster, stage: &'a Stage, reader: &'a Reader) -> Self {
        Self { cluster, stage, reader, requests: Requests::new(0, 1), sent: Vec::new() }
    }

    /// Sends a request, and waits for its outcome.
    fn answered(&mut self) {
        self.send();
        self.reader.wait_for(self.sent.len());
    }

    fn send(&mut self) {
        let request = self.requests.next().expect("an endless iterator");
        self.cluster.produce(&self.stage.requests, std::slice::from_ref(&request));
        self.sent.push(request);
    }
}

#[test]
fn a_late_commit_does_not_end_the_next_transaction() {
    let (proxy, cluster) = Proxy::with_cluster();
    for membership in 0..2 {
        let stage = Stage::behind(&proxy, cluster, "late-commit", 1);
        let reader = Reader::start(cluster, &stage);
        let program = ready(&memberships(&stage)[membership]);
        let mut requests = OneByOne::new(cluster, &stage, &reader);
        proxy.reset();
        proxy.delay(|request| request.api_key == END_TXN, TXN_OFFSET_COMMIT);
        requests.answered();
        assert_eq!(proxy.held(), 1);
        requests.answered();
        wait_until("the late commit is answered", || !proxy.delivered().is_empty());
        requests.answered();
        let replaced = replaced(&program);
        stop(program);
        let found = differences(&requests.sent, &stage.outcomes(cluster));
        assert_eq!(found, Differences::default());
        assert!(replaced > 0.5, "{replaced}");
        assert_refused(&proxy);
    }
}

fn assert_refused(proxy: &Proxy) {
    let answers = proxy.delivered();
    let refused = |code: &Option<i16>| code.is_some_and(|code| REFUSED.contains(&code));
    assert!(answers.len() == 1 && answers.iter().all(refused), "{answers:?}");
}

#[test]
fn a_late_abort_of_a_settling_transaction_does_not_end_the_next_one() {
    let (proxy, cluster) = Proxy::with_cluster();
    for membership in 0..2 {
        let stage = Stage::behind(&proxy, cluster, "late-abort", PARTITIONS);
        // Epochs so long that a freeze falls into an open one.
        let settings = memberships(&stage)[membership]
            .clone()
            .set("kafka.session_timeout_ms", "2000")
            .set("delivery.commit_interval_ms", "1500")
            .set("delivery.commit_min_interval_ms", "1500");
        let load = Load::start(cluster, &stage.requests, PARTITIONS, RATE);
        let reader = Reader::start(cluster, &stage);
        let program = ready(&settings);
        load.wait_for(RATE as usize);
        proxy.reset();
        let mut aborts = 0;
        proxy.delay(
            move |request| {
                aborts += usize::from(request.is_abort());
                aborts == 2 // the epoch's, then that of the transaction that settles it
            },
            ADD_OFFSETS_TO_TXN,
        );
        // A freeze during a commit leaves no open epoch.
        for _ in 0..4 {
            program.signal("STOP");
            wait_until("its session ends", || cluster.members(&stage.group) == 0);
            program.signal("CONT");
            let deadline = Instant::now() + Duration::from_secs(3);
            while proxy.held() == 0 && proxy.delivered().is_empty() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
            if Instant::now() < deadline {
                break;
            }
        }
        wait_until("the late abort is answered", || !proxy.delivered().is_empty());
        let found = audit(cluster, &stage, load, &reader, program);
        assert_eq!(found, Differences::default());
        assert_refused(&proxy);
    }
}

/// Stops the load, waits for its outcomes unless some are lost, and stops the program.
fn audit(
    cluster: &KafkaCluster,
    stage: &Stage,
    load: Load,
    reader: &Reader,
    program: Program,
) -> Differences {
    let sent = load.finish();
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    while reader.count() < sent.len() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop(program);
    differences(&sent, &stage.outcomes(cluster))
}

#[test]
fn late_positions_do_not_set_the_group_back() {
    let (proxy, cluster) = Proxy::with_cluster();
    for membership in 0..2 {
        let stage = Stage::behind(&proxy, cluster, "late-positions", 1);
        let settings = &memberships(&stage)[membership];
        let reader = Reader::start(cluster, &stage);
        let program = ready(settings);
        let mut requests = OneByOne::new(cluster, &stage, &reader);
        proxy.reset();
        proxy.delay(|request| request.api_key == TXN_OFFSET_COMMIT, END_TXN);
        requests.answered();
        assert_eq!(proxy.held(), 1);
        requests.answered();
        wait_until("the late positions are answered", || !proxy.delivered().is_empty());
        let replaced = replaced(&program);
        program.kill9();
        let program = ready(settings);
        requests.answered();
        stop(program);
        let found = differences(&requests.sent, &stage.outcomes(cluster));
        assert_eq!(found, Differences::default());
        assert!(replaced > 0.5, "{replaced}");
    }
}

#[test]
fn a_transaction_that_has_not_reached_its_coordinator_does_not_follow_it_to_another_connection() {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "held-back", 1);
    let reader = Reader::start(cluster, &stage);
    let program = ready(&memberships(&stage)[0]);
    let mut requests = OneByOne::new(cluster, &stage, &reader);
    requests.answered();
    let (sent, seen) = mpsc::channel();
    let mut is_cut = false;
    proxy.judge(move |request| match request.api_key {
        ADD_PARTITIONS_TO_TXN if !is_cut => {
            is_cut = true;
            Verdict::Hold
        }
        ADD_PARTITIONS_TO_TXN | ADD_OFFSETS_TO_TXN | END_TXN | INIT_PRODUCER_ID if is_cut => {
            let _ = sent.send(request.api_key);
            Verdict::Forward
        }
        _ => Verdict::Forward,
    });
    requests.answered();
    let first = seen.try_recv();
    assert_eq!(first, Ok(INIT_PRODUCER_ID), "a new producer, which settles the one before");
    assert!(replaced(&program) > 0.5);
    let settled = r#"nik_stream_transactions_settled_total{ending="commit"}"#;
    assert!(program.metrics()[settled] > 0.5);
    requests.answered();
    stop(program);
    let found = differences(&requests.sent, &stage.outcomes(cluster));
    assert_eq!(found, Differences::default());
}

#[test]
fn a_stop_is_noticed_while_the_producer_is_replaced() {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "late-stop", 1);
    let [settings, _] = memberships(&stage);
    let reader = Reader::start(cluster, &stage);
    let mut program = ready(&settings);
    let mut requests = OneByOne::new(cluster, &stage, &reader);
    let (swallowed, seen) = mpsc::channel();
    let mut is_held = false;
    proxy.judge(move |request| match request.api_key {
        END_TXN if !is_held => {
            is_held = true;
            Verdict::Hold
        }
        INIT_PRODUCER_ID if is_held => {
            let _ = swallowed.send(());
            Verdict::Swallow
        }
        _ => Verdict::Forward,
    });
    requests.answered();
    assert_eq!(proxy.held(), 1);
    requests.send();
    seen.recv_timeout(DRAIN_TIMEOUT).expect("the producer is replaced");
    assert_eq!(program.stop(Duration::from_secs(5)), Some(0), "{}", program.stderr());
    proxy.reset();
    let program = ready(&settings);
    requests.answered();
    stop(program);
    let found = differences(&requests.sent, &stage.outcomes(cluster));
    assert_eq!(found, Differences::default());
}

#[test]
fn a_replay_whose_commit_was_not_answered_stops_and_continues_when_it_is_run_again() {
    const COUNT: usize = 12;
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "late-replay", 1);
    let broken = |number: usize| NewRecord {
        partition: Some(0),
        key: Some(number.to_string().into_bytes()),
        ..NewRecord::default()
    };
    cluster.produce(&stage.requests, &(0..COUNT).map(broken).collect::<Vec<_>>());
    let settings = stage.settings();
    let program = ready(&settings);
    wait_until("all have failed", || cluster.read_committed(&stage.failures).len() == COUNT);
    stop(program);
    let replay = || settings.command(&["dlq", "replay", "--rate", "4"]).output().expect("it runs");
    proxy.delay(|request| request.api_key == END_TXN, TXN_OFFSET_COMMIT);
    let Output { status, stderr, .. } = replay();
    let words = String::from_utf8_lossy(&stderr);
    assert!(!status.success() && words.contains("was not answered"), "{words}");
    let Output { status, stderr, .. } = replay();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let mut copies = BTreeMap::new();
    for request in cluster.read_committed(&stage.requests) {
        *copies.entry(request.key).or_default() += 1;
    }
    assert_eq!(copies, (0..COUNT).map(|number| (broken(number).key, 2)).collect());
    assert_refused(&proxy);
}

#[test]
fn of_late_ends_at_random_none_loses_or_doubles_anything() {
    let seed = u64::from(std::process::id());
    at_random(Duration::from_secs(4), seed);
}

#[test]
#[ignore = "takes minutes: script/faults --late-requests yes"]
fn late_requests_at_random_for_long() {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let minutes = setting("NIK_FAULTS_MINUTES").unwrap_or(2.0);
    let seed = std::env::var("NIK_FAULTS_SEED").ok().and_then(|text| text.parse().ok());
    at_random(
        Duration::from_secs_f64(60.0 * minutes / 2.0),
        seed.unwrap_or_else(|| u64::from(std::process::id())),
    );
}

/// Holds every fifth `EndTxn` and every eleventh `TxnOffsetCommit`, delivers them up to a second
/// later, and kills the program every [`KILL_INTERVAL`]; as long for a dynamic member as for a
/// static one.
fn at_random(time: Duration, seed: u64) {
    let (proxy, cluster) = Proxy::with_cluster();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for membership in 0..2 {
        let stage = Stage::behind(&proxy, cluster, "late-random", PARTITIONS);
        let timeout_ms = TRANSACTION_TIMEOUT.as_millis().to_string();
        let settings = &memberships(&stage)[membership]
            .clone()
            .set("kafka.producer.transaction_timeout_ms", &timeout_ms);
        let load = Load::start(cluster, &stage.requests, PARTITIONS, RATE);
        let reader = Reader::start(cluster, &stage);
        let mut program = ready(settings);
        proxy.reset();
        let (mut ends, mut positions) = (0, 0);
        proxy.judge(move |request| {
            let (count, every) = match request.api_key {
                END_TXN => (&mut ends, 5),
                TXN_OFFSET_COMMIT => (&mut positions, 11),
                _ => return Verdict::Forward,
            };
            *count += 1;
            if *count % every == 0 { Verdict::Hold } else { Verdict::Forward }
        });
        let started = Instant::now();
        let mut next_kill = KILL_INTERVAL;
        let mut times_replaced = 0.0;
        while started.elapsed() < time || proxy.delivered().is_empty() {
            assert!(started.elapsed() < time + WAIT_TIMEOUT, "nothing was late");
            std::thread::sleep(Duration::from_millis(random.random_range(20..1_000)));
            proxy.deliver();
            if started.elapsed() > next_kill {
                next_kill += KILL_INTERVAL;
                times_replaced += replaced(&program);
                program.kill9();
                program = settings.run();
            }
        }
        let late = proxy.delivered().len();
        proxy.reset();
        program.wait_ready(DRAIN_TIMEOUT);
        times_replaced += replaced(&program);
        let sent = load.sent();
        let found = audit(cluster, &stage, load, &reader, program);
        println!(
            "late requests: seed {seed}, membership {membership}, {sent} requests, {late} late, {times_replaced} replaced"
        );
        assert_eq!(found, Differences::default(), "seed {seed}");
    }
}
