//! One worker: a consumer, the judgement and a producer, joined by one loop on one thread.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{BorrowedMessage, Message};

use super::Shared;
use super::context::{Change, Refused};
use super::dead_letter::{self, Cut};
use super::fault::Fault;
use super::native::{GroupMetadata, Headers, Offsets, Outgoing};
use super::route::{Output, wait_for_look};
use super::sink::Sink;
use super::source::{Polled, Source};
use super::stop::Stop;
use crate::codec::Reason;
use crate::config::Guarantee;
use crate::pipeline::epoch::{Cadence, Epoch};
use crate::pipeline::process::{Outcome, Processor};
use crate::telemetry::metrics::Committed;

/// A request dated further ahead of the clock than this gets the clock's time on its outcome.
const AHEAD_MS: i64 = 10 * 60 * 1000;
/// The longest pause between two epochs that were given up one after the other.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A record that the broker refused, and what is tried instead. It is sent alone, so that a refusal concerns no other.
#[derive(Clone, Copy, Debug, Default)]
struct Exception {
    /// Its timestamp was refused: the clock's instead.
    clock: bool,
    /// How often its size was refused.
    shrunk: u8,
}

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
    exceptions: HashMap<(i32, i64), Exception>,
    given_up_in_a_row: u32,
}

impl Worker {
    /// Connects and joins the group. The transaction that a crash left open is ended first.
    pub(super) fn start(index: usize, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let sink = Sink::connect(&shared.clients.producer(index), index)?;
        let source = Source::join(&shared.clients.consumer(index), &shared.requests, Arc::clone(&shared.metrics))?;
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
            exceptions: HashMap::new(),
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
        desk.begin(source);
        match source.poll(desk.patience())? {
            Polled::Record(message) => desk.take(&message, stop)?,
            Polled::Changed(change) => return self.rebalance(&change),
            Polled::Drained if desk.patience().is_zero() => return self.commit(),
            Polled::Drained => {}
        }
        if self.desk.epoch.is_due(&self.desk.shared.cadence, Instant::now()) {
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
                let membership = membership.ok_or_else(|| Fault::Abort("no member of the group".to_owned()))?;
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
        tracing::info!(worker = self.desk.index, ?change, "the group changes the assignment");
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
        desk.sink.abort()?;
        if let Some(change) = change {
            source.follow(change)?;
        }
        if !desk.epoch.is_empty() {
            tracing::warn!(worker = desk.index, records = desk.epoch.records(), cause, "epoch given up");
            desk.shared.metrics.aborts.inc();
            source.rewind(desk.epoch.starts())?;
            desk.epoch.clear();
            std::thread::sleep((Duration::from_millis(10) * (1 << desk.given_up_in_a_row.min(8))).min(LONGEST_PAUSE));
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
        self.epoch.patience(&cadence, self.last_commit, Instant::now())
    }

    /// One record in, one outcome out.
    fn take(&mut self, message: &BorrowedMessage<'_>, stop: &Stop) -> Result<(), Fault> {
        let id = (message.partition(), message.offset());
        if self.shared.counts.is_new(message.partition()) {
            wait_for_look(&self.shared.counts, || stop.requested());
            if stop.requested() {
                return Err(Fault::Abort("stopped before the partition counts were known".to_owned()));
            }
        }
        let now_ms = now_ms();
        let timestamp = message.timestamp().to_millis().filter(|&timestamp| timestamp >= 0);
        let reference = self.shared.reference.date(timestamp, now_ms);
        loop {
            let exception = self.exceptions.get(&id).copied();
            let outcome = self.processor.process(message.payload(), reference, &mut self.payload);
            let (outcome, cut) = self.cut(message, outcome, exception.unwrap_or_default())?;
            let (output, headers) = match outcome {
                Outcome::Result { .. } => (Output::Results, Headers::copy_of(message)),
                Outcome::Failure { reason, .. } => {
                    let (group, limit) = (&self.shared.group, self.processor.settings().result_bytes);
                    let headers = dead_letter::headers(message, group, reason, cut, self.payload.len(), limit);
                    (Output::Failures, Some(headers))
                }
            };
            if exception.is_some() {
                self.settle()?;
            }
            let sent = self.sink.send(Outgoing {
                topic: self.shared.topic(output),
                partition: self.shared.counts.route(output, id.0, message.key().is_some()),
                key: message.key(),
                value: &self.payload,
                timestamp: timestamp
                    .map(|timestamp| if timestamp > now_ms + AHEAD_MS { now_ms } else { timestamp })
                    .filter(|_| !exception.is_some_and(|exception| exception.clock)),
                headers,
                tag: tag(id),
            })?;
            match sent {
                Ok(()) => {
                    self.epoch.add(id, timestamp, self.payload.len(), &outcome, Instant::now());
                    return if exception.is_some() { self.settle() } else { Ok(()) };
                }
                // The client's own refusal concerns this record without doubt.
                Err(code) => escalate(self.exceptions.entry(id).or_default(), code),
            }
        }
    }

    /// What is sent instead of an outcome whose size was refused.
    fn cut(
        &mut self,
        message: &BorrowedMessage<'_>,
        outcome: Outcome,
        exception: Exception,
    ) -> Result<(Outcome, Cut), Fault> {
        if exception.shrunk == 0 {
            return Ok((outcome, Cut::Whole));
        }
        let (reason, steps) = match outcome {
            Outcome::Result { .. } => (Reason::ResultTooLarge, exception.shrunk - 1),
            Outcome::Failure { reason, .. } => (reason, exception.shrunk),
        };
        let cut = Cut::after(steps).ok_or_else(|| {
            let (topic, partition, offset) = (&self.shared.failures, message.partition(), message.offset());
            Fault::Fatal(format!(
                "topic {topic} refuses even the smallest failure, of partition {partition} offset {offset}: \
                 raise its max.message.bytes"
            ))
        })?;
        let with_list = cut < Cut::WithoutList;
        Ok((self.processor.refuse(message.payload(), reason, with_list, &mut self.payload), cut))
    }

    /// Waits until the broker has taken all that was sent. What it refused is treated as an exception when its epoch is
    /// processed again.
    fn settle(&mut self) -> Result<(), Fault> {
        let refused = self.sink.settle()?;
        let Some(first) = refused.first() else { return Ok(()) };
        let cause = format!("{} outcomes not taken, the first: {}", refused.len(), first.code);
        for Refused { tag, code } in refused {
            if matches!(code, Code::MessageSizeTooLarge | Code::InvalidTimestamp) {
                // The first refusal may be a neighbour's of the same batch. From then on the record is sent alone.
                self.exceptions
                    .entry(untag(tag))
                    .and_modify(|exception| escalate(exception, code))
                    .or_default();
            }
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
        if !self.exceptions.is_empty() {
            let next: HashMap<i32, i64> = self.epoch.positions().collect();
            self.exceptions.retain(|(partition, offset), _| next.get(partition).is_none_or(|next| offset >= next));
        }
        self.epoch.clear();
    }
}

fn escalate(exception: &mut Exception, code: Code) {
    if code == Code::InvalidTimestamp {
        exception.clock = true;
    } else {
        exception.shrunk = exception.shrunk.saturating_add(1);
    }
}

/// A record's place as one number: 16 bits of partition, 48 of offset.
fn tag((partition, offset): (i32, i64)) -> usize {
    const { assert!(usize::BITS >= 64, "a record's place is packed into 64 bits") };
    (partition as usize) << 48 | (offset as usize & 0xffff_ffff_ffff)
}

fn untag(tag: usize) -> (i32, i64) {
    ((tag >> 48) as i32, (tag & 0xffff_ffff_ffff) as i64)
}

/// The clock, in milliseconds since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_place_survives_the_way_through_a_delivery_report() {
        for id in [(0, 0), (3, 42), (65_535, (1 << 48) - 1)] {
            assert_eq!(untag(tag(id)), id);
        }
    }
}
