//! Those who work on although another took their place, the frozen and the doubled, are fenced: nothing of theirs counts.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::{Program, shared};
use crate::traffic::audit::{Differences, assert_exact, differences};
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, assigned, ready, stop, wait_until};

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

/// How often a program says that it met a fence: the group's first, or the producer's.
fn given_up(program: &Program) -> usize {
    let log = program.stderr();
    log.matches("epoch given up").count() + log.matches("the worker starts anew").count()
}

/// Freezes the zombie until the other has all partitions, and for `absence` more; whether it had an epoch to give up then. (A
/// freeze in mid commit leaves none.)
fn freeze(zombie: &Program, other: &Program, absence: Duration) -> bool {
    let both_have_partitions = || {
        let shares = [zombie, other].map(assigned);
        !shares.contains(&0) && shares.iter().sum::<usize>() == PARTITIONS
    };
    let rebalances = || zombie.metrics()["nik_stream_rebalances_total"];
    wait_until("both have partitions", both_have_partitions);
    let (given_up_before, rebalances_before) = (given_up(zombie), rebalances());
    zombie.signal("STOP");
    wait_until("the other has all partitions", || assigned(other) == PARTITIONS);
    std::thread::sleep(absence);
    zombie.signal("CONT");
    // (It needs a moment to see what it lost.)
    wait_until("the zombie knows it", || {
        given_up(zombie) > given_up_before || rebalances() > rebalances_before
    });
    wait_until("both have partitions again", both_have_partitions);
    given_up(zombie) > given_up_before
}

#[test]
fn a_zombie_is_fenced_and_joins_again() {
    let stage = Stage::new(shared(), "zombie", PARTITIONS);
    // Epochs so long that a pause falls into an open one.
    let settings = stage
        .settings()
        .set("kafka.producer.transaction_timeout_ms", "7000")
        .set("delivery.commit_interval_ms", "1500")
        .set("delivery.commit_min_interval_ms", "1500");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (zombie, other) = (ready(&settings), ready(&settings));
    // Back before the broker has ended its transaction, so that the group's fence alone refuses its offsets; then after it.
    for absence in [Duration::ZERO, Duration::from_secs(5)] {
        load.wait_for(RATE as usize);
        let caught = (0..5).any(|_| freeze(&zombie, &other, absence));
        assert!(caught, "{}", zombie.stderr());
    }
    load.wait_for(200);
    assert_exact(shared(), &stage, load, &reader);
    stop(zombie);
    stop(other);
}

/// The transactional ids that begin with `group`: the keys of the coordinator's log (its version in 2 bytes, the id's length in 2).
fn transactional_ids(group: &str) -> BTreeSet<String> {
    let log = shared().read_committed("__transaction_state");
    let ids = log.into_iter().filter_map(|record| record.key);
    ids.map(|key| String::from_utf8_lossy(&key[4..]).into_owned())
        .filter(|id| id.starts_with(group))
        .collect()
}

#[test]
fn a_worker_that_is_fenced_in_the_middle_of_a_rebalance_leaves_the_group() {
    let stage = Stage::new(shared(), "fenced", PARTITIONS);
    // So long a session that only a member that left is replaced in time; epochs so long that one is open at the rebalance.
    let settings = stage
        .settings()
        .set("kafka.session_timeout_ms", "600000")
        .set("kafka.producer.transaction_timeout_ms", "15000")
        .set("delivery.commit_interval_ms", "10000")
        .set("delivery.commit_min_interval_ms", "10000");
    let first = ready(&settings);
    let ids = transactional_ids(&stage.group);
    assert_eq!(ids.len(), 2, "of two workers: {ids:?}");
    // From a commit on, the next epoch is open for ten seconds.
    let requests: Vec<_> = Requests::new(0, PARTITIONS).take(400).collect();
    let (committed, open) = requests.split_at(8);
    shared().produce(&stage.requests, committed);
    stage.wait_for_outcomes(shared(), committed.len());
    shared().produce(&stage.requests, open);
    wait_until("its outcomes are sent", || {
        let sent = [&stage.results, &stage.failures].map(|it| shared().read_uncommitted(it).len());
        sent.iter().sum::<usize>() == requests.len()
    });
    let rivals = ids.iter().map(|id| shared().transactional_producer(id));
    let rivals: Vec<_> = rivals.collect();
    let second = ready(&settings);
    let outcomes = stage.wait_for_outcomes(shared(), requests.len());
    assert_eq!(differences(&requests, &outcomes), Differences::default());
    drop(rivals);
    // Whatever the aborted transaction reached is swept, when its worker is back: others may have answered its requests by then.
    for topic in [&stage.results, &stage.failures] {
        wait_until("all of it is swept", || {
            let mut all = shared().read_uncommitted(topic);
            all.retain(|record| record.key.as_deref() == Some(b"aborted"));
            let swept: BTreeSet<i32> = all.iter().map(|record| record.partition).collect();
            swept.len() == PARTITIONS
        });
    }
    let log = first.stderr();
    let mut lines = log.lines();
    let next = lines.find(|line| line.contains("starts anew"));
    assert!(next.is_some_and(|line| line.contains("fenced")), "{log}");
    stop(first);
    stop(second);
}

#[test]
fn of_two_instances_with_one_name_one_ends_with_75_and_the_other_goes_on() {
    let stage = Stage::new(shared(), "rivals", PARTITIONS);
    let settings = stage.settings().set("kafka.instance_id", "same");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let mut rivals = [ready(&settings), settings.run()];
    let mut ended = [None; 2];
    wait_until("one of them ends", || {
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
