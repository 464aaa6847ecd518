//! Requests of every kind, sent while the faults happen. Each has an identity of its own in the header `id`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Fault, Generator, Options};
use nik_wire::{Limits, Process};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::{KafkaCluster, NewRecord, Producer};

/// The header that tells requests apart, and the one of requests whose result the results topic refuses.
pub const ID: &[u8] = b"id";
pub const OVERSIZE: &[u8] = b"oversize";
/// What the results topic takes: a result of [`OVERSIZE_NIKS`] in full does not fit, however well it is compressed.
pub const RESULTS_LIMIT: &str = "200000";
const OVERSIZE_NIKS: usize = 9_000;

/// The last millisecond of a 29 February in Jakarta, the first of the 1 March after it, and a day long ago.
const MOMENTS: [i64; 3] = [1_709_225_999_999, 1_709_226_000_000, 1_200_000_000_000];

/// The stream of requests, until it is told to finish.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Load {
    /// Begins with about `rate` requests a second.
    pub fn start(cluster: &KafkaCluster, topic: &'static str, rate: u32, seed: u64) -> Load {
        let producer = cluster.producer();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut maker = Maker::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    maker.wave(&producer, topic, rate);
                    sleep(Duration::from_millis(20));
                }
                producer.flush();
                maker.made
            }
        });
        Load { stop, thread }
    }

    /// Ends it; returns how many requests were sent, all of which have arrived.
    pub fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("every request arrives")
    }
}

struct Maker {
    random: ChaCha8Rng,
    ordinary: Vec<Generator>,
    oversize: Generator,
    made: u64,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let regions = dataset::regions(RetiredCodes::All).expect("the regions");
        let generator = |niks_per_request, process| {
            let options = Options { niks_per_request, invalid: 0.3, unreadable: 0.05, process };
            Generator::new(&regions, seed ^ niks_per_request as u64, options)
        };
        Maker {
            random: ChaCha8Rng::seed_from_u64(seed),
            ordinary: [1, 2, 5].map(|niks| generator(niks, None)).into(),
            oversize: generator(OVERSIZE_NIKS, Some(Process::Full)),
            made: 0,
        }
    }

    // The share of 20 ms; sometimes that of two seconds.
    fn wave(&mut self, producer: &Producer, topic: &str, rate: u32) {
        let size = if self.random.random_ratio(1, 500) { 2 * rate } else { rate / 50 };
        for _ in 0..size {
            producer.send(topic, &self.record());
        }
    }

    fn record(&mut self) -> NewRecord {
        let id = self.made;
        self.made += 1;
        let mut headers = vec![(ID.to_vec(), Some(id.to_string().into_bytes()))];
        if self.random.random_ratio(1, 10) {
            headers.push((b"trace".to_vec(), Some(self.random.random::<[u8; 8]>().to_vec())));
            headers.push((b"\xff not UTF-8".to_vec(), None));
            headers.push((b"trace".to_vec(), Some(Vec::new())));
        }
        let draw = self.random.random_range(0..10_000);
        let value = if draw < 5 {
            headers.push((OVERSIZE.to_vec(), None));
            let mut value = Vec::new();
            self.oversize.request(&mut value);
            Some(value)
        } else {
            self.value(draw)
        };
        let key = match self.random.random_range(0..10) {
            0 => None,
            1..3 => Some(format!("shared-{}", self.random.random_range(0..50)).into_bytes()),
            _ => Some(format!("key-{id}").into_bytes()),
        };
        let timestamp = self
            .random
            .random_ratio(1, 20)
            .then(|| MOMENTS[self.random.random_range(0..MOMENTS.len())]);
        NewRecord { key, value, headers, timestamp, ..NewRecord::default() }
    }

    // Failures stay well below the share that opens the breaker.
    fn value(&mut self, draw: u32) -> Option<Vec<u8>> {
        let which = self.random.random_range(0..self.ordinary.len());
        let generator = &mut self.ordinary[which];
        let fault = match draw {
            5 => Fault::TooLarge,
            6 => Fault::ResultTooLarge,
            7..10 => Fault::TooManyNiks,
            10..400 => Fault::Tombstone,
            400..450 => Fault::Empty,
            450..1_000 => Fault::NotJson,
            1_000..1_400 => Fault::NotARequest,
            1_400..1_800 => Fault::UnknownProcess,
            _ => {
                let mut value = Vec::new();
                generator.request(&mut value);
                if draw.is_multiple_of(4) {
                    repeat_first(&mut value);
                }
                return Some(value);
            }
        };
        generator.broken(fault, Limits::default())
    }
}

// The first NIK of the list once more.
fn repeat_first(request: &mut Vec<u8>) {
    let start = request.iter().position(|byte| *byte == b'[').expect("a list") + 1;
    let length = request[start..].iter().position(|byte| b",]".contains(byte)).expect("an element");
    let again = [&request[start..start + length], b","].concat();
    request.splice(start..start, again);
}
