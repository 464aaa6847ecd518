//! Why an instance is not ready, while it stays alive. (Missing topics are in `membership`, an open
//! breaker in `breaker`, a stop in `stops`.)

use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaRespErr;

use crate::cluster::{KafkaCluster, Program, ProgramSettings, shared};
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, assigned, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

/// Waits until it is not ready for the wanted reasons; asserts that it is alive.
fn wait_for_reasons(program: &Program, what: &str, wanted: impl Fn(&str) -> bool) {
    wait_until(what, || {
        let ready = program.get("/readyz");
        ready.is_some_and(|(status, reasons)| status == 503 && wanted(&reasons))
    });
    let (status, said) = program.get("/livez").expect("an answer");
    assert_eq!((status, said.as_str()), (200, "alive\n"));
}

#[test]
fn a_worker_that_cannot_join_the_group_is_named() {
    let stage = Stage::new(shared(), "outside", 2);
    // The session is shorter than the brokers allow.
    let settings = stage.settings_without_session();
    let outside = settings.set("kafka.consumer.session_timeout_ms", "900").run();
    // It has had time to join once a member that started later has joined.
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
fn brokers_that_are_down_are_reported_until_they_are_back() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "away", 2);
    let mut program = stage.run();
    assert_eq!(program.get("/readyz").expect("an answer").1, "ready\n");
    cluster.kill(1);
    wait_for_obstacle(&program, Obstacle::NoBroker, "no broker answers");
    wait_for_reasons(&program, "no broker answers", |reasons| {
        reasons.contains("no broker answers")
    });
    assert!(program.metrics()["nik_stream_brokers_up"] < 0.5);
    cluster.restart(1);
    program.wait_ready(WAIT_TIMEOUT);
    assert!(program.metrics()["nik_stream_brokers_up"] > 0.5);
    stop(program);
}

#[test]
fn until_a_broker_has_answered_readiness_says_so() {
    // It accepts connections, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address").to_string();
    let program = ProgramSettings::at(&address).run();
    wait_until("it answers", || program.get("/livez").is_some());
    let metric = "nik_stream_obstacles{cause=\"brokers_unknown\"}";
    assert!(program.metrics()[metric] > 0.5);
    let (status, why) = program.get("/readyz").expect("an answer");
    assert!(status == 503 && why.contains("the brokers have not answered yet"), "{why}");
    wait_for_obstacle(&program, Obstacle::NoBroker, "no broker answers");
    stop(program);
}

#[test]
fn an_error_that_the_brokers_report_of_a_topic_is_named() {
    let cluster = MockCluster::new(1).expect("a broker");
    let stage = Stage::at(&cluster.bootstrap_servers(), "faulty");
    for topic in stage.topics() {
        cluster.create_topic(topic, 1, 1).expect("created");
    }
    let mut program = stage.settings().set("delivery.guarantee", "at_least_once").run();
    program.wait_ready(WAIT_TIMEOUT);
    let set = |error| cluster.topic_error(&stage.results, error).expect("set");
    set(RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION);
    wait_for_obstacle(&program, Obstacle::TopicFaulty, &format!("topic {}: ", stage.results));
    set(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    program.wait_ready(WAIT_TIMEOUT);
    stop(program);
}
