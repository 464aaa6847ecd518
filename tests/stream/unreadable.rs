//! Records that cannot be read, and topics that change under the program: nothing is skipped or
//! repeated in silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::Offset;

use crate::cluster::{KafkaCluster, NewRecord, Program, ProgramSettings, shared};
use crate::traffic::audit::{Differences, differences};
use crate::traffic::load::Requests;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, TOPIC, ready, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

const REQUEST: &str = r#"{"nik":["3273010101900001"],"process":"full"}"#;

/// A stage, and the requests that were sent to it.
pub struct Sent {
    pub stage: Stage,
    pub requests: Vec<NewRecord>,
}

impl Sent {
    pub fn to(stage: Stage) -> Sent {
        Sent { stage, requests: Vec::new() }
    }

    /// Sends `count` further requests to a partition, in batches of 100.
    pub fn send(&mut self, cluster: &KafkaCluster, partition: i32, count: usize) {
        let more = Requests::new(self.requests.len(), 1).take(count);
        let more: Vec<_> = more.map(|it| NewRecord { partition: Some(partition), ..it }).collect();
        let producer = cluster.batch_producer("lz4");
        for batch in more.chunks(100) {
            producer.send_batch(&self.stage.requests, batch);
        }
        self.requests.extend(more);
    }

    /// Asserts that each of these requests has its outcome, and no other has one.
    pub fn assert_answered(&self, cluster: &KafkaCluster, answered: &[&[NewRecord]]) {
        let found = differences(&answered.concat(), &self.stage.outcomes(cluster));
        assert_eq!(found, Differences::default());
    }
}

/// A broker that was down while batches of its partitions were changed.
struct Damaged {
    cluster: KafkaCluster,
    /// Five batches of 100 in partition 0, of which the second or the last is corrupt, and one in
    /// partition 1.
    corrupt: [Sent; 2],
    /// Three batches of 100, of which the second has an unknown codec.
    undecodable: Sent,
    /// Nine requests whose offsets are swapped, and a batch of 100.
    jumping: Sent,
}

/// A topic of three batches, of which the second is corrupt.
const LETTERS: &str = "letters";

fn damaged() -> &'static Damaged {
    static DAMAGED: OnceLock<Damaged> = OnceLock::new();
    DAMAGED.get_or_init(|| {
        // Several tests at once must not make it lose its leadership.
        let mut cluster = KafkaCluster::start_with(1, "broker.session.timeout.ms=60000\n", &[]);
        let corrupt = [(); 2].map(|()| {
            let mut sent = Sent::to(Stage::new(&cluster, "corrupt", 2));
            sent.send(&cluster, 0, 500);
            sent.send(&cluster, 1, 100);
            sent
        });
        cluster.create_topic(LETTERS, 1, &TOPIC);
        for batch in corrupt[0].requests[..300].chunks(100) {
            cluster.produce_batch(LETTERS, batch, "lz4");
        }
        let mut undecodable = Sent::to(Stage::new(&cluster, "undecodable", 1));
        undecodable.send(&cluster, 0, 300);
        let mut jumping = Sent::to(Stage::new(&cluster, "jump-back", 1));
        jumping.requests = Requests::new(0, 1).take(9).map(short).collect();
        cluster.produce_batch(&jumping.stage.requests, &jumping.requests, "none");
        jumping.send(&cluster, 0, 100);
        let path = |topic: &str| segment(&cluster, topic, 0);
        let changes: [(_, _, Change); 5] = [
            (path(&corrupt[0].stage.requests), 1, corrupt_byte),
            (path(&corrupt[1].stage.requests), 4, corrupt_byte),
            (path(LETTERS), 1, corrupt_byte),
            (path(&undecodable.stage.requests), 1, declare_compressed),
            (path(&jumping.stage.requests), 0, swap_offsets),
        ];
        // Killed, it would look for damage when it starts.
        assert!(cluster.stop(1));
        for (path, batch, change) in changes {
            change_batch(&path, batch, change);
        }
        cluster.restart(1);
        Damaged { cluster, corrupt, undecodable, jumping }
    })
}

/// A request so short that each number in the head of its record is one byte.
fn short(request: NewRecord) -> NewRecord {
    NewRecord {
        key: None,
        value: Some(REQUEST.into()),
        timestamp: Some(1_750_000_000_000),
        ..request
    }
}

/// The first segment of a partition.
pub fn segment(cluster: &KafkaCluster, topic: &str, partition: i32) -> PathBuf {
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

/// A change of the bytes of a batch.
type Change = fn(&mut [u8]);

/// Changes batch `index` of a segment.
fn change_batch(path: &Path, index: usize, change: Change) {
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
fn corrupt_byte(batch: &mut [u8]) {
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

pub fn positions(settings: &ProgramSettings, arguments: &[&str]) -> String {
    let arguments = [&["positions"], arguments].concat();
    let output = settings.command(&arguments).output().expect("runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// Waits until batch `bad` of partition 0 is reported, and skips it. Commands do not pass over such
/// a batch either.
fn assert_a_corrupt_batch_is_not_passed(sent: &Sent, bad: usize) {
    let cluster = &damaged().cluster;
    let stage = &sent.stage;
    let list = stage.settings().set("topics.failures", LETTERS).command(&["dlq", "list"]).output();
    let words = String::from_utf8_lossy(&list.expect("runs").stderr).into_owned();
    assert!(
        words.contains("read partition 0 of topic letters: the batch at 0:100 cannot be read"),
        "{words}"
    );
    let reader = Reader::start(cluster, stage);
    // Another worker that got the partition would count the batch again.
    let settings = stage.settings().set("kafka.workers", "1");
    let program = settings.run();
    wait_for_obstacle(&program, Obstacle::Corrupt, "wrong checksum");
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
    let (before, after) = (&sent.requests[..at], &sent.requests[at + 100..500]);
    let of_other = &sent.requests[500..];
    sent.assert_answered(cluster, &[before, of_other]);
    assert!(
        (metric(&program, "nik_stream_unreadable_records_total{cause=\"corrupt\"}") - 1.0).abs()
            < 0.1
    );
    let end = (at + 100).to_string();
    positions(&settings, &["skip", &format!("0:{at}"), "--to", &end]);
    wait_until("the requests behind the batch are answered", || reader.count() >= 500);
    wait_until("it is ready", || program.ready());
    assert_eq!(cluster.committed(&stage.group, &stage.requests).get(&0).copied(), Some(500));
    stop(program);
    sent.assert_answered(cluster, &[before, after, of_other]);
}

#[test]
fn a_corrupt_batch_stops_its_partition_until_an_operator_skips_it() {
    assert_a_corrupt_batch_is_not_passed(&damaged().corrupt[0], 1);
}

#[test]
fn a_corrupt_last_batch_stops_its_partition_too() {
    assert_a_corrupt_batch_is_not_passed(&damaged().corrupt[1], 4);
}

#[test]
fn a_batch_that_cannot_be_decompressed_stops_its_partition() {
    let Damaged { cluster, undecodable: sent, .. } = damaged();
    let reader = Reader::start(cluster, &sent.stage);
    let settings = sent.stage.settings();
    let program = settings.run();
    let sentence = "the batch at offset 100 cannot be decoded";
    wait_for_obstacle(&program, Obstacle::Undecodable, sentence);
    wait_until("the requests before it are answered", || reader.count() >= 100);
    positions(&settings, &["skip", "0:100", "--to", "200"]);
    wait_until("the requests behind it are answered", || reader.count() >= 200);
    stop(program);
    sent.assert_answered(cluster, &[&sent.requests[..100], &sent.requests[200..]]);
}

/// The program commits what it has read, and reads on after the last committed offset.
#[test]
fn a_partition_whose_offsets_jump_back_stands_and_repeats_nothing() {
    let Damaged { cluster, jumping: sent, .. } = damaged();
    let reader = Reader::start(cluster, &sent.stage);
    // After a rebalance that aborts an epoch, the partition is read again from the epoch's first
    // record on, and the record with a lower offset behind that one is not seen a second time.
    let program = sent.stage.settings().set("kafka.workers", "1").run();
    wait_for_obstacle(&program, Obstacle::OffsetsJumpBack, "offset 1 came after offset 2");
    wait_until("what follows is answered", || reader.count() >= 105);
    wait_until("it is ready", || program.ready());
    let log = program.stderr();
    for (low, high) in [(1, 2), (3, 4), (5, 6), (7, 8)] {
        assert!(log.contains(&format!("offset {low} came after offset {high}")), "{log}");
    }
    stop(program);
    // Those with the offsets 0, 2, 4, 6 and 8, and those behind the batch.
    let read = [0, 1, 3, 5, 7].map(|index| sent.requests[index].clone());
    sent.assert_answered(cluster, &[&read, &sent.requests[9..]]);
}

/// 100 requests that are small as a batch and unpack to more than librdkafka accepts in an answer by
/// default, 100 MB.
fn send_vast_batch(cluster: &KafkaCluster, sent: &mut Sent, codec: &str) {
    let value = format!("{REQUEST}{}", " ".repeat(1_100_000)).into_bytes();
    let requests = Requests::new(sent.requests.len(), 1).take(100);
    let requests: Vec<_> =
        requests.map(|it| NewRecord { value: Some(value.clone()), ..it }).collect();
    cluster.produce_batch(&sent.stage.requests, &requests, codec);
    sent.requests.extend(requests);
}

#[test]
fn a_batch_that_unpacks_to_too_much_stops_its_partition_until_an_operator_skips_it_or_allows_it() {
    std::thread::scope(|scope| {
        for (codec, is_skipped) in [("zstd", true), ("gzip", false), ("lz4", true)] {
            scope.spawn(move || assert_stops_at_a_vast_batch(codec, is_skipped));
        }
    });
}

fn assert_stops_at_a_vast_batch(codec: &str, is_skipped: bool) {
    const UNDECODABLE: &str = "nik_stream_unreadable_records_total{cause=\"undecodable\"}";
    let cluster = shared();
    let mut sent = Sent::to(Stage::new(cluster, "vast", 2));
    sent.send(cluster, 0, 100);
    send_vast_batch(cluster, &mut sent, codec);
    sent.send(cluster, 0, 100);
    sent.send(cluster, 1, 100);
    let stage = &sent.stage;
    assert_eq!(cluster.end_offsets(&stage.requests), [(0, 300), (1, 100)].into());
    let reader = Reader::start(cluster, stage);
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
    let skipped = if is_skipped { 100 } else { 0 };
    wait_until("the requests behind the batch are answered", || reader.count() >= 400 - skipped);
    wait_until("it is ready", || program.ready());
    assert_eq!(cluster.committed(&stage.group, &stage.requests).get(&0).copied(), Some(300));
    stop(program);
    let (before, rest) = sent.requests.split_at(100);
    sent.assert_answered(cluster, &[before, &rest[skipped..]]);
}

#[test]
fn a_topic_that_is_deleted_and_created_again_is_read_from_its_beginning() {
    let cluster = shared();
    for instance in ["", "static"] {
        let mut sent = Sent::to(Stage::new(cluster, "again", 2));
        let reader = Reader::start(cluster, &sent.stage);
        let mut settings = sent.stage.settings();
        if !instance.is_empty() {
            settings = settings.set("kafka.instance_id", instance);
        }
        let program = ready(&settings);
        sent.send(cluster, 0, 300);
        wait_until("the first are answered", || reader.count() >= 300);
        cluster.delete_topic(&sent.stage.requests);
        cluster.create_topic(&sent.stage.requests, 2, &TOPIC);
        sent.send(cluster, 0, 500);
        sent.send(cluster, 1, 200);
        wait_until("all of the new topic are answered", || reader.count() >= 1000);
        stop(program);
        // And a new process goes on where this one ended.
        let program = ready(&settings);
        sent.send(cluster, 1, 100);
        wait_until("later ones are answered", || reader.count() >= 1100);
        stop(program);
        sent.assert_answered(cluster, &[&sent.requests]);
    }
}

#[test]
fn records_deleted_before_they_were_read_are_counted_and_a_position_beyond_the_end_stops() {
    let cluster = shared();
    let mut sent = Sent::to(Stage::new(cluster, "range", 2));
    sent.send(cluster, 0, 600);
    let Stage { requests, group, .. } = &sent.stage;
    let reader = Reader::start(cluster, &sent.stage);
    cluster.delete_records(requests, &[0], Offset::Offset(400));
    let settings = sent.stage.settings();
    cluster.commit(group, requests, 0, 0, "");
    cluster.commit(group, requests, 1, 7, "");
    let program = settings.run();
    wait_until("the rest is answered", || reader.count() >= 200);
    let lost = "nik_stream_unreadable_records_total{cause=\"out_of_range\"}";
    // They are counted each time that the partition starts before the rest is committed: on a busy
    // machine the group may remove the member in between.
    let counted = metric(&program, lost);
    assert!(counted > 399.9 && (counted % 400.0).abs() < 0.1, "{counted}");
    let beyond = "committed offset 7 is beyond the end of the log, 0";
    wait_for_obstacle(&program, Obstacle::BeyondEnd, beyond);
    sent.send(cluster, 1, 3);
    positions(&settings, &["set", "1:0"]);
    wait_until("the partition is read", || reader.count() >= 203);
    wait_until("it is ready", || program.ready());
    let shown = positions(&settings, &["show"]);
    assert!(
        shown
            .lines()
            .any(|line| line.split_whitespace().eq(["0", "600", "none", "400", "600", "0"])),
        "{shown}"
    );
    stop(program);
    sent.assert_answered(cluster, &[&sent.requests[400..]]);
}
