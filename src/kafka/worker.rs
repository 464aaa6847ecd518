//! One worker: a consumer, the judgement and a producer, joined by one loop on one thread.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::message::{BorrowedMessage, Message};

use super::Shared;
use super::context::Change;
use super::dead_letter::{self, Cut};
use super::exception::{Exceptions, Instead, Place, tag};
use super::fault::Fault;
use super::native::{GroupMetadata, Headers, Offsets, Outgoing};
use super::route::Output;
use super::sink::Sink;
use super::source::{Polled, Source};
use super::stop::Stop;
use crate::config::Guarantee;
use crate::pipeline::epoch::{Cadence, Epoch};
use crate::pipeline::process::{Outcome, Processor};
use crate::telemetry::metrics::Committed;

/// A request dated further ahead of the clock than this gets the clock's time on its outcome.
const AHEAD_MS: i64 = 10 * 60 * 1000;
/// The longest pause between two epochs that were given up one after the other.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One worker. A record borrows the source while the desk works on it.
pub(super) struct Worker {
    source: Source,
    desk: Desk,
}

/// All of a worker but its source.
struct Desk {
    index: usize,
    shared: Arc<Shared>,
    sink: Sink,
    processor: Processor,
    payload: Vec<u8>,
    epoch: Epoch,
    /// The membership under which the epoch's records were read, taken before the first of them was.
    membership: Option<GroupMetadata>,
    last_commit: Instant,
    last_duration: Duration,
    exceptions: Exceptions,
    given_up_in_a_row: u32,
}

impl Worker {
    /// Connects and joins the group. The transaction that a crash left open is ended first.
    pub(super) fn start(index: usize, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let sink = Sink::connect(&shared.clients.producer(index), index)?;
        let source = Source::join(
            &shared.clients.consumer(index),
            &shared.requests,
            Arc::clone(&shared.metrics),
        )?;
        let desk = Desk {
            index,
            shared: Arc::clone(shared),
            sink,
            processor: shared.processor.clone(),
            payload: Vec::new(),
            epoch: Epoch::default(),
            membership: None,
            last_commit: Instant::now(),
            last_duration: Duration::ZERO,
            exceptions: Exceptions::default(),
            given_up_in_a_row: 0,
        };
        Ok(Self { source, desk })
    }

    /// Works until `stop`; then commits what is done.
    pub(super) fn run(&mut self, stop: &Stop) -> Result<(), Fault> {
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
        let Self { source, desk } = self;
        source.start_waiting()?;
        desk.begin(source);
        match source.poll(desk.patience())? {
            Polled::Record(message) => desk.take(&message, stop)?,
            Polled::Changed(change) => return self.rebalance(&change),
            Polled::Drained if desk.patience().is_zero() => return self.commit(),
            Polled::Drained if source.is_in_reserve() => {
                desk.shared.health.set_joined(desk.index, true);
            }
            Polled::Drained => {}
        }
        if self
            .desk
            .epoch
            .is_due(&self.desk.shared.cadence, Instant::now())
        {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes the epoch's outcomes and positions safe, in this order, and counts them.
    fn commit(&mut self) -> Result<(), Fault> {
        let Self { source, desk } = self;
        if desk.epoch.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        desk.settle()?;
        match desk.shared.guarantee {
            Guarantee::ExactlyOnce => {
                let membership = desk.membership.take();
                let membership =
                    membership.ok_or_else(|| Fault::Abort("no member of the group".to_owned()))?;
                let positions = Offsets::new(&desk.shared.requests_c, desk.epoch.positions());
                desk.sink.commit(positions, membership)?;
            }
            Guarantee::AtLeastOnce => source.commit(desk.epoch.positions())?,
        }
        source.committed(desk.epoch.positions());
        desk.committed(started);
        Ok(())
    }

    /// Follows a change of the assignment: first commits what was done, unless the partitions were lost already.
    ///
    /// A new assignment begins a new generation of the group, which the membership taken before the epoch is not of. What
    /// was read since then is still ours, as the group waits for this answer, so the membership is taken anew. Of a lost
    /// assignment nothing may be committed: another member may have read the same records.
    fn rebalance(&mut self, change: &Change) -> Result<(), Fault> {
        tracing::info!(
            worker = self.desk.index,
            ?change,
            "the group changes the assignment"
        );
        let lost = matches!(change, Change::Revoked(_)) && self.source.lost();
        let committed = if lost {
            Err(Fault::Abort("the assignment was lost".to_owned()))
        } else {
            self.desk.membership = self.source.membership();
            self.commit()
        };
        match committed {
            Ok(()) => self.source.follow(change)?,
            Err(Fault::Abort(cause)) => self.give_up(&cause, Some(change))?,
            Err(fault) => return Err(fault),
        }
        let joined = matches!(change, Change::Assigned(_)) || !lost;
        self.desk.shared.health.set_joined(self.desk.index, joined);
        Ok(())
    }

    /// Gives the epoch up and goes back to its first records, as far as they stay with this worker after `change`.
    fn give_up(&mut self, cause: &str, change: Option<&Change>) -> Result<(), Fault> {
        let Self { source, desk } = self;
        // A refusal ends the transaction, and whichever call comes next may be the one to notice.
        for refused in desk.sink.abort()? {
            desk.exceptions.refused_there(refused);
        }
        if let Some(change) = change {
            source.follow(change)?;
        }
        if !desk.epoch.is_empty() {
            tracing::warn!(
                worker = desk.index,
                records = desk.epoch.records(),
                cause,
                "epoch given up"
            );
            desk.shared.metrics.aborts.inc();
            source.rewind(desk.epoch.starts())?;
            desk.epoch.clear();
            std::thread::sleep(
                (Duration::from_millis(10) * (1 << desk.given_up_in_a_row.min(8)))
                    .min(LONGEST_PAUSE),
            );
            desk.given_up_in_a_row += 1;
        }
        Ok(())
    }

    /// Leaves the group and lets the clients go, each in at most half of `budget`.
    pub(super) fn close(self, budget: Duration) {
        self.desk.shared.health.set_joined(self.desk.index, false);
        self.source.leave(budget / 2);
        self.desk.sink.close(budget / 2);
    }
}

impl Desk {
    /// Notes the membership before the first record of an epoch is read: a membership taken later could be one that the
    /// records were not read under, and would lend them its fence.
    fn begin(&mut self, source: &Source) {
        if self.epoch.is_empty() && self.shared.guarantee == Guarantee::ExactlyOnce {
            self.membership = source.membership();
        }
    }

    /// How long to wait for the next record. Commits that take long come less often, so that brokers can catch up.
    fn patience(&self) -> Duration {
        let cadence = Cadence {
            min_interval: self.shared.cadence.min_interval.max(self.last_duration),
            ..self.shared.cadence
        };
        self.epoch
            .patience(&cadence, self.last_commit, Instant::now())
    }

    /// One record in, one outcome out.
    fn take(&mut self, message: &BorrowedMessage<'_>, stop: &Stop) -> Result<(), Fault> {
        let id = (message.partition(), message.offset());
        if !self.shared.counts.wait_for(id.0, || stop.requested()) {
            return Err(Fault::Abort(
                "stopped before the partition counts were known".to_owned(),
            ));
        }
        let now_ms = now_ms();
        let timestamp = message
            .timestamp()
            .to_millis()
            .filter(|&timestamp| timestamp >= 0);
        let reference = self.shared.reference.date(timestamp, now_ms);
        loop {
            let exception = self.exceptions.of(id);
            let mut outcome =
                self.processor
                    .process(message.payload(), reference, &mut self.payload);
            let mut cut = Cut::Whole;
            match exception.unwrap_or_default().instead(&outcome) {
                Instead::Nothing => {}
                Instead::Smaller(reason, smaller) => {
                    cut = smaller;
                    let with_list = cut < Cut::WithoutList;
                    outcome = self.processor.refuse(
                        message.payload(),
                        reason,
                        with_list,
                        &mut self.payload,
                    );
                }
                Instead::Exhausted => return Err(self.exhausted(id)),
            }
            if exception.is_some() {
                self.settle()?; // what was sent before it stays out of its batch
            }
            let clock = exception.is_some_and(|exception| exception.clock);
            let dated = timestamp.map(|timestamp| {
                if timestamp > now_ms + AHEAD_MS {
                    now_ms
                } else {
                    timestamp
                }
            });
            let (output, headers) = self.address(message, &outcome, cut);
            let sent = self.sink.send(Outgoing {
                topic: self.shared.topic(output),
                partition: self
                    .shared
                    .counts
                    .route(output, id.0, message.key().is_some()),
                key: message.key(),
                value: Some(&self.payload),
                timestamp: dated.filter(|_| !clock),
                headers,
                tag: tag(id),
            })?;
            match sent {
                Ok(()) => {
                    self.epoch
                        .add(id, timestamp, self.payload.len(), &outcome, Instant::now());
                    return if exception.is_some() {
                        self.settle()
                    } else {
                        Ok(())
                    };
                }
                Err(code) => self.exceptions.refused_here(id, code),
            }
        }
    }

    /// The topic of an outcome, and its headers: the request's own, behind those that tell why it failed.
    fn address(
        &self,
        message: &BorrowedMessage<'_>,
        outcome: &Outcome,
        cut: Cut,
    ) -> (Output, Option<Headers>) {
        match *outcome {
            Outcome::Result { .. } => (Output::Results, Headers::copy_of(message)),
            Outcome::Failure { reason, .. } => {
                let (group, limit) = (&self.shared.group, self.processor.settings().result_bytes);
                let headers =
                    dead_letter::headers(message, group, reason, cut, self.payload.len(), limit);
                (Output::Failures, Some(headers))
            }
        }
    }

    fn exhausted(&self, (partition, offset): Place) -> Fault {
        let topic = &self.shared.failures;
        Fault::Fatal(format!(
            "topic {topic} refuses even the smallest failure, that of partition {partition} offset {offset}: raise its \
             max.message.bytes"
        ))
    }

    /// Waits until the broker has taken all that was sent. What it refused is treated as an exception when its epoch is
    /// processed again.
    fn settle(&mut self) -> Result<(), Fault> {
        let refused = self.sink.settle()?;
        let Some(first) = refused.first() else {
            return Ok(());
        };
        let cause = format!(
            "{} outcomes not taken, the first: {}",
            refused.len(),
            first.code
        );
        for refused in refused {
            self.exceptions.refused_there(refused);
        }
        Err(Fault::Abort(cause))
    }

    /// Counts a committed epoch and begins the next.
    fn committed(&mut self, started: Instant) {
        let now = Instant::now();
        self.last_duration = now - started;
        self.last_commit = now;
        self.given_up_in_a_row = 0;
        self.shared.metrics.committed(&Committed {
            tally: self.epoch.tally(),
            timestamps: self.epoch.timestamps(),
            now_ms: now_ms(),
            duration: self.last_duration,
        });
        self.exceptions.committed(self.epoch.positions());
        self.epoch.clear();
    }
}

/// The clock, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl Shared {
    fn topic(&self, output: Output) -> &CString {
        match output {
            Output::Results => &self.results_c,
            Output::Failures => &self.failures_c,
        }
    }
}
