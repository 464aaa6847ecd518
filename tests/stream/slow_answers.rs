//! A broker that takes 20 seconds for one kind of request, one whose answers to heartbeats are lost,
//! and one whose metadata list no brokers.

use std::time::{Duration, Instant};

use crate::cluster::proxy::{END_TXN, HEARTBEAT, PRODUCE, Proxy, Verdict};
use crate::cluster::{NewRecord, Program};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, assigned, ready, share, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

/// Longer than the timeouts of a transaction and of all calls.
const SLOW: Duration = Duration::from_secs(20);
/// Longer than the session of a member.
const SILENCE: Duration = Duration::from_secs(4);

/// Two requests of this kind take 20 seconds each. The instance has a name, so that it could
/// mistake its own successor for a rival.
fn assert_slow_requests_only_delay(api_key: i16) {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "slow-answers", 1);
    let reader = Reader::start(cluster, &stage);
    let settings = stage.settings().set("kafka.instance_id", "slow").set("kafka.workers", "1");
    let mut program = ready(&settings);
    let mut slow = 2;
    proxy.judge(move |request| {
        if request.api_key != api_key || slow == 0 {
            return Verdict::Forward;
        }
        slow -= 1;
        Verdict::Late(SLOW)
    });
    let sent: Vec<_> = Requests::new(0, 1).take(40).collect();
    cluster.produce(&stage.requests, &sent);
    wait_for_obstacle(&program, Obstacle::SlowBrokers, "the brokers take too long");
    reader.wait_for(sent.len());
    wait_until("it is ready", || program.ready());
    assert_eq!(program.wait(SLOW), None, "it keeps running"); // the last slow request arrives
    assert_eq!(differences(&sent, &stage.outcomes(cluster)), Differences::default());
    stop(program);
}

#[test]
fn outcomes_that_take_20_seconds_are_late_and_exact() {
    assert_slow_requests_only_delay(PRODUCE);
}

#[test]
fn commits_that_take_20_seconds_are_late_and_exact() {
    assert_slow_requests_only_delay(END_TXN);
}

/// The coordinator gets the heartbeats and its answers do not arrive: the client gives up its
/// membership, and the coordinator does not. Meanwhile the worker waits for the answer to a request
/// of this kind, and cannot give up its partitions yet.
fn assert_does_not_fence_itself(guarantee: &str, api_key: i16) {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, guarantee, 1);
    let reader = Reader::start(cluster, &stage);
    let settings = stage
        .settings()
        .set("delivery.guarantee", guarantee)
        .set("kafka.instance_id", "only")
        .set("kafka.workers", "1")
        .set("kafka.producer.transaction_timeout_ms", "30000");
    let program = ready(&settings);
    let (begun, mut is_late) = (Instant::now(), false);
    proxy.judge(move |request| {
        if request.api_key == HEARTBEAT && begun.elapsed() < SILENCE {
            Verdict::Hold
        } else if request.api_key == api_key && !is_late {
            is_late = true;
            Verdict::Late(2 * SILENCE)
        } else {
            Verdict::Forward
        }
    });
    let sent: Vec<_> = Requests::new(0, 1).take(40).collect();
    cluster.produce(&stage.requests, &sent);
    while begun.elapsed() < SILENCE {
        proxy.deliver();
        std::thread::sleep(Duration::from_millis(10));
    }
    reader.wait_for(sent.len());
    wait_until("it has given up its membership", || {
        program.stderr().contains("Consumer group session timed out")
    });
    wait_until("it is ready", || program.ready());
    assert!(!program.stderr().contains("member_fenced"), "{}", program.stderr());
    let found = differences(&sent, &stage.outcomes(cluster));
    assert_eq!((found.lost, found.wrong), (0, 0));
    if guarantee == "exactly_once" {
        assert_eq!(found.doubled, 0);
    }
    stop(program);
}

#[test]
fn a_named_instance_whose_heartbeats_get_no_answers_does_not_fence_itself() {
    assert_does_not_fence_itself("exactly_once", END_TXN);
}

#[test]
fn nor_does_one_without_transactions_whose_offsets_are_committed_late() {
    assert_does_not_fence_itself("at_least_once", PRODUCE);
}

/// How often workers were restarted.
fn restarts(program: &Program) -> f64 {
    let metrics = program.metrics();
    let restarts = metrics.iter().filter(|(it, _)| it.contains("worker_restarts_total"));
    restarts.map(|(_, count)| count).sum()
}

#[test]
fn clients_that_forgot_their_brokers_find_them_again() {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "forgotten", 1);
    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        .set("kafka.producer.transaction_timeout_ms", "15000")
        .set("kafka.librdkafka.statistics_interval_ms", "500");
    let program = ready(&settings);
    let reader = Reader::start(cluster, &stage);
    let mut requests = Requests::new(0, 1);
    let mut sent: Vec<NewRecord> = Vec::new();
    let mut produce = |sent: &mut Vec<NewRecord>| {
        let more: Vec<_> = requests.by_ref().take(10).collect();
        cluster.produce(&stage.requests, &more);
        sent.extend(more);
    };
    produce(&mut sent);
    reader.wait_for(sent.len());
    proxy.hide_brokers("");
    wait_until("each client has asked again and again", || proxy.without_brokers() >= 12);
    proxy.reset();
    produce(&mut sent);
    reader.wait_for(sent.len());
    assert!(restarts(&program) < 0.5, "{}", program.stderr());
    assert_eq!(differences(&sent, &stage.outcomes(cluster)), Differences::default());
    stop(program);
}

#[test]
fn a_client_of_the_ledger_that_forgot_its_brokers_is_replaced() {
    const PARTITIONS: usize = 2;
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "forgotten-ledger", PARTITIONS).with_ledger(cluster);
    let settings = stage
        .settings()
        .set("kafka.workers", "1")
        .set("kafka.producer.transaction_timeout_ms", "15000")
        .set("kafka.librdkafka.statistics_interval_ms", "500");
    let (first, second) = (ready(&settings), ready(&settings));
    wait_until("both have a partition", || share([&first, &second], PARTITIONS));
    // The group's consumer does not ask for the ledger, and gets the partition of the first.
    proxy.hide_brokers(&stage.ledger());
    wait_until("each client has asked again and again", || proxy.without_brokers() >= 18);
    stop(first);
    wait_until("it is assigned both partitions", || assigned(&second) == PARTITIONS);
    let before = proxy.without_brokers();
    wait_until("it has looked into the ledger", || proxy.without_brokers() >= before + 5);
    proxy.reset();
    let sent: Vec<_> = Requests::new(0, PARTITIONS).take(20).collect();
    cluster.produce(&stage.requests, &sent);
    Reader::start(cluster, &stage).wait_for(sent.len());
    assert!(restarts(&second) < 0.5, "{}", second.stderr());
    assert_eq!(differences(&sent, &stage.outcomes(cluster)), Differences::default());
    stop(second);
}
