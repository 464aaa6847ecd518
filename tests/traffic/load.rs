//! Requests at a steady rate, each with an id in a header.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::Limits;
use nik_wire::generate::{Fault, Generator, Options};

use super::stage::{End, WAIT_TIMEOUT};
use crate::cluster::{Header, KafkaCluster, NewRecord, Producer};

/// The header that tells the requests of a load apart; outcomes keep it.
pub const ID: &[u8] = b"id";
/// The header of requests whose result the results topic refuses.
pub const OVERSIZE: &[u8] = b"oversize";

/// One request in this many is broken.
const BROKEN_EVERY: usize = 10;
/// The faults of the broken requests, in turn.
const FAULTS: [Fault; 5] =
    [Fault::Tombstone, Fault::Empty, Fault::NotJson, Fault::NotARequest, Fault::UnknownProcess];
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The current time in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("after 1970").as_millis()).expect("a date")
}

/// The key of the request with this number.
pub fn key(number: usize) -> Vec<u8> {
    format!("{number:07}").into_bytes()
}

/// The number in a key.
pub fn number(key: Option<&[u8]>) -> Option<usize> {
    str::from_utf8(key?).ok()?.parse().ok()
}

/// The id in the headers of a request or its outcome; empty if there is none.
pub fn id(headers: &[Header]) -> &[u8] {
    let header = headers.iter().find(|(name, _)| name == ID);
    header.and_then(|(_, value)| value.as_deref()).unwrap_or_default()
}

/// Requests numbered from `first` on: valid, invalid and broken ones of every process, with claims
/// that fit and others that do not. They go to the partitions in turn. Each is dated one day before
/// the one before it; after ten years that begins again.
pub struct Requests {
    generator: Generator,
    partitions: usize,
    next: usize,
    now_ms: i64,
}

impl Requests {
    pub fn new(first: usize, partitions: usize) -> Requests {
        let regions = dataset::regions(RetiredCodes::All).expect("the data in the program");
        let options = Options {
            niks_per_request: 3,
            unreadable: 0.05,
            claims: 0.5,
            mismatch: 0.3,
            ..Options::default()
        };
        Requests {
            generator: Generator::new(&regions, first as u64, options),
            partitions,
            next: first,
            now_ms: now_ms(),
        }
    }
}

impl Iterator for Requests {
    type Item = NewRecord;

    fn next(&mut self) -> Option<NewRecord> {
        let number = self.next;
        self.next += 1;
        let value = if number % BROKEN_EVERY == BROKEN_EVERY - 1 {
            let fault = FAULTS[number / BROKEN_EVERY % FAULTS.len()];
            self.generator.broken(fault, Limits::default())
        } else {
            let mut value = Vec::new();
            self.generator.request(&mut value);
            Some(value)
        };
        let signed = i64::try_from(number).expect("a few requests");
        Some(NewRecord {
            partition: Some(i32::try_from(number % self.partitions).expect("a few partitions")),
            key: Some(key(number)),
            value,
            headers: vec![(ID.to_vec(), Some(key(number)))],
            timestamp: Some(self.now_ms - signed % 3_650 * DAY_MS - signed),
        })
    }
}

/// A producer thread, and everything it sent, in order.
pub struct Load {
    sent: Arc<Mutex<Vec<NewRecord>>>,
    burst: Arc<AtomicUsize>,
    end: End,
    thread: JoinHandle<Producer>,
}

impl Load {
    /// Sends `rate` [`Requests`] a second, numbered from 0.
    pub fn start(cluster: &KafkaCluster, topic: &str, partitions: usize, rate: u32) -> Load {
        Self::of(cluster, topic, Requests::new(0, partitions), rate)
    }

    /// Sends `rate` of these requests a second.
    pub fn of(
        cluster: &KafkaCluster,
        topic: &str,
        mut requests: impl Iterator<Item = NewRecord> + Send + 'static,
        rate: u32,
    ) -> Load {
        let producer = cluster.producer();
        let (sent, end) = (Arc::<Mutex<Vec<NewRecord>>>::default(), End::default());
        let burst = Arc::<AtomicUsize>::default();
        let thread = std::thread::spawn({
            let (sent, burst) = (Arc::clone(&sent), Arc::clone(&burst));
            let (end, topic) = (end.flag(), topic.to_owned());
            move || {
                let mut send_next = || {
                    let request = requests.next().expect("an endless iterator");
                    producer.send(&topic, &request);
                    sent.lock().expect("no panic").push(request);
                };
                let start = Instant::now();
                let mut due = Duration::ZERO;
                let mut refreshed = Instant::now();
                while !end.load(Ordering::Relaxed) {
                    if refreshed.elapsed() > Duration::from_secs(5) {
                        producer.add_brokers();
                        refreshed = Instant::now();
                    }
                    for _ in 0..burst.swap(0, Ordering::Relaxed) {
                        send_next();
                    }
                    if start.elapsed() < due {
                        std::thread::sleep(Duration::from_millis(2));
                    } else {
                        due += Duration::from_secs(1) / rate;
                        send_next();
                    }
                }
                producer
            }
        });
        Load { sent, burst, end, thread }
    }

    /// Sends this many requests at once, in addition to the steady ones.
    pub fn burst(&self, requests: usize) {
        self.burst.fetch_add(requests, Ordering::Relaxed);
    }

    /// The number of requests sent so far.
    pub fn sent(&self) -> usize {
        self.sent.lock().expect("no panic").len()
    }

    /// Waits until `more` further requests have been sent.
    pub fn wait_for(&self, more: usize) {
        let (count, deadline) = (self.sent() + more, Instant::now() + WAIT_TIMEOUT);
        while self.sent() < count {
            assert!(
                Instant::now() < deadline && !self.thread.is_finished(),
                "the load has stopped"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops, and waits until the brokers have acknowledged every request.
    pub fn finish(self) -> Vec<NewRecord> {
        drop(self.end);
        self.thread.join().expect("no panic").flush();
        std::mem::take(&mut *self.sent.lock().expect("no panic"))
    }
}
