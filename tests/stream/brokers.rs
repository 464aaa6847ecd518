//! Brokers are killed and restarted under load: the program waits for them and resumes without a
//! restart.

use std::time::Duration;

use crate::cluster::{KafkaCluster, NewRecord, Program};
use crate::traffic::audit::assert_exact;
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, TRANSACTION_TIMEOUT, WAIT_TIMEOUT, ready, stop, wait_until};

const PARTITIONS: usize = 3;
const RATE: u32 = 100;
/// Longer than the broker keeps a transaction open, and than the client waits for its end.
const OUTAGE: Duration = TRANSACTION_TIMEOUT.saturating_add(Duration::from_secs(2));

/// Waits for new outcomes; asserts that the program has not been restarted for it.
fn assert_resumes(program: &mut Program, reader: &Reader) {
    let before = reader.count();
    wait_until("new outcomes are read", || reader.count() > before + 100);
    assert_eq!(program.wait(Duration::ZERO), None, "the program ended");
}

#[test]
fn each_of_three_brokers_is_killed_and_restarted() {
    let mut cluster = KafkaCluster::start(3);
    let stage = Stage::new(&cluster, "three", PARTITIONS);
    let load = Load::start(&cluster, &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(&cluster, &stage);
    // The usual timeouts: three brokers that start one after the other keep a small machine busy.
    let settings = stage
        .settings()
        .set("kafka.session_timeout_ms", "6000")
        .set("kafka.producer.transaction_timeout_ms", "15000");
    let mut program = ready(&settings);
    for broker in 1..=3 {
        load.wait_for(RATE as usize);
        cluster.kill(broker);
        assert_resumes(&mut program, &reader);
        cluster.restart(broker);
    }
    assert_resumes(&mut program, &reader);
    assert_exact(&cluster, &stage, load, &reader);
    stop(program);
}

#[test]
fn the_only_broker_is_down_for_longer_than_a_transaction_may_last() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "away", PARTITIONS);
    // A static member, which keeps its transactional ids; epochs so long that one is open when the
    // broker is killed.
    let settings = stage
        .settings()
        .set("kafka.instance_id", "only")
        .set("delivery.commit_interval_ms", "500")
        .set("delivery.commit_min_interval_ms", "500");
    // Dated now: a broker that was killed forgets producers whose records are dated long ago, and
    // may then refuse or lose what they send again.
    let requests = Requests::new(0, PARTITIONS).map(|it| NewRecord { timestamp: None, ..it });
    let load = Load::of(&cluster, &stage.requests, requests, RATE);
    let reader = Reader::start(&cluster, &stage);
    let mut program = ready(&settings);
    load.wait_for(RATE as usize);
    cluster.kill(1);
    wait_until("it is not ready", || !program.ready());
    std::thread::sleep(OUTAGE);
    cluster.restart(1);
    assert_resumes(&mut program, &reader);
    let aborts = program.metrics()["nik_stream_aborts_total"];
    assert!(aborts > 0.5, "the open epoch was not aborted");
    // The broker lives but does not answer; the clients' connections stay open.
    cluster.pause(1);
    std::thread::sleep(OUTAGE);
    cluster.resume(1);
    assert_resumes(&mut program, &reader);
    program.wait_ready(WAIT_TIMEOUT);
    assert_exact(&cluster, &stage, load, &reader);
    stop(program);
}
