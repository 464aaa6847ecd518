//! The ledger of positions: what happens when the group's positions or the ledger are lost or
//! changed.

use std::collections::BTreeMap;

use crate::cluster::{NewRecord, Program, ProgramSettings, shared};
use crate::operators::{done, say};
use crate::traffic::audit::{Differences, assert_exact, differences};
use crate::traffic::load::{Load, Requests};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{
    LEDGER, Stage, TOPIC, WAIT_TIMEOUT, ready, stop, wait_for_obstacle, wait_until,
};
use nik_stream::telemetry::obstacle::Obstacle;

const PARTITIONS: usize = 3;

/// A stage with a ledger, and the requests that were sent to it.
struct Ledgered {
    stage: Stage,
    ledger: String,
    requests: Vec<NewRecord>,
}

impl Ledgered {
    fn new(name: &str) -> Ledgered {
        let stage = Stage::new(shared(), name, PARTITIONS).with_ledger(shared());
        Ledgered { ledger: stage.ledger(), stage, requests: Vec::new() }
    }

    fn settings(&self) -> ProgramSettings {
        self.stage.settings().set("topics.positions", &self.ledger)
    }

    /// With two workers, both could count the difference in a partition that moves between them at
    /// the start.
    fn settings_of_one_worker(&self) -> ProgramSettings {
        self.settings().set("kafka.workers", "1")
    }

    fn create_ledger_again(&self, settings: &[(&str, &str)]) {
        shared().delete_topic(&self.ledger);
        shared().create_topic(&self.ledger, PARTITIONS, settings);
    }

    fn send(&mut self, count: usize) {
        let more: Vec<_> = Requests::new(self.requests.len(), PARTITIONS).take(count).collect();
        shared().produce(&self.stage.requests, &more);
        self.requests.extend(more);
    }

    /// Lets an instance answer `count` further requests, and stops it.
    fn answer(&mut self, count: usize) {
        let program = ready(&self.settings());
        self.send(count);
        self.wait();
        stop(program);
    }

    /// Waits until every request has an outcome.
    fn wait(&self) {
        Reader::start(shared(), &self.stage).wait_for(self.requests.len());
    }

    fn differences(&self) -> Differences {
        differences(&self.requests, &self.stage.outcomes(shared()))
    }

    /// The ledger's latest position of this stage's group, by partition.
    fn entries(&self) -> BTreeMap<i32, i64> {
        let mine = |key: Option<&[u8]>| key == Some(self.stage.group.as_bytes());
        let records = shared().read_committed(&self.ledger);
        let mut entries = BTreeMap::new();
        for record in records.iter().filter(|record| mine(record.key.as_deref())) {
            let value = record.value.as_deref().expect("a value");
            let entry: serde_json::Value = serde_json::from_slice(value).expect("JSON");
            entries.insert(record.partition, entry["next"].as_i64().expect("an offset"));
        }
        entries
    }

    fn assert_positions_agree(&self) {
        let group = shared().committed(&self.stage.group, &self.stage.requests);
        assert_eq!(self.entries(), group);
        assert_eq!(group, shared().end_offsets(&self.stage.requests));
    }

    /// Deletes the positions of the group, as the brokers do when they expire.
    fn forget_positions(&self) {
        shared().delete_group(&self.stage.group);
    }

    /// Sets the group's position of partition 0, as Kafka's own tool does.
    fn reset(&self, offset: i64) {
        shared().commit(&self.stage.group, &self.stage.requests, 0, offset, "");
    }
}

fn counted(program: &Program, kind: &str) -> f64 {
    let name = format!("nik_stream_ledger_differences_total{{kind=\"{kind}\"}}");
    program.metrics()[&name]
}

fn assert_none_counted(program: &Program) {
    for kind in ["behind", "ahead", "missing", "other_topic"] {
        assert!(counted(program, kind) < 0.5, "{kind}");
    }
}

#[test]
fn positions_that_expired_are_taken_from_the_ledger() {
    let mut it = Ledgered::new("expired");
    it.answer(300);
    it.assert_positions_agree();
    it.forget_positions();
    let program = ready(&it.settings_of_one_worker());
    it.send(90);
    it.wait();
    assert_eq!(it.differences(), Differences::default());
    assert!((counted(&program, "missing") - 3.0).abs() < 0.5);
    assert!(program.stderr().contains("ERROR"), "{}", program.stderr());
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn positions_that_were_set_back_are_taken_from_the_ledger() {
    let mut it = Ledgered::new("back");
    it.answer(300);
    it.reset(10);
    let program = ready(&it.settings_of_one_worker());
    it.send(90);
    it.wait();
    assert_eq!(it.differences(), Differences::default());
    assert!((counted(&program, "behind") - 1.0).abs() < 0.5);
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn a_position_ahead_of_the_ledger_waits_for_the_operator() {
    let mut it = Ledgered::new("ahead");
    it.answer(300);
    it.send(90); // 30 in partition 0, from offset 100 on
    it.reset(110);
    let program = it.settings_of_one_worker().run();
    wait_until("the others are answered, and readiness names the partition", || {
        let (results, failures) = it.stage.outcomes(shared());
        let reasons = program.get("/readyz").map(|(_, reasons)| reasons).unwrap_or_default();
        results.len() + failures.len() == 360
            && reasons.contains("partition 0 is not read")
            && reasons.contains("positions accept 0")
    });
    wait_for_obstacle(&program, Obstacle::AheadOfLedger, "partition 0 is not read");
    assert!((counted(&program, "ahead") - 1.0).abs() < 0.5);
    let shown = done(&it.settings(), &["positions", "show"]);
    let rows: Vec<Vec<_>> = shown.lines().map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["0", "110", "100", "0", "130", "20"], "{shown}");
    assert_eq!(rows[2], ["1", "130", "130", "0", "130", "0"], "{shown}");
    done(&it.settings(), &["positions", "accept", "0"]);
    wait_until("it is read on", || {
        let (results, failures) = it.stage.outcomes(shared());
        results.len() + failures.len() == 380 && program.ready()
    });
    let found = it.differences();
    assert_eq!((found.lost, found.doubled, found.wrong), (10, 0, 0), "{found:?}");
    stop(program);
    it.assert_positions_agree();
}

/// The brokers delete a topic's positions with it, and keep the ledger's entries.
#[test]
fn a_position_that_may_belong_to_a_deleted_topic_waits_for_the_operator() {
    let mut it = Ledgered::new("other-topic");
    it.answer(300);
    let topic = &it.stage.requests;
    shared().delete_topic(topic);
    wait_until("the positions are deleted, too", || {
        shared().create_topic(topic, PARTITIONS, &TOPIC);
        let is_empty = shared().committed(&it.stage.group, topic).is_empty();
        if !is_empty {
            shared().delete_topic(topic);
        }
        is_empty
    });
    it.send(90); // 30 in each partition
    it.reset(10); // without the topic's id
    let program = it.settings_of_one_worker().run();
    wait_until("the others are answered from their beginning", || {
        let (results, failures) = it.stage.outcomes(shared());
        results.len() + failures.len() == 360
    });
    let sentence = "the ledger's position 100 belongs to another topic of this name";
    wait_for_obstacle(&program, Obstacle::LedgerOtherTopic, sentence);
    assert!((counted(&program, "other_topic") - 3.0).abs() < 0.5);
    done(&it.settings(), &["positions", "set", "0:0"]);
    wait_until("it is ready", || program.ready());
    it.wait();
    assert_eq!(it.differences(), Differences::default());
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn the_position_of_a_partition_that_is_read_is_not_set() {
    let mut it = Ledgered::new("read");
    it.answer(90);
    let settings = it.settings();
    let program = ready(&settings);
    let assert_refused = || {
        let said = say(&settings, &["positions", "set", "0:0"]);
        assert_eq!(said.code, Some(1));
        assert!(said.words.contains("an instance reads partition 0"), "{}", said.words);
    };
    assert_refused(); // at the end
    let load = Load::start(shared(), &it.stage.requests, PARTITIONS, 100);
    load.wait_for(100);
    assert_refused();
    load.finish();
    done(&settings, &["positions", "set", "0:0", "--force"]);
    stop(program);
    done(&settings, &["positions", "set", "0:30"]);
}

#[test]
fn two_groups_share_a_ledger() {
    let mut it = Ledgered::new("mine");
    let mut other = Ledgered::new("theirs");
    other.ledger.clone_from(&it.ledger);
    let both = [&it.settings(), &other.settings()].map(ready);
    for _ in 0..5 {
        it.send(60);
        other.send(90);
        it.wait();
        other.wait();
    }
    both.into_iter().for_each(stop);
    it.forget_positions();
    for it in [&mut it, &mut other] {
        it.answer(60);
        assert_eq!(it.differences(), Differences::default());
        it.assert_positions_agree();
    }
}

#[test]
fn an_entry_far_behind_the_end_of_the_ledger_is_found() {
    let mut it = Ledgered::new("far");
    it.answer(30);
    // Other groups' entries, and aborted ones of this group.
    let noise = |key: &str, count| -> Vec<NewRecord> {
        let record = |partition| {
            NewRecord {
            partition: Some(partition),
            key: Some(key.as_bytes().to_vec()),
            value: Some(b"{\"next\":1,\"topic_id\":null,\"leader_epoch\":null,\"transactional_id\":\"\",\"time\":0}".to_vec()),
            ..NewRecord::default()
        }
        };
        (0..3).flat_map(|partition| vec![record(partition); count]).collect()
    };
    shared().produce(&it.ledger, &noise("others", 1500));
    let producer = shared().transactional_producer(&it.stage.group);
    producer.transaction(false, || {
        for record in noise(&it.stage.group, 200) {
            producer.send(&it.ledger, &record);
        }
    });
    it.forget_positions();
    it.answer(30);
    assert_eq!(it.differences(), Differences::default());
    it.assert_positions_agree();
}

#[test]
fn a_ledger_that_is_missing_or_emptied_doubles_nothing() {
    let mut it = Ledgered::new("missing");
    it.answer(90);
    shared().delete_topic(&it.ledger);
    let mut program = it.settings().run();
    let sentence = format!("topic {} does not exist", it.ledger);
    wait_until("readiness names the ledger", || program.is_held_up_by(&sentence));
    it.send(90);
    shared().create_topic(&it.ledger, PARTITIONS, &LEDGER);
    program.wait_ready(WAIT_TIMEOUT);
    it.wait();
    assert_eq!(it.differences(), Differences::default());
    assert_none_counted(&program);
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn nothing_is_committed_while_the_ledger_refuses_its_entries() {
    let mut it = Ledgered::new("refusing");
    // The markers of transactions fit, the entries do not.
    it.create_ledger_again(&[LEDGER[0], ("max.message.bytes", "100")]);
    let program = ready(&it.settings());
    it.send(30);
    let refused = r#"nik_stream_faults_total{cause="entry_refused"}"#;
    wait_until("entries are refused", || program.metrics()[refused] > 0.5);
    assert!(shared().read_committed(&it.stage.results).is_empty());
    it.create_ledger_again(&LEDGER);
    it.wait();
    assert_eq!(it.differences(), Differences::default());
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn a_ledger_that_is_deleted_and_created_again_under_load_loses_and_doubles_nothing() {
    let mut it = Ledgered::new("recreated");
    let program = ready(&it.settings());
    it.send(90);
    it.wait();
    shared().delete_topic(&it.ledger);
    it.send(90);
    shared().create_topic(&it.ledger, PARTITIONS, &LEDGER);
    it.send(90);
    it.wait();
    stop(program);
    it.answer(30);
    assert_eq!(it.differences(), Differences::default());
    it.assert_positions_agree();
}

#[test]
fn added_partitions_are_answered_before_the_ledger_has_them() {
    let mut it = Ledgered::new("grown");
    let mut program = ready(&it.settings());
    it.send(30);
    it.wait();
    for topic in it.stage.topics() {
        shared().grow_topic(topic, PARTITIONS + 1);
    }
    let mut more: Vec<_> = Requests::new(30, PARTITIONS + 1).take(40).collect();
    shared().produce(&it.stage.requests, &more);
    it.requests.append(&mut more);
    it.wait();
    let sentence = format!("topic {} has fewer partitions than {}", it.ledger, it.stage.requests);
    wait_for_obstacle(&program, Obstacle::LedgerTooSmall, &sentence);
    shared().grow_topic(&it.ledger, PARTITIONS + 1);
    program.wait_ready(WAIT_TIMEOUT);
    let mut more: Vec<_> = Requests::new(70, PARTITIONS + 1).take(40).collect();
    shared().produce(&it.stage.requests, &more);
    it.requests.append(&mut more);
    it.wait();
    // Until the program has seen that all topics grew, the key decides on an outcome's partition.
    let differences = Differences { elsewhere: 0, examples: Vec::new(), ..it.differences() };
    assert_eq!(differences, Differences::default());
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn kills_under_load_leave_outcomes_and_both_ledgers_in_agreement() {
    let it = Ledgered::new("killed-ledger");
    let settings = it.settings().set("kafka.instance_id", "only");
    let load = Load::start(shared(), &it.stage.requests, PARTITIONS, 400);
    let reader = Reader::start(shared(), &it.stage);
    for crash in 0..4 {
        let program = ready(&settings); // outcomes of the one before may still arrive
        reader.wait_for(reader.count() + 150 + 31 * crash);
        assert_none_counted(&program);
        program.kill9();
    }
    let program = ready(&settings);
    assert_exact(shared(), &it.stage, load, &reader);
    assert_none_counted(&program);
    stop(program);
    it.assert_positions_agree();
}

#[test]
fn at_least_once_keeps_the_ledger_too() {
    let mut it = Ledgered::new("at-least-once");
    let settings = it.settings().set("delivery.guarantee", "at_least_once");
    let program = ready(&settings);
    it.send(90);
    it.wait();
    stop(program);
    it.assert_positions_agree();
    it.forget_positions();
    let program = ready(&settings);
    it.send(30);
    it.wait();
    stop(program);
    assert_eq!(it.differences(), Differences::default());
    it.assert_positions_agree();
}
