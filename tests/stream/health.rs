//! Why an instance is not ready, and that it lives all the while. (Missing topics: `membership`; an open breaker: `breaker`; a stop:
//! `stops`.)

use super::stage::{PATIENCE, Stage, assigned, stop, wait_until};
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
    // A session shorter than the brokers allow.
    let settings = stage.settings_without_session();
    let outside = settings.set("kafka.consumer.session_timeout_ms", "900").run();
    // Whoever came later was taken in long ago.
    let inside = stage.run();
    wait_until("the other has all partitions", || assigned(&inside) == 2);
    wait_for_reasons(&outside, "both workers are named", |reasons| {
        reasons
            == "not ready:\nworker 0 has no group assignment yet\n\
                worker 1 has no group assignment yet\n"
    });
    stop(outside);
    stop(inside);
}

#[test]
fn brokers_that_are_away_are_told_until_they_are_back() {
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
    stop(program);
}
