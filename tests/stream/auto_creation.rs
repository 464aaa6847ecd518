//! Brokers that create topics by themselves: the program never makes them do so.

use std::time::{Duration, Instant};

use crate::cluster::KafkaCluster;
use crate::traffic::load::Load;
use crate::traffic::stage::{Stage, TOPIC, WAIT_TIMEOUT, held_by, stop, wait_until};
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
    // The clients refresh their metadata every second.
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        assert!(!cluster.topic_exists(&stage.results), "it was created again");
        std::thread::sleep(Duration::from_millis(100));
    }
    let named = format!("topic {} does not exist", stage.results);
    held_by(&program, Obstacle::TopicMissing, &named);
    cluster.create_topic(&stage.results, PARTITIONS, &TOPIC);
    program.wait_ready(WAIT_TIMEOUT);
    wait_until("it answers again", || !cluster.read_committed(&stage.results).is_empty());
    load.finish();
    stop(program);
}
