//! A `read_committed` reader that runs beside the program and counts the outcomes it sees.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::stage::{End, PATIENCE, Stage};
use crate::cluster::{KafkaCluster, remind_of};

/// The reader, at work until dropped.
pub struct Reader {
    seen: Arc<Mutex<BTreeMap<i32, i64>>>,
    _end: End,
}

impl Reader {
    /// Reads all outcomes of the stage, from the first on.
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
                list.add_partition_offset(topic, partition, Offset::Beginning).expect("a position");
            }
        }
        consumer.assign(&list).expect("assigned");
        let bootstrap = cluster.bootstrap();
        let (seen, end) = (Arc::<Mutex<BTreeMap<i32, i64>>>::default(), End::default());
        std::thread::spawn({
            let (seen, end) = (Arc::clone(&seen), end.flag());
            move || {
                let mut reminded = Instant::now();
                while !end.load(Ordering::Relaxed) {
                    if reminded.elapsed() > Duration::from_secs(5) {
                        remind_of(consumer.client().native_ptr(), &bootstrap);
                        reminded = Instant::now();
                    }
                    // An error is a broker that is away, for a while.
                    let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) else {
                        continue;
                    };
                    let mut seen = seen.lock().expect("no panic");
                    *seen.entry(message.partition()).or_default() += 1;
                }
            }
        });
        Reader { seen, _end: end }
    }

    /// How many outcomes were seen so far.
    pub fn count(&self) -> usize {
        let seen: i64 = self.by_partition().values().sum();
        usize::try_from(seen).expect("a count")
    }

    /// How many were seen of each partition.
    pub fn by_partition(&self) -> BTreeMap<i32, i64> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits until `count` outcomes were seen in all.
    pub fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.count() < count {
            assert!(Instant::now() < deadline, "{} outcomes of {count}", self.count());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
