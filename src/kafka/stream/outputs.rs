//! Where an outcome goes: the output topics, their partition counts and the routing rules.
//!
//! A request may name the topic of its result (request-reply), by the headers of Spring Kafka.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;

use crate::config::Topics;
use crate::kafka::client::c_string;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native::consumer::Record;
use crate::kafka::client::native::{self, each_header};
use crate::kafka::roles::{PerTopic, Role};
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use nik_wire::process::Outcome;

/// The name of the topic that the result is to go to.
const REPLY_TOPIC: &[u8] = b"kafka_replyTopic";
/// Its partition: four bytes, big-endian.
const REPLY_PARTITION: &[u8] = b"kafka_replyPartition";

/// A topic, and what the watch knows about it.
pub struct KnownTopic {
    pub name: String,
    c_name: CString,
    /// The right that the stream needs on it.
    pub right: Right,
    /// 0 until the topic was seen.
    partitions: AtomicI32,
    /// The partitions without a leader.
    leaderless: Mutex<BTreeSet<i32>>,
}

impl KnownTopic {
    fn new(name: &str, needed: Operation) -> Result<Self, Fault> {
        Ok(Self {
            name: name.to_owned(),
            c_name: c_string(name)?,
            right: Right::on_topic(needed, name),
            partitions: AtomicI32::new(0),
            leaderless: Mutex::default(),
        })
    }

    pub fn c_name(&self) -> &CStr {
        &self.c_name
    }

    pub fn partitions(&self) -> i32 {
        self.partitions.load(Ordering::Relaxed)
    }

    pub fn set_partitions(&self, count: i32) {
        self.partitions.store(count, Ordering::Relaxed);
    }

    /// The partitions without a leader, which cannot be read or written.
    pub fn leaderless(&self) -> BTreeSet<i32> {
        self.leaderless.lock().clone()
    }

    pub fn set_leaderless(&self, partitions: BTreeSet<i32>) {
        *self.leaderless.lock() = partitions;
    }

    pub fn has_leader(&self, partition: i32) -> bool {
        !self.leaderless.lock().contains(&partition)
    }
}

/// The requests and all topics that outcomes go to.
pub struct Outputs {
    pub topics: PerTopic<KnownTopic>,
    /// The ledger of positions, if it is kept.
    pub ledger: Option<KnownTopic>,
    /// The topics of `topics.reply_allowed`.
    pub replies: Box<[KnownTopic]>,
    /// The number of request partitions whose outcomes can be routed; 0 until the partition counts
    /// of all three topics and of the ledger are known.
    routable: AtomicI32,
    /// Whether a partition that outcomes or positions go to has no leader.
    lacks_leaders: AtomicBool,
    access: Arc<Access>,
}

/// Where one outcome goes.
pub struct Destination<'a> {
    pub topic: &'a CStr,
    pub partition: i32,
    pub is_reply: bool,
}

/// What a request asks for.
enum ReplyTarget<'a> {
    None,
    NotAllowed,
    Topic(&'a KnownTopic),
}

impl Outputs {
    pub fn new(topics: &Topics, access: &Arc<Access>) -> Result<Self, Fault> {
        let names = PerTopic::names(topics);
        let replies = topics.replies().map(|name| KnownTopic::new(name, Operation::Write));
        let ledger = topics.positions.as_deref();
        let ledger = ledger.map(|name| KnownTopic::new(name, Operation::Write));
        Ok(Self {
            topics: names.try_map(|role, name| KnownTopic::new(name, role.operation()))?,
            ledger: ledger.transpose()?,
            replies: replies.collect::<Result<_, _>>()?,
            routable: AtomicI32::new(0),
            lacks_leaders: AtomicBool::new(false),
            access: Arc::clone(access),
        })
    }

    /// Derives which outcomes can be routed from what the watch has stored about the topics, and
    /// publishes that to the workers. If a ledger is to be kept and does not exist, none can be: no
    /// epoch could be committed.
    pub fn update_routable(&self, ledger_exists: bool) {
        let topics = Role::ALL.iter().map(|&role| &self.topics[role]).chain(&self.ledger);
        let known = topics.into_iter().all(|topic| topic.partitions() > 0);
        let routable = if known && ledger_exists { self.topics.requests.partitions() } else { 0 };
        let lacks_leaders = self.written().any(|topic| !topic.leaderless.lock().is_empty());
        self.lacks_leaders.store(lacks_leaders, Ordering::Relaxed);
        self.routable.store(routable, Ordering::Relaxed);
    }

    /// The topics that outcomes or positions go to.
    fn written(&self) -> impl Iterator<Item = &KnownTopic> {
        Role::OUTPUTS
            .iter()
            .map(|&role| &self.topics[role])
            .chain(&self.replies)
            .chain(&self.ledger)
    }

    /// Whether the outcome of a request in `partition` can be routed now.
    pub fn can_route(&self, partition: i32) -> bool {
        let is_known = partition < self.routable.load(Ordering::Relaxed);
        is_known
            && (!self.lacks_leaders.load(Ordering::Relaxed)
                || self.own_places(partition).all(|(topic, partition)| topic.has_leader(partition)))
    }

    /// The partitions without a leader that outcomes or positions go to.
    pub fn leaderless(&self) -> Vec<(CString, i32)> {
        if !self.lacks_leaders.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let of = |topic: &KnownTopic| {
            topic.leaderless().into_iter().map(|it| (topic.c_name.clone(), it)).collect::<Vec<_>>()
        };
        self.written().flat_map(of).collect()
    }

    /// Whether requests, results and failures have the same number of partitions.
    pub fn counts_agree(&self) -> bool {
        let requests = self.topics.requests.partitions();
        Role::OUTPUTS.iter().all(|&role| self.topics[role].partitions() == requests)
    }

    /// Where `outcome` goes. A result goes to the topic that its request names, if possible and
    /// `reply_allowed`, otherwise to the results: a requester's topic never stops the stream, and
    /// no result is lost. (The name is part of the request, so it is never logged.)
    pub fn route(
        &self,
        record: &Record<'_>,
        outcome: &Outcome,
        reply_allowed: bool,
    ) -> Destination<'_> {
        let (topic, named, is_reply) = match outcome {
            Outcome::Failure { .. } => (&self.topics.failures, None, false),
            Outcome::Result { .. } => match self.reply(record, reply_allowed) {
                Some((topic, partition)) => (topic, partition, true),
                None => (&self.topics.results, None, false),
            },
        };
        let named = named.filter(|named| (0..topic.partitions()).contains(named));
        let routed = || self.partition(topic, record.partition(), record.key());
        Destination { topic: topic.c_name(), partition: named.unwrap_or_else(routed), is_reply }
    }

    /// The partition for the outcome of a request in `partition`: the same one if the topics have
    /// the same number of partitions, otherwise the key's, or without a key `partition` modulo the
    /// number of partitions.
    ///
    /// It is not left to librdkafka, because after an abort it must be known which partitions may
    /// hold records of the transaction.
    fn partition(&self, topic: &KnownTopic, partition: i32, key: Option<&[u8]>) -> i32 {
        match (topic.partitions(), key) {
            (count, _) if self.keeps_partitions(count) => partition,
            (count, Some(key)) => native::partition_of_key(key, count),
            (count, None) => partition % count,
        }
    }

    /// Whether the outcomes in a topic with `count` partitions are in the partitions of their
    /// requests.
    fn keeps_partitions(&self, count: i32) -> bool {
        count == self.topics.requests.partitions() || count == 0
    }

    /// The ledger, if it has a partition of this number. If partitions were added to the requests
    /// and not to the ledger, they have no entries; the watch reports it.
    pub fn ledger_of(&self, partition: i32) -> Option<&KnownTopic> {
        self.ledger.as_ref().filter(|ledger| partition < ledger.partitions())
    }

    /// All partitions that may hold outcomes of requests in `partition`, or their positions.
    /// Those without a leader are among them: a transaction may have written there before.
    pub fn reach(&self, partition: i32) -> impl Iterator<Item = (CString, i32)> {
        // A request may name any partition of its reply topic.
        let replies = self.replies.iter().filter(|topic| !self.access.is_denied(&topic.right));
        let replies = replies.flat_map(|topic| all_partitions(topic).map(move |it| (topic, it)));
        let places = self.own_places(partition).chain(replies);
        places.map(|(topic, partition)| (topic.c_name.clone(), partition))
    }

    /// The same without the replies, which go to the results if they cannot be written.
    fn own_places(&self, partition: i32) -> impl Iterator<Item = (&KnownTopic, i32)> {
        let outputs = Role::OUTPUTS.into_iter().map(move |role| {
            let topic = &self.topics[role];
            let range = if self.keeps_partitions(topic.partitions()) {
                partition..partition + 1
            } else {
                all_partitions(topic)
            };
            (topic, range)
        });
        let ledger = self.ledger_of(partition);
        let ledger = ledger.map(|topic| (topic, partition..partition + 1));
        outputs
            .chain(ledger)
            .flat_map(|(topic, range)| range.map(move |partition| (topic, partition)))
    }

    /// All partitions that may hold outcomes or positions; `None` until they are known.
    pub fn reach_of_all(&self) -> Option<Vec<(CString, i32)>> {
        let requests = self.routable.load(Ordering::Relaxed);
        let reach: BTreeSet<_> = (0..requests).flat_map(|it| self.reach(it)).collect();
        (requests > 0).then(|| reach.into_iter().collect())
    }

    /// The reply topic that a result goes to, and the partition if the request names one.
    fn reply(
        &self,
        record: &Record<'_>,
        reply_allowed: bool,
    ) -> Option<(&KnownTopic, Option<i32>)> {
        let (target, partition) = self.reply_target(record);
        let reason = match target {
            ReplyTarget::None => return None,
            ReplyTarget::NotAllowed => "topics.reply_allowed does not list the topic",
            ReplyTarget::Topic(_) if !reply_allowed => "the topic refuses the record",
            ReplyTarget::Topic(topic) if self.is_writable(topic) => {
                return Some((topic, partition));
            }
            ReplyTarget::Topic(_) => {
                "the topic does not exist, writing to it is denied, or a partition has no leader"
            }
        };
        tracing::warn!(
            partition = record.partition(),
            offset = record.offset(),
            reason,
            "a reply goes to the results instead of the topic that the request names"
        );
        None
    }

    /// The topic and the partition that the request names.
    fn reply_target(&self, record: &Record<'_>) -> (ReplyTarget<'_>, Option<i32>) {
        let (mut target, mut partition) = (ReplyTarget::None, None);
        if self.replies.is_empty() {
            return (target, partition);
        }
        // Of repeated headers the last one counts, as in Kafka's Java client.
        each_header(record, |name, value| match name {
            REPLY_TOPIC => {
                let named = self.replies.iter().find(|it| Some(it.name.as_bytes()) == value);
                target = named.map_or(ReplyTarget::NotAllowed, ReplyTarget::Topic);
            }
            REPLY_PARTITION => {
                let bytes = value.and_then(|value| value.try_into().ok());
                partition = bytes.map(i32::from_be_bytes);
            }
            _ => {}
        });
        (target, partition)
    }

    /// Whether a reply topic exists and can be written to, as far as is known.
    fn is_writable(&self, topic: &KnownTopic) -> bool {
        topic.partitions() > 0
            && !self.access.is_denied(&topic.right)
            && topic.leaderless.lock().is_empty()
    }
}

fn all_partitions(topic: &KnownTopic) -> Range<i32> {
    0..topic.partitions()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    /// Topics with these partition counts; 0: not seen yet.
    fn outputs(requests: i32, results: i32, failures: i32) -> Outputs {
        let mut settings = load_from(&[], std::iter::empty(), |_, _| Ok(())).unwrap().settings;
        settings.topics.reply_allowed = Some("replies".to_owned());
        let access = Arc::new(Access::new(&settings.kafka));
        let outputs = Outputs::new(&settings.topics, &access).unwrap();
        let counts = PerTopic { requests, results, failures };
        for (role, count) in counts.iter() {
            outputs.topics[role].set_partitions(*count);
        }
        outputs.update_routable(true);
        outputs
    }

    #[test]
    fn an_outcome_keeps_its_partition_if_the_counts_agree() {
        let outputs = outputs(6, 6, 4);
        let results = &outputs.topics.results;
        assert_eq!(outputs.partition(results, 5, Some(b"key")), 5);
        assert_eq!(outputs.partition(results, 5, None), 5);
    }

    #[test]
    fn if_the_counts_differ_the_key_decides_or_else_the_partition_modulo_the_count() {
        let outputs = outputs(6, 6, 4);
        let failures = &outputs.topics.failures;
        // murmur2 of Kafka's Java client: -1 for "21", -790332482 for "foobar".
        for (key, partition) in [("21", -973_932_308), ("foobar", -790_332_482), ("", 275_646_681)]
            .map(|(key, hash): (&str, i32)| (key, (hash & i32::MAX) % 4))
        {
            assert_eq!(outputs.partition(failures, 5, Some(key.as_bytes())), partition, "{key}");
        }
        assert_eq!(outputs.partition(failures, 5, None), 1);
        assert!(!outputs.counts_agree());
    }

    #[test]
    fn the_reach_of_a_partition_is_wherever_its_outcomes_may_be() {
        let outputs = outputs(6, 6, 4);
        let names = &outputs.topics;
        let reach: Vec<_> = outputs.reach(5).collect();
        let mut expected = vec![(names.results.c_name.clone(), 5)];
        expected.extend((0..4).map(|partition| (names.failures.c_name.clone(), partition)));
        assert_eq!(reach, expected);
        let all = outputs.reach_of_all().unwrap();
        assert!(all.len() == 10 && expected.iter().all(|it| all.contains(it)), "{all:?}");
    }

    #[test]
    fn the_reach_includes_replies_without_a_leader_which_hold_back_no_outcome() {
        let outputs = outputs(2, 2, 2);
        let replies = &outputs.replies[0];
        replies.set_partitions(2);
        replies.set_leaderless([1].into());
        outputs.update_routable(true);
        assert!(!outputs.is_writable(replies) && outputs.can_route(0));
        let reach: Vec<_> = outputs.reach(0).collect();
        assert_eq!(reach.iter().filter(|it| it.0 == replies.c_name).count(), 2);
    }

    #[test]
    fn outcomes_are_routed_once_the_counts_of_all_three_topics_are_known() {
        assert!(!outputs(6, 0, 6).can_route(0), "results are missing");
        assert!(!outputs(0, 6, 6).can_route(0));
        assert!(outputs(6, 4, 5).can_route(5));
        assert!(!outputs(6, 6, 6).can_route(6), "a partition that was just added");
    }

    #[test]
    fn outcomes_are_routed_where_every_partition_that_they_may_reach_has_a_leader() {
        let outputs = outputs(6, 6, 4);
        let with_leader = || (0..6).filter(|&it| outputs.can_route(it)).collect::<Vec<_>>();
        outputs.topics.results.set_leaderless([2, 5].into());
        outputs.update_routable(true);
        assert_eq!(with_leader(), [0, 1, 3, 4]);
        let results = &outputs.topics.results.c_name;
        assert_eq!(outputs.leaderless(), [(results.clone(), 2), (results.clone(), 5)]);
        outputs.topics.failures.set_leaderless([0].into());
        outputs.update_routable(true);
        assert_eq!(with_leader(), [] as [i32; 0], "the key decides");
        outputs.topics.requests.set_leaderless([1].into());
        for role in Role::OUTPUTS {
            outputs.topics[role].set_leaderless(BTreeSet::new());
        }
        outputs.update_routable(true);
        assert_eq!((with_leader().len(), outputs.leaderless()), (6, Vec::new()));
    }
}
