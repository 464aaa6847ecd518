//! The demo's producer of requests: valid, invalid and broken ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::auditor::Audit;
use crate::codec::Limits;
use crate::config::Settings;
use crate::dataset;
use crate::generate::{Fault, Generator, Options};
use crate::region::RetiredCodes;

/// One request in so many is broken.
const BROKEN_EVERY: u64 = 50;
/// The most requests without an outcome: the embedded broker keeps little, and drops the oldest silently.
const OUTSTANDING: u64 = 10_000;

/// How many requests were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub requests: u64,
    pub broken: u64,
}

/// The producer, on a thread of its own.
pub(super) struct Traffic {
    sent: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent>>,
}

impl Traffic {
    /// Starts sending `rate` requests a second.
    pub(super) fn start(
        bootstrap: &str,
        settings: &Settings,
        rate: u32,
        niks_per_request: u32,
        count: Option<u64>,
        audit: Arc<Audit>,
    ) -> Result<Self> {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.max.bytes", "4000000")
            .create()?;
        let options = Options {
            niks_per_request: niks_per_request as usize,
            unreadable: 0.02,
            ..Options::default()
        };
        let regions = dataset::regions(RetiredCodes::None)?;
        let mut work = Work {
            producer,
            generator: Generator::new(&regions, 1, options),
            topic: settings.topics.requests.clone(),
            limits: settings.process().limits,
            audit,
            sent: Arc::default(),
            end: Arc::default(),
        };
        let (sent, end) = (Arc::clone(&work.sent), Arc::clone(&work.end));
        let thread = std::thread::Builder::new()
            .name("traffic".to_owned())
            .spawn(move || work.run(rate, count.unwrap_or(u64::MAX)))?;
        Ok(Self { sent, end, thread })
    }

    /// How many requests were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether all requests it was to send are sent.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the sending; every request sent has reached the broker.
    pub(super) fn finish(self) -> Result<Sent> {
        self.end.store(true, Ordering::SeqCst);
        self.thread
            .join()
            .map_err(|_| anyhow!("the demo's producer panicked"))?
    }
}

struct Work {
    producer: ThreadedProducer<DefaultProducerContext>,
    generator: Generator,
    topic: String,
    limits: Limits,
    audit: Arc<Audit>,
    sent: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
}

impl Work {
    fn run(&mut self, rate: u32, count: u64) -> Result<Sent> {
        let started = Instant::now();
        let (mut requests, mut broken) = (0, 0);
        let mut value = Vec::new();
        while requests < count && !self.end.load(Ordering::Relaxed) {
            let due = started
                + Duration::from_nanos(requests.saturating_mul(1_000_000_000 / u64::from(rate)));
            let now = Instant::now();
            if now < due {
                std::thread::sleep((due - now).min(Duration::from_millis(20)));
                continue;
            }
            if requests >= self.audit.outcomes_of_ours() + OUTSTANDING {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            value.clear();
            if requests % BROKEN_EVERY == BROKEN_EVERY - 1 {
                let fault = Fault::in_turn(usize::try_from(broken).unwrap_or(0));
                broken += 1;
                let value = self.generator.broken(fault, self.limits);
                self.send(requests, value.as_deref())?;
            } else {
                self.generator.request(&mut value);
                self.send(requests, Some(&value))?;
            }
            requests += 1;
            self.sent.store(requests, Ordering::Relaxed);
        }
        self.producer.flush(Duration::from_secs(30))?;
        Ok(Sent { requests, broken })
    }

    fn send(&self, number: u64, value: Option<&[u8]>) -> Result<()> {
        let key = Audit::key(number);
        let mut record = BaseRecord::to(&self.topic).key(&key);
        record.payload = value;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
