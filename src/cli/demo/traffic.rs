//! The demo's producer of requests: valid, invalid and broken ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::DemoArgs;
use super::auditor::Audit;
use crate::config::Settings;
use crate::kafka::request_producer::RequestProducer;
use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::Limits;
use nik_wire::generate::{Fault, Generator, Options};

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
    /// Starts sending.
    pub(super) fn start(args: &DemoArgs, settings: &Settings, audit: Arc<Audit>) -> Result<Self> {
        let options = Options {
            niks_per_request: args.niks_per_request as usize,
            unreadable: 0.02,
            ..Options::default()
        };
        let regions = dataset::regions(RetiredCodes::None)?;
        let work = Work {
            feed: RequestProducer::connect(settings)?,
            generator: Generator::new(&regions, 1, options),
            limits: settings.process().limits,
            audit,
            sent: Arc::default(),
            end: Arc::default(),
        };
        let (sent, end) = (Arc::clone(&work.sent), Arc::clone(&work.end));
        let (rate, count) = (args.rate, args.count.unwrap_or(u64::MAX));
        let thread = std::thread::Builder::new()
            .name("traffic".to_owned())
            .spawn(move || work.run(rate, count))?;
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
        self.thread.join().map_err(|_| anyhow!("the demo's producer panicked"))?
    }
}

struct Work {
    feed: RequestProducer,
    generator: Generator,
    limits: Limits,
    audit: Arc<Audit>,
    sent: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
}

impl Work {
    fn run(mut self, rate: u32, count: u64) -> Result<Sent> {
        let started = Instant::now();
        let (mut requests, mut broken) = (0, 0);
        while requests < count && !self.end.load(Ordering::Relaxed) {
            let due = started
                + Duration::from_nanos(requests.saturating_mul(1_000_000_000 / u64::from(rate)));
            let now = Instant::now();
            if now < due {
                std::thread::sleep((due - now).min(Duration::from_millis(20)));
                continue;
            }
            if requests >= self.audit.answered() + OUTSTANDING {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let value = if requests % BROKEN_EVERY == BROKEN_EVERY - 1 {
                let fault = Fault::in_turn(usize::try_from(broken).unwrap_or(0));
                broken += 1;
                self.generator.broken(fault, self.limits)
            } else {
                let mut value = Vec::new();
                self.generator.request(&mut value);
                Some(value)
            };
            let key = Audit::key(requests);
            self.feed.send(key.as_bytes(), value.as_deref())?;
            requests += 1;
            self.sent.store(requests, Ordering::Relaxed);
        }
        self.feed.finish()?;
        Ok(Sent { requests, broken })
    }
}
