//! A `read_committed` consumer of the outcomes, which runs beside the program.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::load::{now_ms, number};
use super::stage::{End, Stage, WAIT_TIMEOUT};
use crate::cluster::{KafkaCluster, add_brokers};

/// An outcome that was read.
#[derive(Clone, Copy)]
pub struct Seen {
    pub partition: i32,
    /// The number in its key.
    pub number: Option<usize>,
    /// Its timestamp, which is the request's.
    pub sent_ms: i64,
    pub read_ms: i64,
}

/// Reads until dropped.
pub struct Reader {
    seen: Arc<Mutex<Vec<Seen>>>,
    last_error: Arc<Mutex<Option<KafkaError>>>,
    _end: End,
}

impl Reader {
    /// Reads all outcomes of the stage from the beginning of its topics.
    pub fn start(cluster: &KafkaCluster, stage: &Stage) -> Reader {
        let consumer: BaseConsumer = cluster
            .client()
            .set("group.id", "reader") // required by librdkafka, never joined
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for topic in [&stage.results, &stage.failures] {
            for partition in 0..cluster.partitions(topic) {
                list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
            }
        }
        consumer.assign(&list).expect("assigned");
        let bootstrap = cluster.bootstrap();
        let (seen, end) = (Arc::<Mutex<Vec<Seen>>>::default(), End::default());
        let last_error = Arc::<Mutex<Option<KafkaError>>>::default();
        std::thread::spawn({
            let (seen, end) = (Arc::clone(&seen), end.flag());
            let error = Arc::clone(&last_error);
            move || {
                let mut refreshed = Instant::now();
                while !end.load(Ordering::Relaxed) {
                    if refreshed.elapsed() > Duration::from_secs(5) {
                        add_brokers(consumer.client().native_ptr(), &bootstrap);
                        refreshed = Instant::now();
                    }
                    let message = match consumer.poll(Duration::from_millis(50)) {
                        Some(Ok(message)) => message,
                        Some(Err(it)) => {
                            *error.lock().expect("no panic") = Some(it); // a broker may be down
                            continue;
                        }
                        None => continue,
                    };
                    seen.lock().expect("no panic").push(Seen {
                        partition: message.partition(),
                        number: number(message.key()),
                        sent_ms: message.timestamp().to_millis().unwrap_or_default(),
                        read_ms: now_ms(),
                    });
                }
            }
        });
        Reader { seen, last_error, _end: end }
    }

    /// The number of outcomes read so far.
    pub fn count(&self) -> usize {
        self.seen.lock().expect("no panic").len()
    }

    /// The number of outcomes read from each partition.
    pub fn by_partition(&self) -> BTreeMap<i32, i64> {
        let mut counts = BTreeMap::new();
        for seen in &*self.seen.lock().expect("no panic") {
            *counts.entry(seen.partition).or_default() += 1;
        }
        counts
    }

    /// The outcomes read so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits until `count` outcomes have been read in all. The next one must arrive within
    /// [`WAIT_TIMEOUT`]: how long all of them take depends on the machine.
    pub fn wait_for(&self, count: usize) {
        let (mut read, mut deadline) = (0, Instant::now() + WAIT_TIMEOUT);
        while read < count {
            let now = self.count();
            if now > read {
                (read, deadline) = (now, Instant::now() + WAIT_TIMEOUT);
            }
            let error = || self.last_error.lock().expect("no panic").clone();
            assert!(Instant::now() < deadline, "{read} outcomes of {count}, {:?}", error());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
