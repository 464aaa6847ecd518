//! The requests of a bench: topics that are filled before anything is measured.

use std::time::Duration;

use clap::ValueEnum;
use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::Process;
use nik_wire::generate::{Generator, Options};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode::QueueFull;

use crate::cluster::KafkaCluster;

/// The settings of every topic of the bench: the largest result fits, and nothing is deleted.
pub const TOPIC: [(&str, &str); 2] = [("max.message.bytes", "6000000"), ("retention.ms", "-1")];

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Load {
    /// 3 NIKs, limited.
    W1,
    /// 100 NIKs, limited.
    W2,
    /// 1 NIK, in full.
    W3,
    /// 10,000 NIKs, limited.
    W4,
    /// 3 claims, explained.
    W5,
}

impl Load {
    pub const ALL: [Self; 5] = [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5];

    pub fn niks(self) -> usize {
        match self {
            Self::W1 | Self::W5 => 3,
            Self::W2 => 100,
            Self::W3 => 1,
            Self::W4 => 10_000,
        }
    }

    /// The number of requests in a run, which keep the program busy for some seconds.
    pub fn records(self) -> u64 {
        match self {
            Self::W1 => 2_000_000,
            Self::W2 => 300_000,
            Self::W3 => 1_000_000,
            Self::W4 => 3_000,
            Self::W5 => 500_000,
        }
    }

    fn generator(self) -> Generator {
        let regions = dataset::regions(RetiredCodes::All).expect("the data in the program");
        let process = match self {
            Self::W3 => Process::Full,
            Self::W5 => Process::Explain,
            Self::W1 | Self::W2 | Self::W4 => Process::Limited,
        };
        let options = Options {
            niks_per_request: self.niks(),
            process: Some(process),
            claims: if self == Self::W5 { 1.0 } else { 0.0 },
            mismatch: 0.1,
            ..Options::default()
        };
        Generator::new(&regions, 7, options)
    }
}

/// Requests to be sent. Those that repeat are made beforehand, since making one takes longer than
/// sending it.
pub struct Pool {
    generator: Generator,
    made: Vec<Vec<u8>>,
    /// One request in this many has a sampled `traceparent`.
    pub sampled: Option<u64>,
}

impl Pool {
    /// The number of different requests, which are sent repeatedly; 0 if all differ.
    pub fn of(load: Load, distinct: usize) -> Self {
        let mut pool = Self { generator: load.generator(), made: Vec::new(), sampled: None };
        pool.made = (0..distinct).map(|_| pool.fresh()).collect();
        pool
    }

    fn fresh(&mut self) -> Vec<u8> {
        let mut request = Vec::new();
        self.generator.request(&mut request);
        request
    }
}

/// Creates `topic` and fills it with `records` requests.
pub fn fill(cluster: &KafkaCluster, topic: &str, partitions: usize, records: u64, pool: &mut Pool) {
    cluster.create_topic(topic, partitions, &TOPIC);
    send_all(cluster, topic, partitions, 0..records, pool);
}

/// Sends the requests with these numbers: the number is the key, the partitions take turns.
pub fn send_all(
    cluster: &KafkaCluster,
    topic: &str,
    partitions: usize,
    numbers: std::ops::Range<u64>,
    pool: &mut Pool,
) {
    let producer: ThreadedProducer<DefaultProducerContext> = cluster
        .client()
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.max.bytes", "6000000")
        .create()
        .expect("a producer");
    let count = u64::try_from(partitions).expect("a count");
    for number in numbers {
        let fresh = pool.made.is_empty().then(|| pool.fresh());
        let repeated = || &pool.made[usize::try_from(number).expect("a place") % pool.made.len()];
        let partition = i32::try_from(number % count).expect("a partition");
        let request = fresh.as_ref().unwrap_or_else(repeated);
        let is_sampled = pool.sampled.is_some_and(|every| number % every == 0);
        send(&producer, topic, partition, number, request, is_sampled);
    }
    producer.flush(Duration::from_mins(2)).expect("the broker takes the requests");
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    number: u64,
    request: &[u8],
    is_sampled: bool,
) {
    let key = number.to_be_bytes();
    let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(request);
    if is_sampled {
        let value = format!("00-{:032x}-{:016x}-01", number + 1, number + 1);
        let header = Header { key: "traceparent", value: Some(&value) };
        record = record.headers(OwnedHeaders::new().insert(header));
    }
    while let Err((error, back)) = producer.send(record) {
        assert!(matches!(error, KafkaError::MessageProduction(QueueFull)), "{error}");
        std::thread::sleep(Duration::from_millis(2));
        record = back;
    }
}
