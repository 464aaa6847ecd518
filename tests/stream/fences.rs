//! Frozen and duplicate instances whose place was taken are fenced: none of their outcomes are
//! committed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::{Program, shared};
use crate::traffic::audit::{Differences, assert_exact, differences};
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, assigned, ready, share, stop, wait_until};

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

/// How often the log has one of these reasons.
fn logged(program: &Program, reasons: &[&str]) -> usize {
    let log = program.stderr();
    reasons.iter().map(|it| log.matches(it).count()).sum()
}

/// Freezes the zombie until the other has all partitions, and for `absence` longer; returns whether
/// its open epoch then ended for one of these reasons. (A freeze during a commit leaves none.)
fn freeze(zombie: &Program, other: &Program, absence: Duration, reasons: &[&str]) -> bool {
    let both_have_partitions = || share([zombie, other], PARTITIONS);
    let rebalances = || zombie.metrics()["nik_stream_rebalances_total"];
    wait_until("both have partitions", both_have_partitions);
    let (logged_before, rebalances_before) = (logged(zombie, reasons), rebalances());
    zombie.signal("STOP");
    wait_until("the other has all partitions", || assigned(other) == PARTITIONS);
    std::thread::sleep(absence);
    zombie.signal("CONT");
    wait_until("the zombie notices", || rebalances() > rebalances_before);
    wait_until("both have partitions again", both_have_partitions);
    logged(zombie, reasons) > logged_before
}

#[test]
fn a_zombie_is_fenced_and_joins_again() {
    let stage = Stage::new(shared(), "zombie", PARTITIONS);
    // Epochs so long that a freeze falls into an open one.
    let settings = stage
        .settings()
        .set("kafka.producer.transaction_timeout_ms", "7000")
        .set("delivery.commit_interval_ms", "1500")
        .set("delivery.commit_min_interval_ms", "1500");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (zombie, other) = (ready(&settings), ready(&settings));
    // The first time, it resumes before the broker aborts its transaction: the group refuses its
    // offsets, unless it has noticed that it lost its partitions. The second time, it resumes after
    // that, and the brokers refuse the producer.
    for (absence, reasons) in [
        (Duration::ZERO, &["UnknownMemberId", "IllegalGeneration", "assignment_lost"][..]),
        (Duration::from_secs(5), &["producer_fenced", "transaction_timed_out"]),
    ] {
        load.wait_for(RATE as usize);
        let caught = (0..5).any(|_| freeze(&zombie, &other, absence, reasons));
        assert!(caught, "{}", zombie.stderr());
    }
    load.wait_for(200);
    assert_exact(shared(), &stage, load, &reader);
    stop(zombie);
    stop(other);
}

/// The transactional ids that begin with `group`, from the keys of the coordinator's log (2 bytes
/// version, 2 bytes length, the id).
fn transactional_ids(group: &str) -> BTreeSet<String> {
    let log = shared().read_committed("__transaction_state");
    let ids = log.into_iter().filter_map(|record| record.key);
    ids.map(|key| String::from_utf8_lossy(&key[4..]).into_owned())
        .filter(|id| id.starts_with(group))
        .collect()
}

#[test]
fn a_worker_that_is_fenced_during_a_rebalance_leaves_the_group() {
    let stage = Stage::new(shared(), "fenced", PARTITIONS);
    // The session is so long that only a member that leaves is replaced in time; epochs are so long
    // that one is open.
    let settings = stage
        .settings()
        .set("kafka.session_timeout_ms", "600000")
        .set("kafka.producer.transaction_timeout_ms", "15000")
        .set("delivery.commit_interval_ms", "10000")
        .set("delivery.commit_min_interval_ms", "10000");
    let first = ready(&settings);
    let ids = transactional_ids(&stage.group);
    assert_eq!(ids.len(), 2, "of two workers: {ids:?}");
    // After a commit the next epoch is open for ten seconds.
    let requests: Vec<_> = Requests::new(0, PARTITIONS).take(400).collect();
    let (committed, open) = requests.split_at(8);
    shared().produce(&stage.requests, committed);
    let commits = || first.metrics()["nik_stream_commits_total"];
    wait_until("both workers have committed", || commits() > 1.5);
    shared().produce(&stage.requests, open);
    wait_until("its outcomes are sent", || {
        let sent = [&stage.results, &stage.failures].map(|it| shared().read_uncommitted(it).len());
        sent.iter().sum::<usize>() == requests.len()
    });
    // At once, since they must come before the commit.
    let rivals: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            ids.iter().map(|id| scope.spawn(move || shared().transactional_producer(id))).collect();
        threads.into_iter().map(|it| it.join().expect("no panic")).collect()
    });
    let second = ready(&settings);
    let outcomes = stage.wait_for_outcomes(shared(), requests.len());
    assert_eq!(differences(&requests, &outcomes), Differences::default());
    drop(rivals);
    // Its workers end the aborted transactions again when they restart; by then others may have
    // answered their requests.
    wait_until("both transactions were ended again", || {
        first.metrics()[r#"nik_stream_transactions_settled_total{ending="abort"}"#] > 1.5
    });
    let log = first.stderr();
    let fault = log.lines().find(|line| line.contains(r#""cause":""#));
    assert!(fault.is_some_and(|line| line.contains(r#"_fenced""#)), "{log}");
    stop(first);
    stop(second);
}

#[test]
fn of_two_instances_with_the_same_name_one_exits_with_75_and_the_other_continues() {
    let stage = Stage::new(shared(), "rivals", PARTITIONS);
    let settings = stage.settings().set("kafka.instance_id", "same");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let mut rivals = [ready(&settings), settings.run()];
    let mut ended = [None; 2];
    wait_until("one of them exits", || {
        ended = [0, 1].map(|rival: usize| rivals[rival].wait(Duration::ZERO));
        ended != [None; 2]
    });
    load.wait_for(RATE as usize);
    let [first, second] = rivals;
    let mut survivor = match ended {
        [Some(75), None] => second,
        [None, Some(75)] => first,
        other => panic!("ended: {other:?}"),
    };
    survivor.wait_ready(WAIT_TIMEOUT);
    assert_exact(shared(), &stage, load, &reader);
    stop(survivor);
}
