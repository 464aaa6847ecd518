//! Brokers that create topics by themselves: the program never makes them do so.

use crate::cluster::KafkaCluster;
use crate::traffic::load::Load;
use crate::traffic::stage::{Stage, TOPIC, WAIT_TIMEOUT, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

const PARTITIONS: usize = 4;
const RATE: u32 = 200;

#[test]
fn a_results_topic_that_is_deleted_under_traffic_stays_deleted_and_is_named() {
    let properties = "auto.create.topics.enable=true\nnum.partitions=1\n";
    let cluster = KafkaCluster::start_with(1, properties, &[]);
    let stage = Stage::new(&cluster, "auto", PARTITIONS);
    let load = Load::start(&cluster, &stage.requests, PARTITIONS, RATE);
    let mut program = stage.run();
    wait_until("it answers", || !cluster.read_committed(&stage.results).is_empty());
    cluster.delete_topic(&stage.results);
    let named = format!("topic {} does not exist", stage.results);
    wait_for_obstacle(&program, Obstacle::TopicMissing, &named);
    // Five seconds; the clients refresh their metadata every second.
    load.wait_for(5 * RATE as usize);
    assert!(!cluster.topic_exists(&stage.results), "it was created again");
    cluster.create_topic(&stage.results, PARTITIONS, &TOPIC);
    program.wait_ready(WAIT_TIMEOUT);
    wait_until("it answers again", || !cluster.read_committed(&stage.results).is_empty());
    load.finish();
    stop(program);
}
