//! Instances join and leave, partitions are added, topics appear: the group follows without a
//! restart.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::cluster::{NewRecord, shared};
use crate::traffic::audit::{Differences, assert_exact, differences};
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{
    Stage, TOPIC, WAIT_TIMEOUT, assigned, ready, share, stop, wait_for_obstacle, wait_until,
};
use nik_stream::telemetry::obstacle::Obstacle;

const PARTITIONS: usize = 4;
const RATE: u32 = 300;

#[test]
fn partitions_that_are_added_are_read_and_written() {
    let stage = Stage::new(shared(), "grown", 2);
    let program = stage.run();
    let before: Vec<_> = Requests::new(0, 2).take(200).collect();
    shared().produce(&stage.requests, &before);
    stage.wait_for_outcomes(shared(), before.len());
    for topic in stage.topics() {
        shared().grow_topic(topic, 5);
    }
    // The program may know of the new partitions in one topic and not in another: until then keys
    // decide on the partition.
    let mut early: Vec<_> = Requests::new(1_000, 5).take(200).collect();
    shared().produce(&stage.requests, &early);
    wait_until("all partitions are assigned", || assigned(&program) == 5);
    let mut next = Requests::new(2_000, 5);
    wait_until("outcomes have the partitions of their requests", || {
        let more: Vec<_> = next.by_ref().take(50).collect();
        shared().produce(&stage.requests, &more);
        early.extend_from_slice(&more);
        let count = before.len() + early.len();
        let (results, failures) = stage.wait_for_outcomes(shared(), count);
        let homes: HashMap<_, _> = more.iter().map(|it| (&it.key, it.partition)).collect();
        let mut of_more = results
            .iter()
            .chain(&failures)
            .filter_map(|it| Some((homes.get(&it.key)?, it.partition)));
        of_more.all(|(home, partition)| *home == Some(partition))
    });
    let late: Vec<_> = next.take(200).collect();
    shared().produce(&stage.requests, &late);
    let all = [&before[..], &early, &late].concat();
    let outcomes = stage.wait_for_outcomes(shared(), all.len());
    // Of the early ones only the partition may differ, and with it the order.
    let found = differences(&all, &outcomes);
    assert_eq!((found.lost, found.doubled, found.wrong), (0, 0, 0), "{:?}", found.examples);
    // All others have the partition of their request.
    let early: HashSet<_> = early.iter().map(|it| &it.key).collect();
    let (mut results, mut failures) = outcomes;
    for outcomes in [&mut results, &mut failures] {
        outcomes.retain(|it| !early.contains(&it.key));
    }
    let found = differences(&[before, late].concat(), &(results, failures));
    assert_eq!(found, Differences::default());
    stop(program);
}

#[test]
fn an_output_with_fewer_partitions_gets_outcomes_by_key_until_it_has_grown() {
    let stage = Stage::new(shared(), "lagging", 2);
    let program = stage.run();
    shared().grow_topic(&stage.requests, 3);
    let request = |number| NewRecord {
        partition: Some(2),
        ..Requests::new(number, 1).next().expect("without end")
    };
    shared().produce(&stage.requests, &[request(0)]);
    let (results, _) = stage.wait_for_outcomes(shared(), 1);
    assert!(results[0].partition < 2);
    shared().grow_topic(&stage.results, 3);
    let mut count = 1;
    wait_until("the new partition is used", || {
        shared().produce(&stage.requests, &[request(10 * count)]);
        count += 1;
        let (results, _) = stage.wait_for_outcomes(shared(), count);
        results.iter().any(|result| result.partition == 2)
    });
    stop(program);
}

#[test]
fn missing_topics_are_named_and_used_once_they_are_created() {
    let stage = Stage::named(shared(), "missing");
    // A worker that does not poll for two seconds is removed from the group.
    let settings = stage
        .settings()
        .set("kafka.session_timeout_ms", "2000")
        .set("kafka.consumer.max_poll_interval_ms", "2000");
    let program = settings.run();
    wait_until("each missing topic is named", || {
        let Some((503, body)) = program.get("/readyz") else {
            return false;
        };
        stage.topics().iter().all(|topic| body.contains(*topic))
    });
    for topic in stage.topics() {
        assert!(program.stderr().contains(&format!("topic {topic} does not exist")));
    }
    // The requests first: they can be read while the topics of their outcomes are missing.
    shared().create_topic(&stage.requests, PARTITIONS, &TOPIC);
    let sent: Vec<_> = Requests::new(0, PARTITIONS).take(200).collect();
    shared().produce(&stage.requests, &sent);
    wait_until("the others are still named", || {
        let (status, body) = program.get("/readyz").expect("an answer");
        status == 503 && body.contains(&stage.results) && !body.contains(&stage.requests)
    });
    std::thread::sleep(Duration::from_secs(4)); // twice the interval
    assert!(!program.stderr().contains("MAXPOLL"), "{}", program.stderr());
    shared().create_topic(&stage.failures, PARTITIONS, &TOPIC);
    shared().create_topic(&stage.results, PARTITIONS, &TOPIC);
    wait_until("it is ready", || program.ready());
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    stop(program);
}

#[test]
fn workers_without_a_partition_are_ready_on_standby() {
    let stage = Stage::new(shared(), "reserve", 1);
    let settings = stage.settings().set("kafka.workers", "3");
    let load = Load::start(shared(), &stage.requests, 1, RATE);
    let reader = Reader::start(shared(), &stage);
    let (first, second) = (ready(&settings), ready(&settings));
    load.wait_for(100);
    assert!(first.ready() && second.ready());
    let (one, other) = if assigned(&first) == 1 { (first, second) } else { (second, first) };
    assert_eq!((assigned(&one), assigned(&other)), (1, 0));
    stop(one);
    wait_until("the standby worker has the partition", || assigned(&other) == 1);
    load.wait_for(100);
    assert_exact(shared(), &stage, load, &reader);
    stop(other);
}

#[test]
fn the_group_protocol_consumer_keeps_exactly_once() {
    let stage = Stage::new(shared(), "kip848", PARTITIONS);
    let settings = stage.settings_without_session().set("kafka.group_protocol", "consumer");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (stopped, killed) = (ready(&settings), ready(&settings));
    load.wait_for(RATE as usize);
    let last = ready(&settings);
    load.wait_for(100);
    stop(stopped);
    load.wait_for(100);
    killed.kill9();
    wait_until("the last has all partitions", || assigned(&last) == PARTITIONS);
    load.wait_for(100);
    assert_exact(shared(), &stage, load, &reader);
    stop(last);
}

#[test]
fn a_static_member_resumes_long_before_its_session_ends() {
    let stage = Stage::new(shared(), "static", PARTITIONS);
    let settings = stage.settings().set("kafka.session_timeout_ms", "600000");
    let named = |name| settings.clone().set("kafka.instance_id", name);
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (first, second) = (ready(&named("first")), ready(&named("second")));
    wait_until("both have partitions", || share([&first, &second], PARTITIONS));
    let (share, rebalances) = (assigned(&first), second.metrics()["nik_stream_rebalances_total"]);
    load.wait_for(100);
    first.kill9();
    let first = ready(&named("first"));
    wait_until("it has its partitions", || assigned(&first) == share);
    load.wait_for(100);
    stop(first);
    let first = ready(&named("first"));
    load.wait_for(100);
    assert_exact(shared(), &stage, load, &reader);
    let metrics = second.metrics();
    assert!(
        (metrics["nik_stream_rebalances_total"] - rebalances).abs() < 0.5,
        "the other kept what it had"
    );
    stop(first);
    stop(second);
}

#[test]
fn a_static_member_that_crashes_during_a_rebalance_leaves_no_partition_unread() {
    let stage = Stage::new(shared(), "orphans", PARTITIONS);
    let named = |name: &str| stage.settings().set("kafka.instance_id", name);
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let first = ready(&named("first"));
    load.wait_for(100);
    let mut second = named("second").run();
    let begun = Instant::now();
    while !first.stderr().contains("Revoked") {
        assert!(begun.elapsed() < WAIT_TIMEOUT, "no rebalance");
        std::thread::sleep(Duration::from_millis(1)); // the kill must follow the revocation at once
    }
    first.kill9();
    let first = ready(&named("first"));
    second.wait_ready(WAIT_TIMEOUT);
    assert_exact(shared(), &stage, load, &reader);
    stop(first);
    stop(second);
}

/// The leader of the group knows the new partitions from its start, its return begins no rebalance,
/// and the brokers begin none for the other member.
#[test]
fn partitions_that_are_added_while_the_leader_of_static_members_is_away_are_read() {
    let stage = Stage::new(shared(), "grown-away", 2);
    let settings = stage.settings().set("kafka.session_timeout_ms", "600000");
    let named = |name: &str| settings.clone().set("kafka.instance_id", name);
    let leader = ready(&named("leader"));
    let other = ready(&named("other"));
    stop(leader);
    for topic in stage.topics() {
        shared().grow_topic(topic, 4);
    }
    let program = ready(&named("leader"));
    let sent: Vec<_> = Requests::new(0, 4).take(200).collect();
    shared().produce(&stage.requests, &sent);
    let (group, topic) = (&stage.group, &stage.requests);
    let sentence = format!("no member of group {group} has the partitions 2, 3 of topic {topic}");
    wait_for_obstacle(&program, Obstacle::Unassigned, &sentence);
    let outcomes = stage.wait_for_outcomes(shared(), sent.len());
    assert_eq!(differences(&sent, &outcomes), Differences::default());
    wait_until("both are ready", || program.ready() && other.ready());
    assert_eq!(assigned(&program) + assigned(&other), 4);
    stop(program);
    stop(other);
}

#[test]
fn at_least_once_a_kill_loses_nothing() {
    let stage = Stage::new(shared(), "at-least-once", PARTITIONS);
    let settings = stage
        .settings()
        .set("delivery.guarantee", "at_least_once")
        .set("kafka.instance_id", "only");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    for _ in 0..3 {
        let program = settings.run();
        reader.wait_for(reader.count() + 150);
        program.kill9();
    }
    let sent = load.finish();
    let program = ready(&settings);
    wait_until("nothing is lost", || differences(&sent, &stage.outcomes(shared())).lost == 0);
    assert_eq!(differences(&sent, &stage.outcomes(shared())).wrong, 0);
    stop(program);
}
