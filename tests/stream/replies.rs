//! Request-reply: a result goes to the topic that its request names, if that topic is allowed.

use std::collections::BTreeSet;

use crate::cluster::{NewRecord, Record, shared};
use crate::traffic::stage::{
    Stage, TOPIC, WAIT_TIMEOUT, ready, stop, wait_for_obstacle, wait_until,
};
use nik_stream::telemetry::obstacle::Obstacle;

/// A request with these headers.
fn request(number: usize, headers: &[(&str, Option<&[u8]>)]) -> NewRecord {
    let correlation = ("kafka_correlationId", Some(number.to_be_bytes()));
    let headers = headers.iter().map(|(name, value)| (*name, *value));
    let own = (correlation.0, correlation.1.as_ref().map(<[u8; 8]>::as_slice));
    NewRecord {
        partition: Some(0),
        key: Some(format!("key {number}").into_bytes()),
        value: Some(br#"{"nik":[],"process":"limited"}"#.to_vec()),
        headers: [own]
            .into_iter()
            .chain(headers)
            .map(|(name, value)| (name.as_bytes().to_vec(), value.map(<[u8]>::to_vec)))
            .collect(),
        ..NewRecord::default()
    }
}

/// The numbers of the requests that these outcomes belong to; asserts that their headers are
/// unchanged.
fn numbers(records: &[Record], sent: &[NewRecord]) -> BTreeSet<usize> {
    let number = |record: &Record| {
        let key = record.key.as_ref().expect("a key");
        let place = sent.iter().position(|it| it.key.as_ref() == Some(key));
        let place = place.expect("one of them");
        assert!(record.headers.ends_with(&sent[place].headers), "{record:?}");
        place
    };
    let numbers: BTreeSet<_> = records.iter().map(number).collect();
    assert_eq!(numbers.len(), records.len(), "an outcome is doubled");
    numbers
}

#[test]
fn a_result_goes_to_the_allowed_topic_that_its_request_names_and_otherwise_to_the_results() {
    let stage = Stage::new(shared(), "replies", 1);
    let (reply, other) = (format!("{}.reply", stage.group), format!("{}.no", stage.group));
    shared().create_topic(&reply, 3, &TOPIC);
    shared().create_topic(&other, 1, &TOPIC);
    let to = |topic: &'static str| ("kafka_replyTopic", Some(topic.as_bytes()));
    let allowed = ("kafka_replyTopic", Some(reply.as_bytes()));
    let denied = ("kafka_replyTopic", Some(other.as_bytes()));
    let at = |bytes: &'static [u8]| ("kafka_replyPartition", Some(bytes));
    let mut sent = vec![
        request(0, &[allowed, at(&[0, 0, 0, 2])]),
        request(1, &[at(&[0, 0, 0, 1]), allowed]),
        request(2, &[allowed]),
        request(3, &[allowed, at(&[0, 0, 2])]),
        request(4, &[allowed, at(&[0, 0, 0, 3])]),
        request(5, &[denied, allowed]),
        // The following ones do not go to the reply topic.
        request(6, &[]),
        request(7, &[denied]),
        request(8, &[allowed, denied]),
        request(9, &[("kafka_replyTopic", Some(b"\xff\xfe"))]),
        request(10, &[("kafka_replyTopic", None)]),
        request(11, &[to("")]),
        request(12, &[allowed]),
    ];
    sent[12].value = Some(b"{".to_vec());
    shared().produce(&stage.requests, &sent);
    let program = ready(&stage.settings().set("topics.reply_allowed", &reply));
    wait_until("all are answered", || {
        let topics = [&reply, &stage.results, &stage.failures];
        let counts = topics.map(|topic| shared().read_committed(topic).len());
        counts.iter().sum::<usize>() == sent.len()
    });
    let replies = shared().read_committed(&reply);
    assert_eq!(numbers(&replies, &sent), (0..6).collect());
    let place = |number: usize| {
        let key = Some(format!("key {number}").into_bytes());
        replies.iter().find(|it| it.key == key).expect("there").partition
    };
    assert_eq!((place(0), place(1)), (2, 1));
    let results = shared().read_committed(&stage.results);
    assert_eq!(numbers(&results, &sent), (6..12).collect());
    let failures = shared().read_committed(&stage.failures);
    assert_eq!(numbers(&failures, &sent), BTreeSet::from([12]));
    assert!(shared().read_committed(&other).is_empty());
    let metrics = program.metrics();
    let answered = r#"nik_stream_requests_total{outcome="result",process="limited"}"#;
    assert_eq!(metrics[answered].to_string(), "12", "results in the reply topic count, too");
    stop(program);
}

#[test]
fn without_an_allowed_topic_the_header_is_ignored() {
    let stage = Stage::new(shared(), "no-replies", 1);
    let named = ("kafka_replyTopic", Some(stage.failures.as_bytes()));
    let sent = [request(0, &[named])];
    shared().produce(&stage.requests, &sent);
    let program = stage.run();
    let (results, failures) = stage.wait_for_outcomes(shared(), 1);
    assert_eq!((numbers(&results, &sent).len(), failures.len()), (1, 0));
    stop(program);
}

#[test]
fn a_reply_topic_that_is_missing_or_refuses_the_result_does_not_stop_the_stream() {
    let stage = Stage::new(shared(), "lost-replies", 1);
    let (absent, small) = (format!("{}.absent", stage.group), format!("{}.small", stage.group));
    shared().create_topic(&small, 1, &[("max.message.bytes", "700")]);
    // Random bytes, which compression does not make smaller.
    let mut seed = 88_172_645_463_325_252_u64;
    let padding: Vec<u8> = (0..100)
        .flat_map(|_| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_be_bytes()
        })
        .collect();
    let sent = [
        request(0, &[("kafka_replyTopic", Some(absent.as_bytes()))]),
        request(1, &[("kafka_replyTopic", Some(small.as_bytes())), ("padding", Some(&padding))]),
        request(2, &[("kafka_replyTopic", Some(small.as_bytes()))]),
    ];
    shared().produce(&stage.requests, &sent);
    let allowed = format!("{absent}, {small}");
    let settings = stage.settings().set("topics.reply_allowed", &allowed);
    let program = settings.run();
    let (results, failures) = stage.wait_for_outcomes(shared(), 2);
    assert_eq!(numbers(&results, &sent), BTreeSet::from([0, 1]));
    assert!(failures.is_empty());
    assert_eq!(shared().read_committed(&small).len(), 1);
    let (status, body) = program.get("/readyz").expect("it answers");
    let missing = format!("topic {absent} does not exist (topics.reply_allowed)");
    wait_for_obstacle(&program, Obstacle::ReplyTopic, &missing);
    assert_eq!((status, body.contains(&missing)), (503, true), "{body}");
    let verified = settings.command(&["topics", "verify"]).output().expect("runs");
    let found = String::from_utf8(verified.stdout).expect("text");
    assert!(found.contains(&format!("topic {absent} of topics.reply_allowed")), "{found}");
    // The topic is used as soon as it exists.
    shared().create_topic(&absent, 1, &TOPIC);
    wait_until("the program is ready", || program.ready());
    shared().produce(&stage.requests, &sent[..1]);
    wait_until("the reply is there", || !shared().read_committed(&absent).is_empty());
    stop(program);
}

#[test]
fn replies_are_sent_exactly_once_through_a_crash() {
    const COUNT: usize = 2000;
    let stage = Stage::new(shared(), "crashed-replies", 1);
    let reply = format!("{}.reply", stage.group);
    shared().create_topic(&reply, 2, &TOPIC);
    let allowed = ("kafka_replyTopic", Some(reply.as_bytes()));
    let sent: Vec<_> = (0..COUNT).map(|number| request(number, &[allowed])).collect();
    shared().produce(&stage.requests, &sent);
    let settings = stage
        .settings()
        .set("topics.reply_allowed", &reply)
        .set("kafka.instance_id", "one")
        .set("delivery.commit_records", "50");
    let crashed = settings.run();
    wait_until("some are answered", || !shared().read_committed(&reply).is_empty());
    crashed.kill9();
    let mut program = settings.run();
    program.wait_ready(WAIT_TIMEOUT);
    wait_until("all are answered", || shared().read_committed(&reply).len() >= COUNT);
    stop(program);
    let replies = shared().read_committed(&reply);
    assert_eq!(numbers(&replies, &sent), (0..COUNT).collect());
    let (results, failures) = stage.outcomes(shared());
    assert!(results.is_empty() && failures.is_empty());
}
