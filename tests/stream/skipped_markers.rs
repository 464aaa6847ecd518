//! A partition of the results has no leader while a transaction that wrote to it ends, so that its
//! marker is skipped.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::proxy::{ADD_PARTITIONS_TO_TXN, END_TXN, PRODUCE, Proxy, Request, Verdict};
use crate::cluster::{KafkaCluster, NewRecord, Program, ProgramSettings};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::{OVERSIZE, Requests};
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

/// The broker with partition 1 of the results.
const AWAY: usize = 2;
const REQUESTS: usize = 10;
/// The program takes it that a transaction has all its markers if the next one's first batch follows
/// within two seconds after its beginning.
const SOON: Duration = Duration::from_secs(1);
/// The length of a value whose result is too large for its topic.
const LONG: usize = 30_000;

fn stage(cluster: &KafkaCluster, name: &str) -> Stage {
    let stage = Stage::named(cluster, name);
    let small = [TOPIC[1], TOPIC[2], ("max.message.bytes", "20000"), ("min.insync.replicas", "1")];
    cluster.place_topic(&stage.results, &[1, 2], &small);
    for topic in [&stage.requests, &stage.failures] {
        cluster.create_topic(topic, 2, &TOPIC);
    }
    stage
}

/// An instance whose epochs last for ten seconds.
fn settings(stage: &Stage, session_ms: &str) -> ProgramSettings {
    stage
        .settings()
        .set("kafka.workers", "1")
        .set("kafka.session_timeout_ms", session_ms)
        .set("kafka.producer.compression_type", "none")
        .set("kafka.producer.transaction_timeout_ms", "300000")
        .set("delivery.commit_interval_ms", "10000")
        .set("delivery.commit_min_interval_ms", "10000")
}

fn run(stage: &Stage, session_ms: &str) -> Program {
    ready(&settings(stage, session_ms))
}

/// A cluster whose coordinators are on a broker that stays: their restart alone would make the
/// program end its transactions again.
fn cluster() -> KafkaCluster {
    with_coordinators(KafkaCluster::start(3))
}

fn with_coordinators(cluster: KafkaCluster) -> KafkaCluster {
    let internal = [("cleanup.policy", "compact"), ("min.insync.replicas", "1")];
    for topic in ["__consumer_offsets", "__transaction_state"] {
        cluster.place_topic(topic, &[1; 4], &internal);
    }
    cluster
}

/// The broker hands its other partitions over. This one has no other replica, so it may have to be
/// killed.
fn go_away(cluster: &mut KafkaCluster) {
    let _ = cluster.stop(AWAY);
}

/// Requests for partition 1, numbered from `first` on.
fn requests(first: usize, count: usize, length: usize) -> Vec<NewRecord> {
    let requests = Requests::new(first, 1).take(count).map(|mut request| {
        let value = format!(r#"{{"nik":["{}"],"process":"full"}}"#, "x".repeat(length));
        if length == LONG {
            request.headers.push((OVERSIZE.to_vec(), None));
        }
        NewRecord { partition: Some(1), value: Some(value.into_bytes()), ..request }
    });
    requests.collect()
}

/// The end of partition 1, open transactions included; 0 while the brokers do not answer.
fn end_of_results(cluster: &KafkaCluster, stage: &Stage) -> i64 {
    let place = (stage.results.clone(), 1);
    cluster.ends(&[&stage.results]).map_or(0, |ends| ends[&place])
}

/// Sends requests, and freezes the program while the transaction with their results is open.
fn freeze(cluster: &KafkaCluster, stage: &Stage, program: &Program) -> Vec<NewRecord> {
    let end = || end_of_results(cluster, stage);
    let mut sent = Vec::new();
    for _ in 0..10 {
        let more = requests(sent.len(), REQUESTS, 16);
        let before = end();
        cluster.produce(&stage.requests, &more);
        sent.extend(more);
        wait_until("results arrive", || end() > before);
        program.signal("STOP");
        std::thread::sleep(Duration::from_secs(2)); // a commit that has begun ends
        if !cluster.is_settled(&[&stage.results]) {
            return sent;
        }
        program.signal("CONT"); // they were committed meanwhile
    }
    panic!("no freeze fell into a transaction: {}", program.stderr());
}

#[test]
fn a_transaction_that_ended_while_a_partition_had_no_leader_is_ended_there_in_its_own_way() {
    let mut cluster = cluster();
    let (committed, aborted) = (stage(&cluster, "committed"), stage(&cluster, "aborted"));
    let metric = |program: &Program, name: &str| program.metrics()[name];
    let commits = run(&committed, "120000");
    let before = metric(&commits, "nik_stream_commits_total");
    let mut to_commit = freeze(&cluster, &committed, &commits);
    // This one loses its membership while it is frozen, so that its commit is refused. It starts
    // late, so that it is not frozen during a commit.
    let aborts = run(&aborted, "6000");
    let to_abort = freeze(&cluster, &aborted, &aborts);
    go_away(&mut cluster);
    wait_until("the partition has no leader", || cluster.leader(&committed.results, 1) < 0);
    wait_until("the group loses a member", || cluster.members(&aborted.group) == 0);
    for program in [&commits, &aborts] {
        program.signal("CONT");
    }
    wait_until("it is committed", || metric(&commits, "nik_stream_commits_total") > before + 0.5);
    wait_until("it is aborted", || metric(&aborts, "nik_stream_aborts_total") > 0.5);
    for program in [&commits, &aborts] {
        wait_for_obstacle(
            program,
            Obstacle::NoLeader,
            ".results has no leader for its partitions 1",
        );
    }

    cluster.restart(AWAY);
    // The next transaction is aborted, and must not change what the one before committed.
    let refused = requests(to_commit.len(), 1, LONG);
    cluster.produce(&committed.requests, &refused);
    to_commit.extend(refused);
    wait_until("it is aborted", || metric(&commits, "nik_stream_aborts_total") > 0.5);
    for (stage, sent) in [(&committed, &to_commit), (&aborted, &to_abort)] {
        let outcomes = stage.wait_for_outcomes(&cluster, sent.len());
        assert_eq!(differences(sent, &outcomes), Differences::default(), "{}", stage.group);
    }
    for program in [commits, aborts] {
        wait_until("it is ready again", || program.ready());
        stop(program);
    }
}

/// The next process aborts what the dead one left open. A reply topic without a leader keeps the
/// records, and they must not be committed once it has a leader: the requests got results meanwhile.
/// The one after it only learns how the last transaction ended, which committed the results.
#[test]
fn replies_that_a_dead_process_left_in_a_partition_without_a_leader_stay_aborted() {
    let mut cluster = cluster();
    let stage = Stage::new(&cluster, "dead-replies", 2);
    let replies = format!("{}.reply", stage.group);
    cluster.place_topic(&replies, &[1, 2], &[TOPIC[1], TOPIC[2]]);
    let settings = settings(&stage, "6000")
        .set("topics.reply_allowed", &replies)
        .set("kafka.instance_id", "only");
    let dead = ready(&settings);
    let sent: Vec<_> = requests(0, REQUESTS, 16)
        .into_iter()
        .map(|mut request| {
            let target = (b"kafka_replyTopic".to_vec(), Some(replies.clone().into_bytes()));
            let partition = (b"kafka_replyPartition".to_vec(), Some(vec![0, 0, 0, 1]));
            request.headers.extend([target, partition]);
            request
        })
        .collect();
    cluster.produce(&stage.requests, &sent);
    wait_until("replies arrive", || cluster.read_uncommitted(&replies).len() == sent.len());
    dead.kill9();
    assert!(cluster.read_committed(&replies).is_empty(), "the epoch was committed early");
    go_away(&mut cluster);
    wait_until("the partition has no leader", || cluster.leader(&replies, 1) < 0);

    let program = ready(&settings);
    wait_until("the requests have results", || {
        cluster.read_committed(&stage.results).len() == sent.len()
    });
    stop(program);
    let program = ready(&settings);
    cluster.restart(AWAY);
    wait_until("the transaction is ended there, too", || cluster.is_settled(&[&replies]));
    assert!(cluster.read_committed(&replies).is_empty(), "requests were answered twice");
    stop(program);
}

/// What the proxies have seen of the program's transactions.
#[derive(Default)]
struct Seen {
    began: Option<Instant>,
    /// When the transaction before began.
    before: Option<Instant>,
    is_unanswered: bool,
}

impl Seen {
    /// Holds the first batch of a transaction that follows soon after the beginning of the one
    /// before, and swallows its repetitions.
    fn judge(&mut self, request: &Request<'_>) -> Verdict {
        match request.api_key {
            ADD_PARTITIONS_TO_TXN => _ = self.began.get_or_insert_with(Instant::now),
            END_TXN => self.before = self.began.take(),
            PRODUCE if self.is_unanswered => return Verdict::Swallow,
            PRODUCE if self.before.take().is_some_and(|it| it.elapsed() < SOON) => {
                self.is_unanswered = true;
                return Verdict::Hold;
            }
            _ => {}
        }
        Verdict::Forward
    }
}

/// The program sees that it does not know whether the broker has the batch, and that the
/// transaction before is committed everywhere, as that began shortly before.
#[test]
fn an_aborted_batch_that_a_broker_stored_and_did_not_answer_is_not_committed_later() {
    let (proxies, cluster) = Proxy::with_three_brokers();
    let mut cluster = with_coordinators(cluster);
    let stage = stage(&cluster, "unanswered");
    let seen = Arc::<Mutex<Seen>>::default();
    for proxy in &proxies {
        let seen = Arc::clone(&seen);
        proxy.judge(move |request| seen.lock().expect("no panic").judge(request));
    }
    let settings = stage
        .settings()
        .set("kafka.bootstrap_servers", &proxies[0].bootstrap())
        .set("kafka.workers", "1")
        .set("kafka.producer.transaction_timeout_ms", "15000");
    let program = ready(&settings);
    let away = &proxies[AWAY - 1];
    let mut sent = Vec::new();
    wait_until("a batch is held", || {
        let more = requests(sent.len(), REQUESTS, 16);
        cluster.produce(&stage.requests, &more);
        sent.extend(more);
        away.held() > 0
    });
    let before = end_of_results(&cluster, &stage);
    away.deliver();
    wait_until("the broker has stored the batch", || end_of_results(&cluster, &stage) > before);
    cluster.kill(AWAY);
    wait_until("the partition has no leader", || cluster.leader(&stage.results, 1) < 0);
    let aborts = || program.metrics()["nik_stream_aborts_total"];
    wait_until("the transaction is aborted", || aborts() > 0.5);

    away.reset();
    cluster.restart(AWAY);
    let outcomes = stage.wait_for_outcomes(&cluster, sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default(), "{}", program.stderr());
    stop(program);
}
