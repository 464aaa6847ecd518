//! Records that cannot be read, and topics that change under the program: nothing is skipped or
//! repeated in silence.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::cluster::{KafkaCluster, Program, ProgramSettings, shared};
use crate::traffic::load::now_ms;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, held_by, ready, stop, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

const REQUEST: &str = r#"{"nik":["3273010101900001"],"process":"full"}"#;

/// Sends `count` requests to a partition, in batches of 100.
fn send(cluster: &KafkaCluster, topic: &str, partition: i32, count: usize) {
    let producer: ThreadedProducer<DefaultProducerContext> = cluster
        .client()
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "60000") // flush sends the batch
        .create()
        .expect("a producer");
    for index in 0..count {
        let key = format!("{partition}-{index}");
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(REQUEST);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        if (index + 1) % 100 == 0 {
            producer.flush(WAIT_TIMEOUT).expect("the broker accepts the batch");
        }
    }
    producer.flush(WAIT_TIMEOUT).expect("the broker accepts the batch");
}

/// The first segment of a partition.
fn segment(cluster: &KafkaCluster, topic: &str, partition: i32) -> PathBuf {
    let name = format!("{topic}-{partition}");
    let mut dirs = vec![cluster.dir().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("readable").flatten() {
            let path = entry.path();
            if path.file_name().is_some_and(|it| it == name.as_str()) {
                return path.join("00000000000000000000.log");
            }
            if path.is_dir() {
                dirs.push(path);
            }
        }
    }
    panic!("no folder {name}");
}

/// Changes batch `index` of a segment.
fn change(path: &std::path::Path, index: usize, change: fn(&mut [u8])) {
    let mut bytes = fs::read(path).expect("readable");
    let mut start = 0;
    for batch in 0.. {
        let length = u32::from_be_bytes(bytes[start + 8..start + 12].try_into().unwrap());
        let length = usize::try_from(length).unwrap() + 12;
        if batch == index {
            change(&mut bytes[start..start + length]);
            break;
        }
        start += length;
    }
    fs::write(path, bytes).expect("writable");
}

/// Flips a byte in the middle of a batch.
fn corrupt(batch: &mut [u8]) {
    batch[batch.len() / 2] ^= 0x55;
}

/// Declares a batch as compressed by an unknown codec, with the right checksum.
fn declare_compressed(batch: &mut [u8]) {
    batch[22] |= 4;
    set_checksum(batch);
}

/// Swaps the offsets of the records after the first, pair by pair, in a batch without compression.
fn swap_offsets(batch: &mut [u8]) {
    // A record begins with its length, attributes, and the differences of its timestamp and offset
    // to the batch's. All but the attributes are varints, here of one byte: twice the number.
    let mut start = 61;
    for index in 0_u8.. {
        let Some(&length) = batch.get(start) else { break };
        let swapped = if index % 2 == 1 { index + 1 } else { index.saturating_sub(1) };
        assert_eq!(batch[start + 3], 2 * index);
        batch[start + 3] = 2 * swapped;
        start += 1 + usize::from(length) / 2;
    }
    set_checksum(batch);
}

fn set_checksum(batch: &mut [u8]) {
    let crc = batch[21..].iter().fold(!0_u32, |crc, byte| {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), step)
    });
    batch[17..21].copy_from_slice(&(!crc).to_be_bytes());
}

/// A metric, with its labels.
fn metric(program: &Program, name: &str) -> f64 {
    program.metrics().get(name).copied().unwrap_or(0.0)
}

fn problems(program: &Program) -> String {
    program.get("/readyz").map_or_else(String::new, |(_, body)| body)
}

fn positions(settings: &ProgramSettings, arguments: &[&str]) -> String {
    let arguments = [&["positions"], arguments].concat();
    let output = settings.command(&arguments).output().expect("runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// Five batches of 100 in partition 0, of which `bad` is corrupt, and 100 requests in partition 1.
/// Commands do not pass over such a batch either.
fn assert_a_corrupt_batch_is_not_passed(bad: usize) {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "corrupt", 2);
    send(&cluster, &stage.requests, 0, 500);
    send(&cluster, &stage.requests, 1, 100);
    cluster.create_topic("letters", 1, &[]);
    send(&cluster, "letters", 0, 300);
    let path = segment(&cluster, &stage.requests, 0);
    let letters = segment(&cluster, "letters", 0);
    cluster.stop(1);
    change(&path, bad, corrupt);
    change(&letters, 1, corrupt);
    cluster.restart(1);
    let list =
        stage.settings().set("topics.failures", "letters").command(&["dlq", "list"]).output();
    let words = String::from_utf8_lossy(&list.expect("runs").stderr).into_owned();
    assert!(
        words.contains("read partition 0 of topic letters: the batch at 0:100 cannot be read"),
        "{words}"
    );
    let reader = Reader::start(&cluster, &stage);
    // Another worker that got the partition would count the batch again.
    let settings = stage.settings().set("kafka.workers", "1");
    let program = settings.run();
    held_by(&program, Obstacle::Corrupt, "wrong checksum");
    wait_until("the readable requests are answered", || reader.count() >= 100 + 100 * bad);
    let at = 100 * bad;
    let to = if bad == 4 { "OFFSET".to_owned() } else { (at + 100).to_string() };
    let command = format!("nik-stream positions skip 0:{at} --to {to}");
    assert!(problems(&program).contains(&command), "{}", problems(&program));
    // Meanwhile it has tried again.
    let waiting = f64::from(u16::try_from(500 - at).expect("at most 500"));
    wait_until("what waits in the partition is counted", || {
        (metric(&program, "nik_stream_lag_records{partition=\"0\"}") - waiting).abs() < 0.1
    });
    assert_eq!(reader.count(), 100 + 100 * bad, "nothing twice, nothing behind the batch");
    assert!(
        (metric(&program, "nik_stream_unreadable_records_total{cause=\"corrupt\"}") - 1.0).abs()
            < 0.1
    );
    let end = (at + 100).to_string();
    positions(&settings, &["skip", &format!("0:{at}"), "--to", &end]);
    wait_until("the requests behind the batch are answered", || reader.count() == 500);
    wait_until("it is ready", || program.ready());
    assert_eq!(cluster.committed(&stage.group, &stage.requests).get(&0).copied(), Some(500));
    stop(program);
}

#[test]
fn a_corrupt_batch_stops_its_partition_until_an_operator_skips_it() {
    assert_a_corrupt_batch_is_not_passed(1);
}

#[test]
fn a_batch_that_cannot_be_decompressed_stops_its_partition() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "undecodable", 1);
    send(&cluster, &stage.requests, 0, 300);
    let path = segment(&cluster, &stage.requests, 0);
    cluster.stop(1);
    change(&path, 1, declare_compressed);
    cluster.restart(1);
    let reader = Reader::start(&cluster, &stage);
    let settings = stage.settings();
    let program = settings.run();
    held_by(&program, Obstacle::Undecodable, "the batch at offset 100 cannot be decoded");
    wait_until("the requests before it are answered", || reader.count() == 100);
    positions(&settings, &["skip", "0:100", "--to", "200"]);
    wait_until("the requests behind it are answered", || reader.count() == 200);
    stop(program);
}

/// The program commits what it has read, and reads on after the last committed offset.
#[test]
fn a_partition_whose_offsets_jump_back_stands_and_repeats_nothing() {
    let mut cluster = KafkaCluster::start(1);
    let stage = Stage::new(&cluster, "jump-back", 1);
    let producer: ThreadedProducer<DefaultProducerContext> = cluster
        .client()
        .set("linger.ms", "60000") // flush sends the batch
        .create()
        .expect("a producer");
    for _ in 0..9 {
        let record = BaseRecord::<(), str>::to(&stage.requests).payload(REQUEST);
        let record = record.partition(0).timestamp(now_ms());
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(WAIT_TIMEOUT).expect("the broker accepts the batch");
    send(&cluster, &stage.requests, 0, 100);
    let path = segment(&cluster, &stage.requests, 0);
    cluster.stop(1);
    change(&path, 0, swap_offsets);
    cluster.restart(1);
    let reader = Reader::start(&cluster, &stage);
    // After a rebalance that aborts an epoch, the partition is read again from the epoch's first
    // record on, and the record with a lower offset behind that one is not seen a second time.
    let program = stage.settings().set("kafka.workers", "1").run();
    held_by(&program, Obstacle::OffsetsJumpBack, "offset 1 came after offset 2");
    wait_until("what follows is answered", || reader.count() >= 105);
    wait_until("it is ready", || program.ready());
    assert_eq!(reader.count(), 105, "offsets 0, 2, 4, 6, 8, and those behind the batch");
    let log = program.stderr();
    for (low, high) in [(1, 2), (3, 4), (5, 6), (7, 8)] {
        assert!(log.contains(&format!("offset {low} came after offset {high}")), "{log}");
    }
    stop(program);
}

#[test]
fn a_corrupt_last_batch_stops_its_partition_too() {
    assert_a_corrupt_batch_is_not_passed(4);
}

/// Sends 100 records as one batch, which is small and unpacks to more than librdkafka accepts in an
/// answer by default, 100 MB.
fn send_vast_batch(cluster: &KafkaCluster, topic: &str, codec: &str) {
    const MOST: &str = "200000000";
    let producer: ThreadedProducer<DefaultProducerContext> = cluster
        .client()
        .set("compression.type", codec)
        .set("linger.ms", "60000") // flush sends the batch
        .set("batch.size", MOST)
        .set("message.max.bytes", MOST)
        .create()
        .expect("a producer");
    let value = format!("{REQUEST}{}", " ".repeat(1_100_000));
    for _ in 0..100 {
        let record = BaseRecord::<(), str>::to(topic).partition(0).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
    }
    producer.flush(WAIT_TIMEOUT).expect("the broker accepts the batch");
}

#[test]
fn a_batch_that_unpacks_to_too_much_stops_its_partition_until_an_operator_skips_it_or_allows_it() {
    const UNDECODABLE: &str = "nik_stream_unreadable_records_total{cause=\"undecodable\"}";
    let cluster = shared();
    for (codec, is_skipped) in [("zstd", true), ("gzip", false), ("lz4", true)] {
        let stage = Stage::new(cluster, "vast", 2);
        send(cluster, &stage.requests, 0, 100);
        send_vast_batch(cluster, &stage.requests, codec);
        send(cluster, &stage.requests, 0, 100);
        send(cluster, &stage.requests, 1, 100);
        assert_eq!(cluster.end_offsets(&stage.requests), [(0, 300), (1, 100)].into());
        let reader = Reader::start(cluster, &stage);
        // Another worker that got the partition would count the batch again.
        let settings = stage.settings().set("kafka.workers", "1");
        let program = settings.run();
        wait_until("it says why it is not ready", || {
            problems(&program).contains("the batch at offset 100 cannot be decoded")
        });
        wait_until("the readable requests are answered", || reader.count() >= 200);
        let command = "nik-stream positions skip 0:100 --to 200";
        assert!(problems(&program).contains(command), "{}", problems(&program));
        std::thread::sleep(Duration::from_secs(4)); // it has tried again
        assert_eq!(reader.count(), 200, "nothing twice, nothing behind the batch");
        assert!((metric(&program, UNDECODABLE) - 1.0).abs() < 0.1);
        let program = if is_skipped {
            positions(&settings, &["skip", "0:100", "--to", "200"]);
            program
        } else {
            stop(program);
            settings.set("kafka.librdkafka.receive_message_max_bytes", "200000000").run()
        };
        let answered = if is_skipped { 300 } else { 400 };
        wait_until("the requests behind the batch are answered", || reader.count() == answered);
        wait_until("it is ready", || program.ready());
        assert_eq!(cluster.committed(&stage.group, &stage.requests).get(&0).copied(), Some(300));
        stop(program);
    }
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_read_from_its_beginning() {
    let cluster = shared();
    for instance in ["", "static"] {
        let stage = Stage::new(cluster, "again", 2);
        let reader = Reader::start(cluster, &stage);
        let mut settings = stage.settings();
        if !instance.is_empty() {
            settings = settings.set("kafka.instance_id", instance);
        }
        let program = ready(&settings);
        send(cluster, &stage.requests, 0, 300);
        wait_until("the first are answered", || reader.count() == 300);
        cluster.delete_topic(&stage.requests);
        cluster.create_topic(&stage.requests, 2, &[]);
        send(cluster, &stage.requests, 0, 500);
        send(cluster, &stage.requests, 1, 200);
        wait_until("all of the new topic are answered", || reader.count() >= 1000);
        stop(program);
        assert_eq!(reader.count(), 1000);
        // And a new process goes on where this one ended.
        let program = ready(&settings);
        send(cluster, &stage.requests, 1, 100);
        wait_until("later ones are answered", || reader.count() == 1100);
        stop(program);
    }
}

#[test]
fn records_deleted_before_they_were_read_are_counted_and_a_position_beyond_the_end_stops() {
    let cluster = shared();
    let stage = Stage::new(cluster, "range", 2);
    let reader = Reader::start(cluster, &stage);
    send(cluster, &stage.requests, 0, 600);
    cluster.delete_records(&stage.requests, &[0], Offset::Offset(400));
    let settings = stage.settings();
    cluster.commit(&stage.group, &stage.requests, 0, 0, "");
    cluster.commit(&stage.group, &stage.requests, 1, 7, "");
    let program = settings.run();
    wait_until("the rest is answered", || reader.count() == 200);
    let lost = "nik_stream_unreadable_records_total{cause=\"out_of_range\"}";
    // They are counted each time that the partition starts before the rest is committed: on a busy
    // machine the group may remove the member in between.
    let counted = metric(&program, lost);
    assert!(counted > 399.9 && (counted % 400.0).abs() < 0.1, "{counted}");
    let beyond = "committed offset 7 is beyond the end of the log, 0";
    held_by(&program, Obstacle::BeyondEnd, beyond);
    send(cluster, &stage.requests, 1, 3);
    positions(&settings, &["set", "1:0"]);
    wait_until("the partition is read", || reader.count() == 203);
    wait_until("it is ready", || program.ready());
    let shown = positions(&settings, &["show"]);
    assert!(
        shown
            .lines()
            .any(|line| line.split_whitespace().eq(["0", "600", "none", "400", "600", "0"])),
        "{shown}"
    );
    stop(program);
}

#[test]
fn a_log_restored_from_an_older_disk_stops_its_partition() {
    for later in [600, 100] {
        let mut cluster = KafkaCluster::start(1);
        let stage = Stage::new(&cluster, "older", 1);
        let reader = Reader::start(&cluster, &stage);
        let settings = stage.settings();
        let program = ready(&settings);
        send(&cluster, &stage.requests, 0, 500);
        wait_until("500 are answered", || reader.count() == 500);
        let folder = segment(&cluster, &stage.requests, 0).parent().unwrap().to_owned();
        let copy = cluster.dir().join("copy"); // outside of the broker's own
        cluster.stop(1);
        copy_folder(&folder, &copy);
        cluster.restart(1);
        send(&cluster, &stage.requests, 0, 500);
        wait_until("1,000 are answered", || reader.count() == 1000);
        stop(program);
        cluster.stop(1);
        fs::remove_dir_all(&folder).unwrap();
        fs::rename(&copy, &folder).unwrap();
        cluster.restart(1);
        send(&cluster, &stage.requests, 0, later);
        let program = settings.run();
        wait_until("it says why it is not ready", || {
            let problems = problems(&program);
            problems.contains("beyond the end of the log") || problems.contains("was truncated")
        });
        std::thread::sleep(Duration::from_secs(4)); // it has looked again
        assert_eq!(reader.count(), 1000);
        positions(&settings, &["set", "0:500"]);
        wait_until("the new ones are answered", || reader.count() == 1000 + later);
        stop(program);
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
