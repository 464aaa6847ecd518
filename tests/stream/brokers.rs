//! Brokers are killed and come back under load: the program waits, and goes on by itself.

use std::time::Duration;

use crate::cluster::{KafkaCluster, Program};
use crate::traffic::audit::assert_exact;
use crate::traffic::load::Load;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, ready, stop, wait_until};

const PARTITIONS: usize = 3;
const RATE: u32 = 200;

/// Waits until new outcomes are read again, by a program that never ended.
fn assert_goes_on(program: &mut Program, reader: &Reader) {
    let before = reader.count();
    wait_until("outcomes come again", || reader.count() > before + 100);
    assert_eq!(program.wait(Duration::ZERO), None, "the program ended");
}

#[test]
fn of_three_brokers_each_is_killed_and_comes_back() {
    let mut cluster = KafkaCluster::start(3);
    let stage = Stage::new(&cluster, "three", PARTITIONS);
    let load = Load::start(&cluster, &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(&cluster, &stage);
    let mut program = stage.run();
    for broker in 1..=3 {
        load.wait_for(RATE as usize);
        cluster.kill(broker);
        assert_goes_on(&mut program, &reader);
        cluster.start_again(broker);
    }
    assert_goes_on(&mut program, &reader);
    assert_exact(&cluster, &stage, load, &reader);
    stop(program);
}

#[test]
fn the_only_broker_is_away_for_longer_than_a_transaction_may_last() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "away", PARTITIONS);
    // Static, so that the same transactional ids come back; epochs so long that one is open.
    let settings = stage
        .settings()
        .set("kafka.instance_id", "only")
        .set("delivery.commit_interval_ms", "500")
        .set("delivery.commit_min_interval_ms", "500");
    let load = Load::start(&cluster, &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(&cluster, &stage);
    let mut program = ready(&settings);
    load.wait_for(RATE as usize);
    cluster.kill(1);
    wait_until("it is not ready", || !program.ready());
    std::thread::sleep(Duration::from_secs(14));
    cluster.start_again(1);
    assert_goes_on(&mut program, &reader);
    let given_up = program.metrics()["nik_stream_aborts_total"];
    assert!(given_up > 0.5, "the open epoch was given up with its clients");
    // Alive, but of no answer; the clients' connections stay.
    cluster.pause(1);
    std::thread::sleep(Duration::from_secs(14));
    cluster.resume(1);
    assert_goes_on(&mut program, &reader);
    wait_until("it is ready", || program.ready());
    assert_exact(&cluster, &stage, load, &reader);
    stop(program);
}
