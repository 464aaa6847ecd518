//! Each dead letter is replayed exactly once, also after crashes and with overlapping filters.

use std::process::Stdio;

use super::{
    Copies, assert_each, broken, counts, delete_records, done, fail, failed, replayed, replays,
    requests, say,
};
use crate::cluster::{NewRecord, shared};
use crate::traffic::stage::{Stage, ready, stop, wait_until};

#[test]
fn a_dead_letter_is_replayed_once_as_it_was_sent() {
    let stage = failed("twice", 30);
    let settings = stage.settings();
    assert_eq!(replayed(&settings, &[]), [30, 0, 0, 0, 0]);
    assert_each(&stage, 30, Copies::Both);
    assert_eq!(replayed(&settings, &["--yes"]), [0, 30, 0, 0, 0]);
    assert_each(&stage, 30, Copies::Both);
}

#[test]
fn a_dry_run_prints_what_would_be_sent_and_sends_nothing() {
    let stage = failed("dry", 9);
    let settings = stage.settings();
    let chosen = ["dlq", "replay", "--dry-run", "--reason", "tombstone"];
    let out = done(&settings, &chosen);
    assert_eq!(counts(&out), [3, 0, 0, 0, 6]);
    let told: Vec<_> = out.lines().filter(|line| line.contains(" tombstone ")).collect();
    let of = |partition: usize| format!("{}:{partition}:2", stage.requests);
    assert!(told.len() == 3 && (0..3).all(|it| told[it].ends_with(&of(it))), "{out}");
    assert_each(&stage, 9, Copies::Sent);
    assert!(shared().committed(&format!("{}-replay", stage.group), &stage.failures).is_empty());
    assert_eq!(replayed(&settings, &chosen[3..]), [3, 0, 0, 0, 6]);
    assert_eq!(counts(&done(&settings, &chosen)), [0, 3, 0, 0, 6]);
}

#[test]
fn overlapping_filters_neither_double_nor_miss_anything() {
    let stage = failed("overlap", 30);
    let settings = stage.settings();
    let until = ["--until", "2025-06-01T00:15:00Z"];
    // Of 30, each reason has ten; 15 are of the first quarter of an hour.
    assert_eq!(replayed(&settings, &until)[..2], [15, 0]);
    let reason = ["--reason", "malformed_json"];
    let [sent, before, ..] = replayed(&settings, &reason);
    assert_eq!((sent + before, before), (12, 6));
    assert_eq!(replayed(&settings, &["--partition", "1", "--limit", "2"])[0], 2);
    assert_eq!(replayed(&settings, &reason)[0], 0);
    let group = format!("{}-replay", stage.group);
    let (marks, ends) =
        (|| shared().committed(&group, &stage.failures), shared().end_offsets(&stage.failures));
    assert!(marks().iter().any(|(partition, mark)| mark < &ends[partition]));
    let [sent, before, ..] = replayed(&settings, &[]);
    assert_eq!(sent + before, 30);
    assert_each(&stage, 30, Copies::Both);
    // Nothing is left to replay.
    assert_eq!(marks(), ends);
}

#[test]
fn a_killed_replay_continues_without_doubling_or_losing_anything() {
    let stage = failed("killed", 60);
    let settings = stage.settings();
    for (share, rate) in [(10, "5"), (25, "3")] {
        let mut slow = settings
            .command(&["dlq", "replay", "--rate", rate])
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        wait_until("a part is sent", || requests(&stage).len() >= 60 + share);
        slow.kill().expect("it ran");
        slow.wait().expect("it ended");
        let sent = requests(&stage).len() - 60;
        assert!(sent < 60, "it was killed too late");
    }
    let sent = requests(&stage).len() as u64 - 60;
    assert_eq!(replayed(&settings, &["--rate", "0"]), [60 - sent, sent, 0, 0, 0]);
    assert_each(&stage, 60, Copies::Both);
}

#[test]
fn of_two_concurrent_replays_the_first_exits_with_75_and_nothing_is_doubled() {
    let stage = failed("both", 60);
    let settings = stage.settings();
    let slow = settings
        .command(&["dlq", "replay", "--rate", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    wait_until("a part is sent", || requests(&stage).len() > 60);
    assert_eq!(replayed(&settings, &[])[2..], [0, 0, 0]);
    let ended = slow.wait_with_output().expect("it ended");
    let words = String::from_utf8_lossy(&ended.stderr);
    // Kafka 4.3.1 may fail itself if a commit arrives while its producer is being fenced.
    let (code, reason) = if words.contains("EndTxn commit failed: Unknown broker error") {
        (1, "Run it again")
    } else {
        (75, "another replay of this group")
    };
    assert_eq!(ended.status.code(), Some(code), "{words}");
    assert!(words.contains(reason), "{words}");
    assert_each(&stage, 60, Copies::Both);
}

#[test]
fn no_transaction_holds_more_than_the_rate_allows_in_a_second() {
    let stage = failed("rate", 21);
    let before = shared().end_offsets(&stage.requests);
    assert_eq!(replayed(&stage.settings(), &["--rate", "3"])[0], 21);
    // The seven requests of a partition take three transactions, each with a commit marker in the
    // topic.
    for (partition, end) in shared().end_offsets(&stage.requests) {
        assert_eq!(end - before[&partition], 7 + 3, "partition {partition}");
    }
}

#[test]
fn foreign_records_are_not_replayed_and_block_nothing() {
    let stage = Stage::new(shared(), "foreign", 3);
    let foreign = NewRecord {
        key: Some(b"x".to_vec()),
        value: Some(b"hello".to_vec()),
        partition: Some(0),
        ..NewRecord::default()
    };
    shared().produce(&stage.failures, &[foreign]);
    shared().produce(&stage.requests, &broken(3));
    let program = ready(&stage.settings());
    wait_until("all have failed", || shared().read_committed(&stage.failures).len() == 4);
    stop(program);
    let said = say(&stage.settings(), &["dlq", "replay"]);
    assert_eq!(counts(&said.out), [3, 0, 0, 1, 0]);
    assert_eq!(said.words, "skipped     0:0: not a dead letter\n");
    assert_eq!(replayed(&stage.settings(), &[]), [0, 3, 0, 0, 0]);
    assert_each(&stage, 3, Copies::Both);
}

#[test]
fn requests_are_partitioned_by_key_if_their_partition_does_not_exist() {
    let stage = failed("fewer", 6);
    let narrow = Stage::with(shared(), "narrow", [1, 1, 1]);
    let settings = stage.settings().set("topics.requests", &narrow.requests);
    assert_eq!(replayed(&settings, &[])[0], 6);
    let mut keys: Vec<_> = requests(&narrow).into_iter().map(|record| record.key).collect();
    keys.sort();
    let sent = broken(6).into_iter().map(|record| record.key);
    assert_eq!(keys, sent.collect::<Vec<_>>());
}

#[test]
fn an_original_that_the_brokers_refuse_is_named_and_everything_before_it_is_sent() {
    let stage = Stage::new(shared(), "refused", 1);
    let request = |number: u8, length| NewRecord {
        partition: Some(0),
        key: Some(vec![number]),
        // Nothing that a compression makes small.
        value: Some(
            (0..length).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect(),
        ),
        ..NewRecord::default()
    };
    let sent = [request(1, 10), request(2, 10), request(3, 50_000), request(4, 10)];
    let failures = fail(&stage, &stage.settings(), &sent);
    let narrow = Stage::named(shared(), "refusing");
    shared().create_topic(&narrow.requests, 1, &[("max.message.bytes", "2000")]);
    let settings = stage
        .settings()
        .set("topics.requests", &narrow.requests)
        .set("kafka.producer.compression_type", "none");
    let said = say(&settings, &["dlq", "replay"]);
    assert_eq!(said.code, Some(1), "{}", said.words);
    let place = format!("refuse the original of dead letter 0:{}", failures[2].offset);
    assert!(said.words.contains(&place), "{}", said.words);
    assert_eq!(requests(&narrow).len(), 2);
}

#[test]
fn too_many_different_filters_are_refused_before_anything_is_sent() {
    let stage = failed("rules", 6);
    let settings = stage.settings();
    // With 100 keys in it, each rule is so long that the offset's metadata has room for few.
    let refused = (0..3).find_map(|round| {
        // Different keys, so that no rule covers another.
        let keys: Vec<_> = (0..100).map(|key| format!("{round} {key}")).collect();
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let replay = ["dlq", "replay", "--partition", "0"].into_iter().chain(keys);
        let said = say(&settings, &replay.collect::<Vec<_>>());
        (said.code != Some(0)).then_some((round, said.words))
    });
    let (round, words) = refused.expect("a limit");
    assert!(round > 0, "one filter is not too many: {words}");
    assert!(words.contains("once without a filter for this partition (--partition 0)"), "{words}");
    assert_eq!(replayed(&settings, &[])[2..], [0, 0, 0]);
    assert_each(&stage, 6, Copies::Both);
}

#[test]
fn a_replay_after_a_fix_gets_its_results() {
    let stage = Stage::new(shared(), "fixed", 3);
    let narrow = stage.settings().set("limits.niks_per_request", "1");
    let sent: Vec<_> = broken(12)
        .into_iter()
        .map(|request| NewRecord {
            value: Some(
                br#"{"nik":["3273010101900001","3273014101900002"],"process":"full"}"#.to_vec(),
            ),
            ..request
        })
        .collect();
    fail(&stage, &narrow, &sent);
    let program = ready(&stage.settings());
    assert_eq!(
        replayed(&stage.settings(), &["--reason", "too_many_niks", "--rate", "5"]),
        [12, 0, 0, 0, 0]
    );
    let (results, failures) = stage.wait_for_outcomes(shared(), 24);
    assert_eq!((results.len(), failures.len()), (12, 12));
    for result in &results {
        let of_it = |request: &&NewRecord| request.key == result.key;
        let request = sent.iter().find(of_it).expect("its request");
        let headers = [request.headers.clone(), vec![replays(1)]].concat();
        assert_eq!((result.timestamp, &result.headers), (request.timestamp, &headers));
        let age = br#""age":35"#; // that day, not today
        let value = result.value.as_deref().expect("text");
        assert!(value.windows(age.len()).any(|window| window == age));
    }
    stop(program);
}

/// The place of the dead letter of request `number` among `broken`.
fn place(stage: &Stage, number: usize) -> String {
    let failures = shared().read_committed(&stage.failures);
    let key = Some(format!("key {number}").into_bytes());
    let failure = failures.iter().rfind(|it| it.key == key).expect("a failure");
    format!("{}:{}", failure.partition, failure.offset)
}

#[test]
fn dead_letters_are_chosen_by_key_and_by_place() {
    let stage = failed("chosen", 12);
    let settings = stage.settings();
    let keys = ["--key", "key 4", "--key", "key 11", "--key", "no such key"];
    let listed = done(&settings, &[&["dlq", "list", "--each", "--json"], &keys[..]].concat());
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert_eq!(replayed(&settings, &keys), [2, 0, 0, 0, 10]);
    let places = [place(&stage, 0), place(&stage, 3), place(&stage, 4)];
    let places = places.iter().flat_map(|place| ["--place", place]).collect::<Vec<_>>();
    let listed = done(&settings, &[&["dlq", "list", "--each", "--json"], &places[..]].concat());
    assert_eq!(listed.lines().count(), 3, "{listed}");
    let [sent, before, ..] = replayed(&settings, &places);
    assert_eq!((sent, before), (2, 1), "one of them has one of the keys");
    let both = [&places[..], &["--reason", "malformed_json"]].concat();
    assert_eq!(replayed(&settings, &both)[..2], [0, 1]);
    let said = say(&settings, &["dlq", "replay", "--place", "0:999"]);
    assert_eq!(said.code, Some(1));
    assert!(said.words.contains("has no dead letter at 0:999"), "{}", said.words);
    let [sent, before, ..] = replayed(&settings, &[]);
    assert_eq!(sent + before, 12);
    assert_each(&stage, 12, Copies::Both);
}

#[test]
fn a_dismissed_dead_letter_is_never_replayed_and_shows_why() {
    let stage = failed("dismissed", 12);
    let settings = stage.settings();
    let dismiss = ["dlq", "dismiss", "--why", "a test of ours", "--reason", "tombstone"];
    let dry = done(&settings, &[&dismiss[..], &["--dry-run"]].concat());
    assert_eq!(counts(&dry), [3, 0, 0, 0, 9]);
    assert_eq!(counts(&done(&settings, &dismiss)), [3, 0, 0, 0, 9]);
    assert_eq!(requests(&stage).len(), 12, "nothing is sent");
    let one = place(&stage, 0);
    let dismiss_one = ["dlq", "dismiss", "--why", "another", "--place", &one];
    assert_eq!(counts(&done(&settings, &dismiss_one))[0], 1);
    let show = |number| done(&settings, &["dlq", "show", &place(&stage, number)]);
    assert!(show(7).contains("\nreplay     dismissed: a test of ours\n"), "{}", show(7));
    assert!(show(1).contains("\nreplay     open: not sent again\n"), "{}", show(1));
    assert_eq!(replayed(&settings, &[])[..2], [8, 4]);
    // The notes remain when nothing is left to replay.
    assert!(show(0).contains("\nreplay     dismissed: another\n"), "{}", show(0));
    assert!(show(1).contains("\nreplay     sent again\n"), "{}", show(1));
    let said = say(&settings, &["dlq", "dismiss", "--why", "of 3273010101900001"]);
    assert_eq!((said.code, said.words.contains("3273010101900001")), (Some(2), false));
}

#[test]
fn a_request_says_how_often_it_was_replayed_and_so_do_its_outcomes() {
    let stage = failed("again", 3);
    let settings = stage.settings();
    let program = ready(&settings);
    for round in 1..=2 {
        assert_eq!(replayed(&settings, &[])[0], 3);
        let (_, failures) = stage.wait_for_outcomes(shared(), 3 + 3 * round);
        let count = replays(u32::try_from(round).expect("a few"));
        let counted = failures.iter().filter(|it| it.headers.last() == Some(&count));
        assert_eq!(counted.count(), 3, "{failures:?}");
    }
    stop(program);
    let rows = done(&settings, &["dlq", "list", "--json", "--partition", "0"]);
    let replays = |line: &str| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON")["replays"].clone()
    };
    assert_eq!(rows.lines().map(replays).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn originals_are_read_from_the_requests_topic_only() {
    let stage = Stage::new(shared(), "copied", 1);
    let other = Stage::new(shared(), "secrets", 1);
    let large = NewRecord {
        partition: Some(0),
        key: Some(b"k".to_vec()),
        value: Some(vec![b'x'; 3000]),
        ..NewRecord::default()
    };
    // Its dead letter contains it.
    let small = NewRecord { value: Some(b"{".to_vec()), ..large.clone() };
    let settings = stage.settings().set("limits.result_bytes", "2500");
    fail(&stage, &settings, &[small, large.clone()]);
    shared().produce(&other.requests, &[large]);
    let elsewhere = settings.set("topics.requests", &other.requests);
    let listed = done(&elsewhere, &["dlq", "list", "--each"]);
    assert!(listed.ends_with("  elsewhere\n"), "{listed}");
    let mut place = String::new();
    for (command, sent) in [(&["dlq", "replay", "--dry-run"][..], 0), (&["dlq", "replay"], 1)] {
        let said = say(&elsewhere, command);
        assert_eq!(said.code, Some(1));
        let (_, named) = said.words.split_once("dlq dismiss --place ").expect("the command");
        place = named.chars().take_while(|it| it.is_ascii_digit() || *it == ':').collect();
        assert_eq!(requests(&other).len(), 1 + sent, "what precedes it is sent");
    }
    let dismiss = ["dlq", "dismiss", "--place", &place, "--why", "moved"];
    assert_eq!(counts(&done(&elsewhere, &dismiss))[0], 1);
    assert_eq!(replayed(&elsewhere, &[])[..2], [0, 2]);
    delete_records(&stage.requests, &[0]);
    assert!(done(&stage.settings(), &["dlq", "show", &place]).contains("original   lost"));
}
