//! Writes records to a cluster and reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};

use super::raw::{self, Header};
use super::{BROKER_TIMEOUT, KafkaCluster};

/// Offsets by topic and partition.
pub type Ends = BTreeMap<(String, i32), i64>;

/// A record to be sent. The default has no key, a null value, no headers, the current time, and the
/// partitioner's partition.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
    pub timestamp: Option<i64>,
}

impl From<Record> for NewRecord {
    fn from(record: Record) -> NewRecord {
        NewRecord {
            partition: Some(record.partition),
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp: record.timestamp,
        }
    }
}

/// An idempotent producer.
pub struct Producer {
    client: ThreadedProducer<Failures>,
    bootstrap: String,
}

/// The number of records that were not delivered.
#[derive(Default)]
struct Failures(AtomicU64);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Producer {
    /// Puts the record into the queue; waits while it is full.
    pub fn send(&self, topic: &str, record: &NewRecord) {
        while let Err(error) = raw::produce(self.client.client().native_ptr(), topic, record) {
            assert_eq!(error, RDKafkaErrorCode::QueueFull, "could not send to {topic}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends these records as one batch for each partition.
    pub fn send_batch(&self, topic: &str, records: &[NewRecord]) {
        for record in records {
            self.send(topic, record);
        }
        self.flush();
    }

    /// Adds the brokers to a producer that may have forgotten them while they were down.
    pub fn add_brokers(&self) {
        raw::add_brokers(self.client.client().native_ptr(), &self.bootstrap);
    }

    /// Waits until every record has been delivered; panics if one has not.
    pub fn flush(&self) {
        raw::flush(self.client.client().native_ptr(), BROKER_TIMEOUT)
            .expect("the brokers acknowledge the records");
        assert_eq!(
            self.client.context().0.load(Ordering::Relaxed),
            0,
            "records that were not delivered"
        );
    }

    /// Begins a transaction that sends these records, and `next` as the group's position in
    /// partition 0 of `topic`; leaves it open.
    pub fn leave_open(&self, records: &[(&str, NewRecord)], group: &str, topic: &str, next: i64) {
        self.client.begin_transaction().expect("begins");
        for (topic, record) in records {
            self.send(topic, record);
        }
        self.client.flush(BROKER_TIMEOUT).expect("the brokers acknowledge the records");
        let mut positions = TopicPartitionList::new();
        positions.add_partition_offset(topic, 0, Offset::Offset(next)).expect("an offset");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("group.id", group);
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let metadata = consumer.group_metadata().expect("of no member");
        let sent = self.client.send_offsets_to_transaction(&positions, &metadata, BROKER_TIMEOUT);
        sent.expect("the positions are part of the transaction");
    }

    /// Aborts the transaction that was left open.
    pub fn abort(&self) {
        self.client.abort_transaction(BROKER_TIMEOUT).expect("aborts");
    }

    /// Does `work` in a transaction, and commits or aborts it.
    pub fn transaction(&self, commit: bool, work: impl FnOnce()) {
        self.client.begin_transaction().expect("begins");
        work();
        if commit {
            self.client.commit_transaction(BROKER_TIMEOUT).expect("commits");
        } else {
            // All records reach the broker before the abort, so that the test notices a reader that
            // sees aborted records.
            self.client.flush(BROKER_TIMEOUT).expect("the brokers acknowledge the records");
            self.client.abort_transaction(BROKER_TIMEOUT).expect("aborts");
        }
    }
}

impl KafkaCluster {
    pub fn producer(&self) -> Producer {
        self.producer_with(&[])
    }

    fn producer_with(&self, settings: &[(&str, &str)]) -> Producer {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("message.max.bytes", "5000000")
            .set("topic.metadata.refresh.interval.ms", "2000"); // picks up added partitions
        for (name, value) in settings {
            config.set(*name, *value);
        }
        let client = config.create_with_context(Failures::default()).expect("a producer");
        Producer { client, bootstrap: self.bootstrap() }
    }

    /// A producer whose transactional id is initialized.
    pub fn transactional_producer(&self, id: &str) -> Producer {
        self.transactional_producer_for(id, Duration::from_secs(10))
    }

    /// The same with a timeout of its transactions.
    pub fn transactional_producer_for(&self, id: &str, timeout: Duration) -> Producer {
        let mut config = self.client();
        let timeout = timeout.as_millis().to_string();
        config.set("transactional.id", id).set("transaction.timeout.ms", timeout);
        let client: ThreadedProducer<Failures> =
            config.create_with_context(Failures::default()).expect("a producer");
        client.init_transactions(BROKER_TIMEOUT).expect("the coordinator answers");
        Producer { client, bootstrap: self.bootstrap() }
    }

    /// Sends the records and waits until they are delivered.
    pub fn produce(&self, topic: &str, records: &[NewRecord]) {
        let producer = self.producer();
        for record in records {
            producer.send(topic, record);
        }
        producer.flush();
    }

    /// The same, as one batch for each partition.
    pub fn produce_batch(&self, topic: &str, records: &[NewRecord], compression: &str) {
        self.batch_producer(compression).send_batch(topic, records);
    }

    /// A producer for [`Producer::send_batch`].
    pub fn batch_producer(&self, compression: &str) -> Producer {
        const MOST: &str = "200000000";
        self.producer_with(&[
            ("compression.type", compression),
            ("linger.ms", "60000"), // a flush sends the batch
            ("batch.size", MOST),
            ("message.max.bytes", MOST),
        ])
    }

    /// All committed records of a topic, by partition and offset.
    pub fn read_committed(&self, topic: &str) -> Vec<Record> {
        self.read(topic, "read_committed")
    }

    /// All records of a topic, including those of open and aborted transactions.
    pub fn read_uncommitted(&self, topic: &str) -> Vec<Record> {
        self.read(topic, "read_uncommitted")
    }

    /// Whether every transaction in these topics has ended: the last stable offset is the high
    /// watermark.
    pub fn is_settled(&self, topics: &[&str]) -> bool {
        let all = self.ends(topics);
        all.is_some() && all == self.stable_ends(topics)
    }

    /// The ends of all partitions of these topics; `None` if a leader does not answer.
    pub fn ends(&self, topics: &[&str]) -> Option<Ends> {
        self.ends_for(topics, "read_uncommitted")
    }

    /// The same for the last stable offsets.
    pub fn stable_ends(&self, topics: &[&str]) -> Option<Ends> {
        self.ends_for(topics, "read_committed")
    }

    fn ends_for(&self, topics: &[&str], level: &str) -> Option<Ends> {
        let consumer: BaseConsumer =
            self.client().set("isolation.level", level).create().expect("a consumer");
        let mut ends = Ends::new();
        for topic in topics {
            for partition in 0..self.partitions(topic) {
                let marks = consumer.fetch_watermarks(topic, partition, BROKER_TIMEOUT);
                ends.insert(((*topic).to_owned(), partition), marks.ok()?.1);
            }
        }
        Some(ends)
    }

    fn read(&self, topic: &str, isolation: &str) -> Vec<Record> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "reader") // required by librdkafka, never joined
            .set("enable.auto.commit", "false")
            .set("isolation.level", isolation)
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "5")
            // With the default, the broker would wait half a second for new records before it
            // reports the end.
            .set("fetch.wait.max.ms", "5")
            .create()
            .expect("a consumer");
        let mut open: BTreeSet<i32> = (0..self.partitions(topic)).collect();
        assert!(!open.is_empty(), "{topic} does not exist");
        let mut assignment = TopicPartitionList::new();
        for &partition in &open {
            assignment
                .add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&assignment).expect("assigned");

        let (mut records, mut last_error) = (Vec::new(), None);
        let deadline = Instant::now() + 2 * BROKER_TIMEOUT;
        while !open.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{topic} has no end: {} records, partitions {open:?} still open, {last_error:?}",
                records.len()
            );
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: raw::headers(&message),
                    timestamp: message.timestamp().to_millis(),
                }),
                // Reported again whenever the end has moved.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    open.remove(&partition);
                }
                Some(Err(error)) => last_error = Some(error), // a broker may be down for a while
                None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }
}
