//! Where the request behind a dead letter is read once it was deleted from its topic.

use super::{Copies, JUNE, broken, delete_records, done, fail, failed, replayed, requests, say};
use crate::cluster::{NewRecord, Record, shared};
use crate::traffic::stage::{Stage, TOPIC, ready, stop};

/// Requests that do not fit into their dead letters.
fn large(numbers: std::ops::Range<u8>) -> Vec<NewRecord> {
    let request = |number| NewRecord {
        partition: Some(i32::from(number % 3)),
        key: Some(vec![number]),
        value: Some(vec![b'x'; 3000]),
        timestamp: Some(JUNE + i64::from(number)),
        ..NewRecord::default()
    };
    numbers.map(request).collect()
}

fn recreate(topic: &str) {
    shared().delete_topic(topic);
    shared().create_topic(topic, 3, &TOPIC);
}

fn show(stage: &Stage, failure: &Record) -> String {
    let place = format!("{}:{}", failure.partition, failure.offset);
    done(&stage.settings(), &["dlq", "show", &place, "--reveal"])
}

#[test]
fn a_deleted_original_is_read_from_its_dead_letter() {
    let stage = failed("kept", 9);
    delete_records(&stage.requests, &[0, 1, 2]);
    let failures = shared().read_committed(&stage.failures);
    for failure in &failures {
        let page = show(&stage, failure);
        let original = "original   deleted from the requests topic; read from the dead letter\n";
        assert!(page.contains(original), "{page}");
        assert!(page.contains("\nvalue      "), "{page}");
    }
    assert_eq!(replayed(&stage.settings(), &[]), [9, 0, 0, 0, 0]);
    // They are sent as they were, without the headers of the dead letters.
    super::assert_each(&stage, 9, Copies::Replayed);
}

#[test]
fn a_record_of_a_recreated_topic_is_not_mistaken_for_the_original() {
    let stage = failed("recreated", 6);
    recreate(&stage.requests);
    // Other requests get the offsets of the originals: with the same keys, but other values or
    // timestamps.
    let others: Vec<_> = broken(6)
        .into_iter()
        .map(|mut request| {
            request.value = request.value.map(|_| b"another".to_vec());
            request.timestamp = Some(JUNE - 1);
            request
        })
        .collect();
    shared().produce(&stage.requests, &others);
    for failure in shared().read_committed(&stage.failures) {
        let page = show(&stage, &failure);
        assert!(page.contains("read from the dead letter") && !page.contains("another"), "{page}");
    }
    assert_eq!(replayed(&stage.settings(), &[])[..3], [6, 0, 0]);
    let sent = requests(&stage);
    let sent = sent.iter().filter(|it| it.timestamp >= Some(JUNE)).count();
    assert_eq!(sent, 6);
}

#[test]
fn a_lost_original_is_reported_once_and_blocks_nothing() {
    let stage = Stage::new(shared(), "lost", 3);
    let settings = stage.settings().set("limits.result_bytes", "2500");
    let failures = fail(&stage, &settings, &large(0..6));
    delete_records(&stage.requests, &[0, 1, 2]);
    fail(&stage, &settings, &large(6..9));
    let page = show(&stage, &failures[0]);
    assert!(page.contains("original   lost: "), "{page}");
    assert!(!page.contains("\nvalue "), "{page}");

    let dry = say(&settings, &["dlq", "replay", "--dry-run"]);
    assert_eq!(super::counts(&dry.out), [3, 0, 6, 0, 0]);
    let said = say(&settings, &["dlq", "replay"]);
    assert_eq!((said.code, super::counts(&said.out)), (Some(0), [3, 0, 6, 0, 0]));
    assert_eq!(said.words.lines().filter(|line| line.starts_with("lost ")).count(), 6);
    for failure in &failures {
        let place = format!("{}:{} ", failure.partition, failure.offset);
        assert!(said.words.contains(&place), "{place}: {}", said.words);
    }
    assert_eq!(requests(&stage).len(), 6);
    let again = say(&settings, &["dlq", "replay"]);
    assert_eq!((super::counts(&again.out), again.words.as_str()), ([0, 9, 0, 0, 0], ""));
}

/// Commits an offset of the replay group in partition 0, as another tool would.
fn set_position(stage: &Stage, offset: i64, note: &str) {
    let group = format!("{}-replay", stage.group);
    shared().commit(&group, &stage.failures, 0, offset, note);
}

#[test]
fn dead_letters_of_a_recreated_topic_do_not_count_as_replayed() {
    let stage = failed("renewed", 6);
    assert_eq!(replayed(&stage.settings(), &[])[0], 6);
    recreate(&stage.failures);
    let requests = broken(6).split_off(3);
    shared().produce(&stage.requests, &requests);
    let program = ready(&stage.settings());
    // The replayed requests fail again, too.
    stage.wait_for_outcomes(shared(), 9);
    stop(program);
    assert_eq!(replayed(&stage.settings(), &[]), [9, 0, 0, 0, 0]);
}

#[test]
fn an_impossible_committed_offset_is_refused_and_one_that_was_set_back_replays_again() {
    let stage = failed("position", 3);
    for (offset, note, expected) in [
        (999, "", "has committed offset 999 in partition 0"),
        (0, "somebody's", "carries metadata that this version of nik-stream"),
    ] {
        set_position(&stage, offset, note);
        for command in [&["dlq", "replay"][..], &["dlq", "replay", "--dry-run"]] {
            let said = say(&stage.settings(), command);
            assert_eq!(said.code, Some(1));
            assert!(said.words.contains(expected), "{}", said.words);
        }
    }
    assert_eq!(requests(&stage).len(), 3);
    for sent in [[3, 0], [1, 2]] {
        set_position(&stage, 0, "");
        assert_eq!(replayed(&stage.settings(), &[])[..2], sent);
    }
}
