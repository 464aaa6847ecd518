//! Topics of the brokers themselves that they cannot create: the program names the setting.

use std::process::Command;

use crate::cluster::KafkaCluster;
use crate::traffic::stage::{Stage, stop, wait_for_obstacle};
use nik_stream::telemetry::obstacle::Obstacle;

#[test]
fn an_internal_topic_that_one_broker_cannot_create_is_named_by_readiness_and_by_topics_verify() {
    const SETTING: &str = "transaction.state.log.replication.factor";
    let cluster = KafkaCluster::start_with(1, &format!("{SETTING}=3\n"), &[]);
    let stage = Stage::new(&cluster, "internal", 1);
    let mut verify: Command = stage.settings().command(&["topics", "verify"]);
    let output = verify.output().expect("it runs");
    let found = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains(&format!("error: the brokers' setting {SETTING} = 3")), "{found}");

    let program = stage.settings().run();
    wait_for_obstacle(&program, Obstacle::InternalTopicMissing, SETTING);
    stop(program);
}
