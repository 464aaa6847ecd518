//! One worker: a consumer, the judgement and a producer, joined by one loop on one thread.

mod rebalance;
mod route;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};

use super::CLOSE_BUDGET;
use super::shared::Shared;
use crate::config::Guarantee;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{GroupMetadata, Offsets, Outgoing};
use crate::kafka::client::producer::OutputProducer;
use crate::kafka::dlq::headers::Truncation;
use crate::kafka::limits::AHEAD_MS;
use crate::kafka::stream::consumer::{GroupConsumer, Polled};
use crate::kafka::stream::partitions::Output;
use crate::kafka::stream::refusals::{Fallback, Place, RefusedRecords, tag};
use crate::kafka::stream::shutdown::Stop;
use crate::pipeline::epoch::{Cadence, Epoch};
use crate::telemetry::metrics::Committed;
use crate::telemetry::now_ms;
use nik_wire::process::{Outcome, Processor};

/// The longest wait for a record: a stop, and the breaker, are looked at in between.
const LONGEST_POLL: Duration = Duration::from_millis(100);

/// One worker. A record borrows the source while the batch works on it.
pub struct Worker {
    source: GroupConsumer,
    batch: OpenBatch,
}

/// All of a worker but its source.
struct OpenBatch {
    index: usize,
    shared: Arc<Shared>,
    sink: OutputProducer,
    processor: Processor,
    payload: Vec<u8>,
    epoch: Epoch,
    /// How many of its results the breaker was told of.
    told: u64,
    /// The membership under which the epoch's records were read, taken before the first of them was.
    membership: Option<GroupMetadata>,
    /// When the last poll or commit ended. The clock costs as much as a small part of the judgement: it is read once a record.
    now: Instant,
    last_commit: Instant,
    last_duration: Duration,
    exceptions: RefusedRecords,
    given_up_in_a_row: u32,
}

impl Worker {
    /// Connects and joins the group. The transaction that a crash left open is ended first, and so is what an earlier worker
    /// of this index may have left behind of the records at `left_behind`.
    pub fn start(
        index: usize,
        shared: &Arc<Shared>,
        left_behind: &[(i32, i64)],
    ) -> Result<Self, Fault> {
        let mut sink = OutputProducer::connect(
            &shared.clients.producer(index),
            &shared.clients.access,
            &shared.group,
            index,
            Some(Arc::clone(&shared.metrics)),
        )?;
        shared.sweep(&mut sink, left_behind)?;
        let source = GroupConsumer::join(
            &shared.clients.consumer(index),
            &shared.clients.access,
            &shared.requests,
            index,
            Arc::clone(&shared.metrics),
        )?;
        let batch = OpenBatch {
            index,
            shared: Arc::clone(shared),
            sink,
            processor: shared.processor.clone(),
            payload: Vec::new(),
            epoch: Epoch::default(),
            told: 0,
            membership: None,
            now: Instant::now(),
            last_commit: Instant::now(),
            last_duration: Duration::ZERO,
            exceptions: RefusedRecords::default(),
            given_up_in_a_row: 0,
        };
        Ok(Self { source, batch })
    }

    /// Works until `stop`; then commits what is done.
    pub fn run(&mut self, stop: &Stop) -> Result<(), Fault> {
        while !stop.requested() {
            match self.step(stop) {
                Err(Fault::Abort(cause)) => self.give_up(&cause, None)?,
                done => done?,
            }
        }
        match self.commit() {
            Err(Fault::Abort(cause)) => self.give_up(&cause, None),
            done => done,
        }
    }

    /// Takes one record, or does what else there is to do.
    fn step(&mut self, stop: &Stop) -> Result<(), Fault> {
        self.heed_breaker()?;
        let Self { source, batch } = self;
        source.find_brokers();
        source.start_waiting()?;
        batch.begin(source);
        let polled = source.poll(batch.patience().min(LONGEST_POLL))?;
        batch.now = Instant::now();
        match polled {
            Polled::Record(message) => {
                let taken = if source.is_paused() { Ok(false) } else { batch.take(&message, stop) };
                if matches!(taken, Ok(false) | Err(Fault::Abort(_))) {
                    // It may have no outcome and be in no epoch: it is to come again, before any that stands behind it.
                    source.rewind([(message.partition(), message.offset())].into_iter())?;
                }
                taken?;
            }
            Polled::Changed(change) => return self.rebalance(&change),
            Polled::Drained if batch.patience().is_zero() => return self.commit(),
            Polled::Drained if source.is_in_reserve() => {
                batch.shared.health.set_joined(batch.index, true);
            }
            Polled::Drained => {}
        }
        if self.batch.epoch.is_due(&self.batch.shared.cadence, self.batch.now) {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes the epoch's outcomes and positions safe, in this order, and counts them.
    fn commit(&mut self) -> Result<(), Fault> {
        let Self { source, batch } = self;
        if batch.epoch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        batch.settle()?;
        match batch.shared.guarantee {
            Guarantee::ExactlyOnce => {
                let membership = batch.membership.take();
                let membership = membership.ok_or(Cause::NotAMember)?;
                let positions = Offsets::new(&batch.shared.requests_c, batch.epoch.positions());
                batch.sink.commit(positions, membership)?;
            }
            Guarantee::AtLeastOnce => source.commit(batch.epoch.positions())?,
        }
        source.committed(batch.epoch.positions());
        batch.committed(started);
        Ok(())
    }

    /// Leaves the group, in at most `leave`, and lets the producer go. Returns where the records begin of which something may be left
    /// behind in the outputs.
    pub fn close(self, leave: Duration) -> Vec<(i32, i64)> {
        let Self { source, mut batch } = self;
        batch.shared.health.set_joined(batch.index, false);
        let unswept = Some(&batch.epoch).filter(|_| batch.sink.needs_sweep());
        let left_behind = unswept.map(|epoch| epoch.starts().collect());
        batch.drop_epoch(); // after a fault
        source.leave(leave);
        batch.sink.close(CLOSE_BUDGET);
        left_behind.unwrap_or_default()
    }
}

impl OpenBatch {
    /// Notes the membership before the first record of an epoch is read: a membership taken later could be one that the
    /// records were not read under, and would lend them its fence.
    fn begin(&mut self, source: &GroupConsumer) {
        if self.epoch.is_empty() && self.shared.guarantee == Guarantee::ExactlyOnce {
            self.membership = source.membership();
        }
    }

    /// How long to wait for the next record. Commits that take long come less often, so that brokers can catch up: at most two
    /// thirds of the time go into them.
    fn patience(&self) -> Duration {
        let cadence = Cadence {
            min_interval: self.shared.cadence.min_interval.max(self.last_duration / 2),
            ..self.shared.cadence
        };
        self.epoch.patience(&cadence, self.last_commit, self.now)
    }

    /// One record in, one outcome out. Only the breaker's refusal leaves it without one: `false`.
    fn take(&mut self, message: &BorrowedMessage<'_>, stop: &Stop) -> Result<bool, Fault> {
        let id = (message.partition(), message.offset());
        if !self.shared.counts.wait_for(id.0, || stop.requested()) {
            return Err(Cause::StoppedEarly.into());
        }
        let now_ms = now_ms();
        let timestamp = message.timestamp().to_millis().filter(|&timestamp| timestamp >= 0);
        let reference = self.shared.reference.date(timestamp, now_ms);
        let lag = &self.shared.metrics.lag;
        if self.epoch.has_none_of(id.0) {
            lag.taken(id.0, id.1, timestamp.unwrap_or(now_ms));
        }
        // The breaker is asked before a dead letter goes out, once, however often that gets smaller.
        let mut allowed = false;
        loop {
            let exception = self.exceptions.of(id);
            let mut outcome =
                self.processor.process(message.payload(), reference, &mut self.payload);
            let mut cut = Truncation::Whole;
            match exception.unwrap_or_default().instead(&outcome) {
                Fallback::Nothing => {}
                Fallback::Smaller(reason, smaller) => {
                    cut = smaller;
                    let with_list = cut < Truncation::WithoutList;
                    outcome = self.processor.refuse(
                        message.payload(),
                        reason,
                        with_list,
                        &mut self.payload,
                    );
                }
                Fallback::Exhausted => return Err(self.exhausted(id).into()),
                Fallback::Invalid => return Err(self.invalid(id, &outcome).into()),
            }
            if !allowed && matches!(outcome, Outcome::Failure { .. }) {
                let results = self.untold_results();
                allowed = self.shared.breaker.allows(results);
                if !allowed {
                    let lag = &self.shared.metrics.lag;
                    lag.taken(id.0, id.1, timestamp.unwrap_or(now_ms));
                    return Ok(false);
                }
            }
            if exception.is_some() {
                self.settle()?; // what was sent before it stays out of its batch
            }
            let clock = exception.is_some_and(|exception| exception.clock);
            let dated = timestamp
                .map(|timestamp| if timestamp > now_ms + AHEAD_MS { now_ms } else { timestamp });
            let address = self.address(message, &outcome, cut, exception);
            if exception.is_some() && matches!(address.output, Output::Reply(_)) {
                self.exceptions.sent_as_reply(id);
            }
            let sent = self.sink.send(Outgoing {
                topic: self.shared.topic(address.output),
                partition: address.partition,
                key: message.key(),
                value: Some(&self.payload),
                timestamp: dated.filter(|_| !clock),
                headers: address.headers,
                tag: tag(id),
            })?;
            match sent {
                Ok(()) => {
                    self.epoch.add(id, timestamp, self.payload.len(), &outcome, self.now);
                    if exception.is_some() {
                        self.settle()?;
                    }
                    return Ok(true);
                }
                Err(code) => self.exceptions.refused_here(id, code),
            }
        }
    }

    /// The results of the epoch that the breaker was not told of; now it is.
    fn untold_results(&mut self) -> usize {
        let results = self.epoch.tally().answered();
        let untold = results - std::mem::replace(&mut self.told, results);
        usize::try_from(untold).unwrap_or(usize::MAX)
    }

    fn exhausted(&self, (partition, offset): Place) -> Cause {
        let topic = self.shared.topic(Output::Failures).to_string_lossy().into_owned();
        Cause::FailureRefused { topic, partition, offset }
    }

    fn invalid(&self, (partition, offset): Place, outcome: &Outcome) -> Cause {
        let topic = match outcome {
            Outcome::Result { .. } => self.shared.topic(Output::Results),
            Outcome::Failure { .. } => self.shared.topic(Output::Failures),
        };
        let topic = topic.to_string_lossy().into_owned();
        Cause::OutcomeInvalid { topic, partition, offset }
    }

    /// Waits until the broker has taken all that was sent. What it refused is treated as an exception when its epoch is
    /// processed again.
    fn settle(&mut self) -> Result<(), Fault> {
        let refused = self.sink.settle()?;
        let Some(first) = refused.first() else {
            return Ok(());
        };
        let cause = Cause::OutcomesRefused { count: refused.len(), first: first.code };
        for refused in refused {
            self.exceptions.refused_there(refused);
        }
        Err(cause.into())
    }

    /// Counts a committed epoch and begins the next.
    fn committed(&mut self, started: Instant) {
        self.now = Instant::now();
        self.last_duration = self.now - started;
        self.last_commit = self.now;
        self.given_up_in_a_row = 0;
        self.shared.metrics.committed(&Committed {
            tally: self.epoch.tally(),
            timestamps: self.epoch.timestamps(),
            now_ms: now_ms(),
            duration: self.last_duration,
        });
        self.exceptions.committed(self.epoch.positions());
        let results = self.untold_results();
        self.shared.breaker.succeeded(results);
        self.clear();
    }

    /// Begins the next epoch.
    fn clear(&mut self) {
        self.epoch.clear();
        self.told = 0;
    }
}
