//! Tests of the fixture `cluster`, on which other tests rely.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, NewRecord, Record, shared, unique};

fn text(value: &str) -> NewRecord {
    NewRecord { value: Some(value.as_bytes().to_vec()), ..NewRecord::default() }
}

fn values(records: &[Record]) -> Vec<&str> {
    records
        .iter()
        .map(|record| std::str::from_utf8(record.value.as_deref().expect("a value")).expect("text"))
        .collect()
}

#[test]
fn a_record_is_read_as_it_was_sent_byte_for_byte() {
    let topic = unique("bytes");
    shared().create_topic(&topic, 4, &[("max.message.bytes", "2000000")]);
    let sent = NewRecord {
        partition: Some(3),
        key: Some(b"\xffkey\0".to_vec()),
        value: Some(b"\0\xfe".to_vec()),
        headers: vec![
            (b"plain".to_vec(), Some(b"one".to_vec())),
            (b"\xc3\x28 not UTF-8".to_vec(), Some(b"\xff\0two".to_vec())),
            (b"plain".to_vec(), None),
            (b"".to_vec(), Some(Vec::new())),
        ],
        timestamp: Some(1_234_567_890_123),
    };
    let empty = NewRecord {
        partition: Some(3),
        key: Some(Vec::new()),
        value: Some(Vec::new()),
        ..NewRecord::default()
    };
    let null = NewRecord { partition: Some(1), ..NewRecord::default() };
    shared().produce(&topic, &[sent.clone(), empty, null]);

    let read = shared().read_committed(&topic);
    assert_eq!(
        read.iter().map(|record| (record.partition, record.offset)).collect::<Vec<_>>(),
        [(1, 0), (3, 0), (3, 1)]
    );
    assert_eq!((&read[0].key, &read[0].value, read[0].headers.len()), (&None, &None, 0));
    let first = &read[1];
    assert_eq!(
        (&first.key, &first.value, &first.headers, first.timestamp),
        (&sent.key, &sent.value, &sent.headers, sent.timestamp)
    );
    assert_eq!((&read[2].key, &read[2].value), (&Some(Vec::new()), &Some(Vec::new())));
}

#[test]
fn a_committed_reader_sees_only_committed_transactions() {
    let topic = unique("transactions");
    shared().create_topic(&topic, 1, &[]);
    let producer = shared().transactional_producer(&unique("writer"));
    producer.transaction(true, || producer.send(&topic, &text("one")));
    producer.transaction(false, || producer.send(&topic, &text("aborted")));
    producer.transaction(true, || producer.send(&topic, &text("two")));
    assert_eq!(values(&shared().read_committed(&topic)), ["one", "two"]);
    assert!(shared().committed(&unique("nobody"), &topic).is_empty());
}

#[test]
fn a_topic_grows() {
    let topic = unique("growing");
    shared().create_topic(&topic, 2, &[]);
    shared().grow_topic(&topic, 5);
    assert_eq!(shared().partitions(&topic), 5);
    shared().produce(&topic, &[NewRecord { partition: Some(4), ..text("new") }]);
    assert_eq!(values(&shared().read_committed(&topic)), ["new"]);
}

#[test]
fn a_broker_keeps_its_records_through_kill_stop_and_pause_and_leaves_nothing_behind() {
    let mut cluster = KafkaCluster::start(1);
    cluster.create_topic("kept", 1, &[]);
    cluster.produce("kept", &[text("before")]);
    cluster.kill(1);
    assert!(cluster.pids().is_empty());
    cluster.restart(1);
    cluster.produce("kept", &[text("after the kill")]);
    assert!(cluster.stop(1));
    cluster.restart(1);
    cluster.pause(1);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| cluster.produce("kept", &[text("through the pause")]));
        std::thread::sleep(Duration::from_secs(1));
        assert!(!writer.is_finished(), "a paused broker answered");
        cluster.resume(1);
    });
    assert_eq!(
        values(&cluster.read_committed("kept")),
        ["before", "after the kill", "through the pause"]
    );

    let (pids, dir) = (cluster.pids(), cluster.dir().to_owned());
    assert!(runs(pids[0]) && dir.exists());
    drop(cluster);
    assert!(!runs(pids[0]) && !dir.exists());
}

#[test]
fn a_killed_test_process_takes_its_brokers_with_it() {
    // Runs this test binary with only the test below.
    let mut owner = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--ignored", "--exact", "--nocapture", "cluster_itself::waits_to_be_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let words = std::io::BufReader::new(owner.stdout.take().expect("piped"));
    let line = std::io::BufRead::lines(words)
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("cluster: ")?.to_owned()));
    let line = line.expect("the cluster is up");
    let (pid, dir) = line.split_once(' ').expect("two words");
    let (pid, dir) = (pid.parse().expect("a number"), Path::new(dir));
    assert!(runs(pid) && dir.exists());

    owner.kill().expect("killed");
    owner.wait().expect("ended");
    let deadline = Instant::now() + Duration::from_secs(10);
    while runs(pid) || dir.exists() {
        assert!(Instant::now() < deadline, "the broker {pid} or its directory outlives the test");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "only for `a_killed_test_process_takes_its_brokers_with_it`"]
fn waits_to_be_killed() {
    let cluster = KafkaCluster::start(1);
    println!("\ncluster: {} {}", cluster.pids()[0], cluster.dir().display());
    std::thread::sleep(Duration::from_secs(30));
}

fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|command| command.contains("java.args"))
}
