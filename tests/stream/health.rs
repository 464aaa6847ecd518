//! Why an instance is not ready, and that it lives all the while. (Missing topics: `membership`; an open breaker: `breaker`.)

use std::time::Duration;

use super::load::Load;
use super::reader::Reader;
use super::stage::{PATIENCE, Stage, wait_until};
use crate::cluster::{KafkaCluster, Program, shared};

/// Waits until it is not ready and the reasons are as wanted; it lives.
fn wait_for_reasons(program: &Program, what: &str, wanted: impl Fn(&str) -> bool) {
    wait_until(what, || {
        let ready = program.get("/readyz");
        ready.is_some_and(|(status, reasons)| status == 503 && wanted(&reasons))
    });
    let (status, said) = program.get("/livez").expect("an answer");
    assert_eq!((status, said.as_str()), (200, "alive\n"));
}

#[test]
fn a_worker_whom_the_group_does_not_take_in_is_named() {
    let stage = Stage::new(shared(), "outside", 2);
    // Shorter than the brokers allow.
    let settings = stage.settings().set("kafka.session_timeout_ms", "1000");
    let mut program = settings.run();
    wait_for_reasons(&program, "both workers are named", |reasons| {
        reasons
            == "not ready:\nworker 0 has no assignment of the group yet\n\
                worker 1 has no assignment of the group yet\n"
    });
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
}

#[test]
fn brokers_that_are_away_are_told_and_so_is_a_stop() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "away", 2);
    let mut program = stage.run();
    assert_eq!(program.get("/readyz").expect("an answer").1, "ready\n");
    cluster.kill(1);
    wait_for_reasons(&program, "no broker answers", |reasons| {
        reasons.contains("no broker answers")
    });
    assert!(program.metrics()["nik_stream_brokers_up"] < 0.5);
    cluster.start_again(1);
    program.wait_ready(PATIENCE);
    assert!(program.metrics()["nik_stream_brokers_up"] > 0.5);

    // A broker that hangs holds the stop up for a while.
    let load = Load::start(&cluster, &stage.requests, 2, 200);
    let reader = Reader::start(&cluster, &stage);
    reader.wait_for(100);
    cluster.pause(1);
    program.signal("TERM");
    wait_for_reasons(&program, "it says that it stops", |reasons| {
        reasons.contains("stopping\n")
    });
    assert_eq!(program.wait(Duration::from_secs(15)), Some(0));
    cluster.resume(1);
    load.finish();
}
