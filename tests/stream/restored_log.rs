//! The log of a partition is replaced by an older copy of it, as a restored disk does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::unreadable::{Sent, positions, segment};
use crate::cluster::KafkaCluster;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, ready, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

/// Of two topics, one is then longer than before, and one shorter.
#[test]
fn a_log_restored_from_an_older_disk_stops_its_partition() {
    let mut cluster = KafkaCluster::start(1);
    let mut topics = [600, 100].map(|later| {
        let sent = Sent::to(Stage::new(&cluster, "older", 1));
        let copy = cluster.dir().join(format!("copy-{later}")); // outside of the broker's own
        let reader = Reader::start(&cluster, &sent.stage);
        let program = ready(&sent.stage.settings());
        (sent, later, copy, reader, Some(program))
    });
    for (sent, _, _, reader, _) in &mut topics {
        sent.send(&cluster, 0, 500);
        wait_until("500 are answered", || reader.count() >= 500);
    }
    let folder = |cluster: &KafkaCluster, sent: &Sent| {
        segment(cluster, &sent.stage.requests, 0).parent().unwrap().to_owned()
    };
    assert!(cluster.stop(1));
    for (sent, _, copy, ..) in &topics {
        copy_folder(&folder(&cluster, sent), copy);
    }
    cluster.restart(1);
    for (sent, _, _, reader, program) in &mut topics {
        sent.send(&cluster, 0, 500);
        wait_until("1,000 are answered", || reader.count() >= 1000);
        stop(program.take().expect("runs"));
    }
    assert!(cluster.stop(1));
    for (sent, _, copy, ..) in &topics {
        let folder = folder(&cluster, sent);
        fs::remove_dir_all(&folder).unwrap();
        fs::rename(copy, &folder).unwrap();
    }
    cluster.restart(1);
    for (sent, later, _, _, program) in &mut topics {
        sent.send(&cluster, 0, *later);
        *program = Some(sent.stage.settings().run());
    }
    for (_, later, .., program) in &topics {
        let program = program.as_ref().expect("runs");
        if *later > 500 {
            wait_for_obstacle(program, Obstacle::Truncated, "was truncated");
        } else {
            wait_for_obstacle(program, Obstacle::BeyondEnd, "is beyond the end of the log");
        }
    }
    std::thread::sleep(Duration::from_secs(4)); // they have looked again
    for (sent, later, _, reader, program) in topics {
        assert_eq!(reader.count(), 1000);
        positions(&sent.stage.settings(), &["set", "0:500"]);
        wait_until("the new ones are answered", || reader.count() >= 1000 + later);
        stop(program.expect("runs"));
        sent.assert_answered(&cluster, &[&sent.requests]);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
