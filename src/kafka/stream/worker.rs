//! One worker: consume, process, produce, commit, in one loop on one thread.
//!
//! Why nothing is lost and nothing is doubled: a record's outcome is handed to the producer before
//! its position enters the epoch ([`OpenEpoch::process`]), the positions are committed in the
//! transaction of the outcomes ([`Worker::commit`]), and a record without an outcome is read again
//! ([`Worker::process_fetched`] and [`Worker::abort_epoch`] seek back to it).

mod commit;
mod outcome;
mod recovery;
mod traced;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nik_wire::process::Outcome;

use super::CLOSE_BUDGET;
use super::breaker::WorkerBreaker;
use super::consumer::{Event, GroupConsumer, Record};
use super::refusals::{By, Refusals};
use super::shared::Shared;
use super::shutdown::Stop;
use crate::config::Guarantee;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::GroupMetadata;
use crate::kafka::client::producer::settle::CONFIRMATION_INTERVAL;
use crate::kafka::client::producer::unsettled::Unsettled;
use crate::kafka::client::producer::{OutputProducer, ProducerSettings, Sent};
use crate::pipeline::Position;
use crate::pipeline::epoch::{Cadence, Epoch};
use crate::pipeline::judge::Judge;
use crate::telemetry::now_ms;
use crate::telemetry::traces::Sampled;

/// The longest wait for a record, because a stop and the breaker are checked in between.
const LONGEST_POLL: Duration = Duration::from_millis(100);
/// How long a batch is processed at most: slow commits inside of it must not delay the answer to a
/// rebalance, nor the next poll.
const LONGEST_BATCH: Duration = Duration::from_secs(1);

/// A worker in two halves, because a record borrows the consumer while it is processed.
pub struct Worker {
    consumer: GroupConsumer,
    open: OpenEpoch,
}

/// The open epoch, and everything that processes its records.
struct OpenEpoch {
    index: usize,
    shared: Arc<Shared>,
    /// The generation of the credentials that its clients use.
    generation: u64,
    judge: Judge,
    producer: OutputProducer,
    breaker: WorkerBreaker,
    epoch: Epoch,
    /// The operator's cadence, with the byte limit of [`Shared::byte_limit`].
    cadence: Cadence,
    /// The outcome that is being sent.
    payload: Vec<u8>,
    /// The record that is being processed and has no outcome yet.
    unfinished: Option<Position>,
    /// The partition of a record that waits until its outcome can be routed.
    unroutable: Option<i32>,
    refusals: Refusals,
    /// The requests of the epoch that get a span once they are committed.
    sampled: Vec<Sampled>,
    /// The group metadata under which the epoch's records are read.
    group_metadata: Option<Arc<GroupMetadata>>,
    /// When the last batch arrived or the last commit returned. Reading the clock is expensive
    /// compared with processing a small request.
    now: Instant,
    /// The same in milliseconds since 1970.
    now_ms: i64,
    last_commit: Instant,
    last_duration: Duration,
    aborts_in_a_row: u32,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Processed {
    /// Its outcome is on its way and its position is in the epoch.
    Done,
    /// It has no outcome yet and must be read again: the breaker is open, or its outcome cannot be
    /// routed yet.
    HeldBack,
}

/// Why a worker ended without a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    /// It starts again with new clients.
    Renewed,
}

impl Worker {
    /// Processes records until `stop` is requested or the credentials were renewed, then commits.
    pub fn run(&mut self, stop: &Stop) -> Result<End, Fault> {
        let end = loop {
            if stop.requested() {
                break End::Stopped;
            }
            if self.open.must_renew() {
                break End::Renewed;
            }
            let done = self.step();
            self.recover(done)?;
        };
        let done = self.commit();
        self.recover(done)?;
        self.open.producer.settle_before_close();
        Ok(end)
    }

    /// Fetches a batch of records, and processes it.
    fn step(&mut self) -> Result<(), Fault> {
        self.pause_or_resume()?;
        let Self { consumer, open } = self;
        consumer.maintain(open.now)?;
        open.prepare(consumer)?;
        let arrived = consumer.fetch(open.time_until_commit().min(LONGEST_POLL));
        open.read_clock();
        if arrived {
            self.process_fetched()?;
        } else if consumer.is_standby() {
            open.set_joined(true);
        }
        if let Some(rebalance) = self.consumer.next_rebalance() {
            return self.rebalance(&rebalance);
        }
        if self.open.is_due(!arrived) { self.commit() } else { Ok(()) }
    }

    /// Processes what was fetched, in order. A record that is held back, the deadline or a fault
    /// ends this early: the rest of the batch is dropped and fetched again. While the consumer is
    /// paused, records that were fetched before the pause may still arrive; they are held back.
    fn process_fetched(&mut self) -> Result<(), Fault> {
        let deadline = self.open.now + LONGEST_BATCH;
        while let Some(event) = self.consumer.next()? {
            match event {
                Event::Record(record) => {
                    if self.consumer.is_paused()
                        || self.open.process(&record)? == Processed::HeldBack
                    {
                        self.consumer.seek([record.position()].into_iter())?;
                    }
                }
                Event::Gap { partition, from, to } => self.open.epoch.note_gap(partition, from, to),
                Event::Interruption(interruption) => {
                    let committed = self.commit(); // what was read of the partition is fine
                    // Also if that fails: librdkafka reports it only once.
                    self.consumer.interrupt(interruption)?;
                    committed?;
                }
            }
            if self.open.is_due(false) {
                self.commit()?;
            }
            if self.open.now > deadline {
                self.consumer.drop_rest()?;
            }
        }
        Ok(())
    }

    /// Commits the epoch's outcomes and positions, in one transaction or the outcomes first, and then
    /// counts it.
    fn commit(&mut self) -> Result<(), Fault> {
        let Self { consumer, open } = self;
        if open.epoch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        match open.shared.policy.guarantee {
            Guarantee::ExactlyOnce => {
                open.send_entries(consumer)?;
                open.flush()?;
                let metadata = open.group_metadata.clone().ok_or(Cause::NotAMember)?;
                let positions = consumer.to_commit(open.epoch.positions());
                open.producer.begin()?; // positions alone open no transaction
                open.producer.commit(positions, metadata)?;
            }
            Guarantee::AtLeastOnce => {
                open.flush()?; // an entry must not be durable before its outcomes
                open.send_entries(consumer)?;
                open.flush()?;
                consumer.commit(open.epoch.positions())?;
            }
        }
        consumer.committed(open.epoch.positions());
        open.committed(started);
        Ok(())
    }
}

impl OpenEpoch {
    /// Processes one record: hands its outcome to the producer and adds its position to the epoch.
    fn process(&mut self, record: &Record<'_>) -> Result<Processed, Fault> {
        let input = &self.receive(record);
        if !self.can_route(input.position.partition) {
            return Ok(self.hold_back(input));
        }
        // The breaker counts a dead letter once, however often it is made smaller.
        let mut allowed = false;
        // Repeated only if the client itself refuses the outcome.
        loop {
            let attempt = self.refusals.attempt(input.position);
            let (outcome, truncation) = self.transform(input, attempt)?;
            if matches!(outcome, Outcome::Failure { .. }) && !allowed {
                allowed = self.breaker.allows(self.epoch.tally());
                if !allowed {
                    return Ok(self.hold_back(input));
                }
            }
            if self.refusals.must_flush(attempt) {
                self.flush()?;
            }
            match self.produce(input, &outcome, truncation, attempt)? {
                Sent::Refused(code) => self.refusals.note(input.position, code, By::Client),
                Sent::Queued => {
                    self.add(input, &outcome, attempt);
                    return Ok(Processed::Done);
                }
            }
        }
    }
}

impl Worker {
    /// Connects the producer, and then joins the group: connecting ends the transaction that a
    /// crash left open, in all partitions, and the committed offsets in it are unstable until then.
    pub fn start(
        index: usize,
        shared: &Arc<Shared>,
        unsettled: &Unsettled,
        stop: &Stop,
    ) -> Result<Self, Fault> {
        let generation = shared.clients.generation();
        let settings = ProducerSettings {
            unsettled: Arc::clone(unsettled),
            ..shared.producer_settings(index)
        };
        let connecting = Arc::new(AtomicBool::new(true));
        let is_stopped = {
            let (stop, connecting) = (stop.clone(), Arc::clone(&connecting));
            let shared = Arc::clone(shared);
            // Brokers that refuse the old credentials would be asked for as long as silent ones.
            let are_old = move || shared.clients.generation() != generation;
            move || stop.requested() || (connecting.load(Ordering::Relaxed) && are_old())
        };
        let producer = OutputProducer::connect(settings, is_stopped)?;
        connecting.store(false, Ordering::Relaxed);
        let consumer = GroupConsumer::join(index, shared)?;
        let now = Instant::now();
        let open = OpenEpoch {
            index,
            shared: Arc::clone(shared),
            generation,
            judge: shared.judge.copy(),
            producer,
            breaker: WorkerBreaker::new(&shared.telemetry.breaker),
            epoch: Epoch::default(),
            cadence: Cadence { bytes: shared.byte_limit.get(), ..shared.policy.cadence },
            payload: Vec::new(),
            unfinished: None,
            unroutable: None,
            refusals: Refusals::default(),
            sampled: Vec::new(),
            group_metadata: None,
            now,
            now_ms: now_ms(),
            last_commit: now,
            last_duration: Duration::ZERO,
            aborts_in_a_row: 0,
        };
        Ok(Self { consumer, open })
    }

    /// Leaves the group within `leave_budget`, and closes the producer.
    pub fn close(self, leave_budget: Duration) {
        let Self { consumer, mut open } = self;
        open.set_joined(false);
        open.abandon_epoch(); // not empty after a fault
        consumer.leave(leave_budget);
        open.producer.close(CLOSE_BUDGET);
    }
}

impl OpenEpoch {
    /// Prepares for the records of a batch. The group metadata is taken before they are fetched:
    /// later it may belong to a newer generation of the group, and would wrongly authorize the
    /// commit of their offsets. An open epoch keeps its older metadata; epochs that begin within
    /// the batch share what was taken here.
    fn prepare(&mut self, consumer: &GroupConsumer) -> Result<(), Fault> {
        if !self.epoch.is_empty() {
            return Ok(());
        }
        // `send` settles before the next transaction, too, but the next record may be far off.
        self.producer.settle_idle()?;
        if self.shared.policy.guarantee == Guarantee::ExactlyOnce {
            self.group_metadata = consumer.group_metadata().map(Arc::new);
        }
        Ok(())
    }

    fn read_clock(&mut self) {
        (self.now, self.now_ms) = (Instant::now(), now_ms());
    }

    /// How long to wait for more records before the epoch is committed, if none arrive. After a
    /// slow commit the next one begins at the earliest after half of the time that it took, so that
    /// the brokers can catch up, but not after the commit interval.
    fn time_until_commit(&self) -> Duration {
        let cadence = &self.shared.policy.cadence;
        let cadence =
            Cadence { min_interval: cadence.min_interval.max(self.last_duration / 2), ..*cadence };
        let left = self.epoch.time_until_commit(&cadence, self.last_commit, self.now);
        // The coordinator accepts the partitions of a transaction only after it has written the
        // markers of the last one. A commit would wait for that; the epoch takes records instead.
        if left.is_zero() && self.producer.awaits_partitions() {
            CONFIRMATION_INTERVAL
        } else {
            left
        }
    }

    /// Whether to commit now. If the input is idle, the epoch is committed earlier.
    fn is_due(&self, idle: bool) -> bool {
        self.epoch.is_due(&self.cadence, self.now) || idle && self.time_until_commit().is_zero()
    }

    /// Whether to start again with new clients: the credentials were renewed, and it is this
    /// worker's turn.
    fn must_renew(&self) -> bool {
        self.generation != self.shared.clients.generation() && self.shared.turn.take(self.index)
    }

    fn set_joined(&self, joined: bool) {
        self.shared.telemetry.health.set_joined(self.index, joined);
        let is_current = self.generation == self.shared.clients.generation();
        if joined && is_current && self.shared.turn.done(self.index) {
            tracing::info!(worker = self.index, "the worker has new clients");
        }
    }
}
