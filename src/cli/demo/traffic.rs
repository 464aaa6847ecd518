//! The demo's requests: valid, invalid and broken ones, sent on their own thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};

use super::DemoArgs;
use super::auditor::{self, Audit};
use crate::config::Settings;
use crate::kafka::request_producer::{Next, RequestMix, RequestProducer};
use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Generator, Options};

const BROKEN_SHARE: f64 = 0.02;
const UNREADABLE_SHARE: f64 = 0.02;
const CLAIM_SHARE: f64 = 0.8;
const MISMATCH_SHARE: f64 = 0.05;
/// The most requests without an outcome: the embedded broker keeps few records, and silently drops
/// the oldest.
const MAX_OUTSTANDING: u64 = 10_000;

/// How many requests were sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub requests: u64,
    pub broken: usize,
}

pub(super) struct Traffic {
    sent: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent>>,
}

impl Traffic {
    pub(super) fn start(args: &DemoArgs, settings: &Settings, audit: Arc<Audit>) -> Result<Self> {
        let options = Options {
            niks_per_request: args.niks_per_request as usize,
            unreadable: UNREADABLE_SHARE,
            claims: CLAIM_SHARE,
            mismatch: MISMATCH_SHARE,
            ..Options::default()
        };
        let regions = dataset::regions(RetiredCodes::None)?;
        let generator = Generator::new(&regions, 1, options);
        let mut requests = RequestMix::new(generator, settings.process().limits, BROKEN_SHARE);
        let producer = RequestProducer::connect(settings)?;
        let (rate, count) = (args.rate, args.count.unwrap_or(u64::MAX));
        let (sent, end) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let work = {
            let (total, end) = (Arc::clone(&sent), Arc::clone(&end));
            move || {
                producer.send_paced(&mut requests, rate, auditor::key, |sent| {
                    total.store(sent, Ordering::Relaxed);
                    if sent >= count || end.load(Ordering::Relaxed) {
                        Next::Stop
                    } else if sent >= audit.answered() + MAX_OUTSTANDING {
                        Next::Wait
                    } else {
                        Next::Send
                    }
                })?;
                let broken = requests.broken();
                Ok(Sent { requests: total.load(Ordering::Relaxed), broken })
            }
        };
        let thread = std::thread::Builder::new().name("traffic".to_owned()).spawn(work)?;
        Ok(Self { sent, end, thread })
    }

    /// How many requests have been sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Whether `--count` requests have been sent.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Stops sending, and waits until the broker has acknowledged every request.
    pub(super) fn finish(self) -> Result<Sent> {
        self.end.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| anyhow!("the demo's producer panicked"))?
    }
}
