//! A `read_committed` reader that notes when it saw each answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::cluster::KafkaCluster;
use crate::traffic::load::now_ms;

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The request's key.
    pub number: usize,
    /// The request's timestamp, which its answer keeps.
    sent_ms: i64,
    /// When the reader saw it.
    pub seen_ms: i64,
}

impl Answer {
    pub fn wait_ms(&self) -> i64 {
        self.seen_ms - self.sent_ms
    }
}

/// The reader, on a thread of its own.
pub struct Tail {
    answers: Arc<Mutex<Vec<Answer>>>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tail {
    pub fn of(cluster: &KafkaCluster, topic: &str, partitions: usize) -> Tail {
        let consumer: BaseConsumer = cluster
            .client()
            .set("group.id", "tail")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "5")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(partitions).unwrap() {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let (answers, end) = (Arc::<Mutex<Vec<Answer>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (answers, end) = (Arc::clone(&answers), Arc::clone(&end));
            move || {
                while !end.load(Ordering::Relaxed) {
                    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                        let number =
                            str::from_utf8(message.key().unwrap()).unwrap().parse().unwrap();
                        let sent_ms = message.timestamp().to_millis().unwrap();
                        answers.lock().unwrap().push(Answer { number, sent_ms, seen_ms: now_ms() });
                    }
                }
            }
        });
        Tail { answers, end, thread: Some(thread) }
    }

    /// All answers, once there are `count`; panics if one is missing or doubled.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Answer> {
        let deadline = Instant::now() + limit;
        while self.answers.lock().unwrap().len() < count && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(500)); // for what should not come
        let answers = self.answers.lock().unwrap().clone();
        let mut numbers: Vec<usize> = answers.iter().map(|answer| answer.number).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..count), "{} answers to {count} requests", answers.len());
        answers
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
