//! One worker's consumer: a member of the group, its assignment and its positions.

mod starts;

use std::cell::RefCell;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::announce;
use super::assignment::{ConsumerEvents, assign, close, partition_list, unassign};
use super::leftovers::Leftovers;
use super::lookup::Lookup;
use super::pending::PendingPartitions;
use super::shared::Shared;
use super::standing::Standing;
use super::start::Committed;
use super::tracks::{Arrival, Tracks};
use crate::kafka::client::deadline::finishes_within;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::consumer::{ConsumeError, Dropped, GroupClient, is_unreadable};
pub use crate::kafka::client::native::consumer::{Rebalance, Record};
use crate::kafka::client::native::{GroupMetadata, Offsets};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;

const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a rebalance may delay a commit. With the embedded broker it takes nearly a session
/// timeout.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(12);
const COMMIT_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What was fetched.
pub enum Event<'a> {
    Record(Record<'a>),
    /// The partition has no request from offset `from` up to `to`, only markers and aborted records.
    Gap {
        partition: i32,
        from: i64,
        to: i64,
    },
    /// Must be answered by [`GroupConsumer::interrupt`], after what was read of the partition is
    /// committed.
    Interruption(Interruption),
}

/// A partition cannot be read on.
#[derive(Debug)]
pub struct Interruption {
    partition: i32,
    /// `None`: where it continues must be decided again.
    reason: Option<Standing>,
    /// Its topic was deleted and created again.
    is_new_topic: bool,
}

pub struct GroupConsumer {
    consumer: GroupClient<ConsumerEvents>,
    shared: Arc<Shared>,
    worker: usize,
    assigned: Vec<i32>,
    /// The assigned partitions that are not started yet, because their committed offsets are not
    /// known.
    pending: PendingPartitions,
    /// The assigned partitions that were started. In a cell, because [`Self::next`] changes it
    /// while a record borrows the consumer.
    tracks: RefCell<Tracks>,
    lookup: Lookup,
    leftovers: Leftovers,
    /// Whether the group's protocol sends no event for an empty assignment.
    hides_empty: bool,
    /// The value of [`Shared::rejoins`] when this member last joined.
    rejoins: u64,
}

impl GroupConsumer {
    pub fn join(worker: usize, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let config = shared.clients.consumer(worker);
        let (access, metrics) = (&shared.clients.access, &shared.telemetry.metrics);
        let topic = &shared.outputs.topics.requests;
        let events = ConsumerEvents::new(access, &topic.name, worker, Arc::clone(metrics));
        let consumer = GroupClient::new(&config, events)?;
        let rejoins = shared.rejoins.load(Ordering::Relaxed);
        consumer.subscribe(&partition_list(topic.c_name(), &[-1]))?;
        Ok(Self {
            consumer,
            worker,
            assigned: Vec::new(),
            pending: PendingPartitions::new(),
            tracks: RefCell::default(),
            lookup: Lookup::new(shared),
            leftovers: Leftovers::new(worker, shared),
            hides_empty: config.get("group.protocol") == Some("consumer"),
            rejoins,
            shared: Arc::clone(shared),
        })
    }

    /// Fetches a batch for [`Self::next`]. Waits up to `timeout` for the first record only.
    /// Returns whether anything arrived.
    pub fn fetch(&self, timeout: Duration) -> bool {
        let has_fetched = &self.consumer.context().has_fetched;
        has_fetched.store(false, Ordering::Relaxed);
        let arrived = self.consumer.fetch(timeout);
        if arrived {
            has_fetched.store(true, Ordering::Relaxed);
            self.consumer.fetch_more();
        }
        arrived
    }

    /// The next record or interruption of the batch; `None` at its end.
    pub fn next(&self) -> Result<Option<Event<'_>>, Fault> {
        while let Some(fetched) = self.consumer.next() {
            let record = match fetched {
                Ok(record) => record,
                Err(ConsumeError { code: Code::PartitionEOF, at: Some(end), .. }) => {
                    let Position { partition, offset: to } = end;
                    match self.tracks.borrow_mut().ended(end) {
                        Some(from) => return Ok(Some(Event::Gap { partition, from, to })),
                        None => continue,
                    }
                }
                Err(error) => match self.classify(&error)? {
                    Some(interruption) => return Ok(Some(Event::Interruption(interruption))),
                    None => continue,
                },
            };
            let (partition, offset) = (record.partition(), record.offset());
            let arrival =
                self.tracks.borrow_mut().arrived(partition, offset, record.leader_epoch());
            match arrival {
                Arrival::Process => return Ok(Some(Event::Record(record))),
                Arrival::Drop => {}
                Arrival::JumpedBack(reason) => {
                    let reason = Some(reason);
                    let interruption = Interruption { partition, reason, is_new_topic: false };
                    return Ok(Some(Event::Interruption(interruption)));
                }
            }
        }
        Ok(None)
    }

    /// The oldest rebalance event that was not answered. Must be answered by [`Self::answer`],
    /// between two batches.
    pub fn next_rebalance(&self) -> Option<Rebalance> {
        self.consumer.context().next_rebalance()
    }

    /// What an error means: a fault of this consumer, or an interruption of one partition.
    fn classify(&self, error: &ConsumeError) -> Result<Option<Interruption>, Fault> {
        if error.fatal {
            return Err(match error.code {
                Code::FencedInstanceId => Cause::MemberFenced.into(),
                code => Cause::ConsumerFailed(code).into(),
            });
        }
        if let Some(right) = self.denied(error.code) {
            // Without read access, leave the group.
            return Err(Cause::Denied(self.shared.clients.access.record_denied(right)).into());
        }
        let mut tracks = self.tracks.borrow_mut();
        // librdkafka retries other errors by itself until brokers and topics are back.
        let Some(at) = error.at.filter(|at| tracks.is_reading(at.partition)) else {
            return Ok(None);
        };
        let next = tracks.position(at.partition).map_or(at.offset, |it| it.offset);
        let interruption = interruption(error, at, next);
        if interruption.is_some() {
            tracing::debug!(worker = self.worker, %error, position = %at, "a partition cannot be read on");
        }
        Ok(interruption)
    }

    /// The right whose denial caused an error.
    fn denied(&self, code: Code) -> Option<Right> {
        match code {
            Code::GroupAuthorizationFailed => Some(Right::of_group(&self.shared.group)),
            Code::TopicAuthorizationFailed => {
                let topic = &self.shared.outputs.topics.requests.name;
                Some(Right::on_topic(Operation::Read, topic))
            }
            _ => None,
        }
    }

    /// The work between two batches: restores brokers that librdkafka has forgotten, starts pending
    /// partitions, ends transactions of dead producers that hide positions or outcomes, and looks
    /// whether standing partitions can be read again. For `now` the time of the last batch is exact
    /// enough.
    pub fn maintain(&mut self, now: Instant) -> Result<(), Fault> {
        let state = &self.consumer.context().client;
        state.restore_brokers(self.consumer.client());
        self.join_again()?;
        self.start_pending()?;
        self.settle_leftovers(now)?;
        self.lookup.ledger.close_idle();
        if self.tracks.get_mut().is_quiet() {
            return Ok(());
        }
        self.look_again()?;
        self.announce()
    }

    /// Joins the group again if the watch has asked for it. librdkafka first revokes the partitions
    /// of a static member, and the worker answers that like any other rebalance.
    fn join_again(&mut self) -> Result<(), Fault> {
        let rejoins = self.shared.rejoins.load(Ordering::Relaxed);
        if self.rejoins != rejoins {
            self.rejoins = rejoins;
            tracing::info!(
                worker = self.worker,
                "joins the group again: some partitions have no member"
            );
            self.consumer.subscribe(&partition_list(&self.lookup.topic, &[-1]))?;
        }
        Ok(())
    }

    /// This worker's group metadata now; `None` while it is not a member.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        GroupMetadata::of(self.consumer.client())
    }

    /// Whether the worker is a member of the group without partitions, under the protocol that
    /// sends no event about that.
    pub fn is_standby(&self) -> bool {
        self.hides_empty
            && self.assigned.is_empty()
            && self.group_metadata().is_some_and(|metadata| metadata.generation() > 0)
    }

    pub fn is_paused(&self) -> bool {
        self.consumer.context().paused.load(Ordering::Relaxed)
    }

    /// Pauses or resumes all partitions, including those that are assigned later.
    pub fn set_paused(&self, paused: bool) -> Result<(), Fault> {
        self.consumer.context().paused.store(paused, Ordering::Relaxed);
        let Some(assignment) = self.consumer.assignment() else {
            return Ok(());
        };
        if paused {
            self.consumer.pause(&assignment)?;
        } else {
            let mut tracks = self.tracks.borrow_mut();
            let readable = assignment.entries().filter(|it| tracks.is_reading(it.partition));
            self.consumer.resume(&Offsets::new(&self.lookup.topic, readable))?;
        }
        Ok(())
    }

    /// Whether the assignment was lost without a rebalance (the session timed out): the open epoch
    /// must not be committed.
    pub fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Answers a rebalance event, so that the group continues.
    pub fn answer(&mut self, rebalance: &Rebalance) -> Result<(), Fault> {
        let metrics = Arc::clone(&self.shared.telemetry.metrics);
        metrics.rebalances.inc();
        match rebalance {
            Rebalance::Assigned(partitions) => {
                self.assigned.extend(partitions);
                metrics.lag.assigned(self.worker, partitions);
                self.leftovers.watch(partitions, Instant::now());
                self.start(partitions)?;
            }
            Rebalance::Revoked(partitions) => {
                let list = partition_list(&self.lookup.topic, partitions);
                // Otherwise librdkafka keeps the pause for when the partition is assigned again.
                self.consumer.resume(&list)?;
                unassign(&self.consumer, &self.lookup.topic, &list);
                self.assigned.retain(|it| !partitions.contains(it));
                self.pending.remove(partitions);
                self.leftovers.forget(partitions);
                self.tracks.get_mut().remove(partitions);
                self.lookup.ledger.forget(partitions);
                announce::forget(&self.shared.telemetry.health, self.worker, partitions);
                metrics.lag.revoked(self.worker, partitions);
            }
        }
        Ok(())
    }

    /// Drops what is left of the batch; it will be fetched again.
    pub fn drop_rest(&self) -> Result<(), Fault> {
        self.seek(iter::empty())
    }

    /// Seeks to these positions, except those of partitions that are not read any more. What is
    /// left of the batch is dropped and will be fetched again.
    pub fn seek(&self, positions: impl Iterator<Item = Position>) -> Result<(), Fault> {
        let mut tracks = self.tracks.borrow_mut();
        let mut partitions = Vec::new();
        for Dropped { position, is_record } in self.consumer.drop_fetched() {
            if is_record {
                tracks.dropped(position);
            }
            partitions.push(position.partition);
        }
        for position in positions {
            tracks.sought(position.partition, position.offset);
            partitions.push(position.partition);
        }
        partitions.sort_unstable();
        partitions.dedup();
        partitions.retain(|it| self.assigned.contains(it) && tracks.is_reading(*it));
        if partitions.is_empty() {
            return Ok(()); // librdkafka rejects an empty list
        }
        let next = partitions.into_iter().filter_map(|partition| {
            Some(Position { partition, offset: tracks.position(partition)?.offset })
        });
        let list = Offsets::new(&self.lookup.topic, next);
        Ok(self.consumer.seek(&list, SEEK_TIMEOUT)?)
    }

    /// These positions by partition, as they are committed: with the leader epoch of the last
    /// record, the topic id and the operator's last reset.
    pub fn with_metadata(
        &self,
        positions: impl Iterator<Item = Position>,
    ) -> Vec<(i32, Committed)> {
        let mut tracks = self.tracks.borrow_mut();
        let with_metadata = |Position { partition, offset }| {
            let read = tracks.position(partition).cloned();
            (partition, Committed { offset, ..read.unwrap_or_else(|| Committed::at(offset)) })
        };
        positions.map(with_metadata).collect()
    }

    /// The same as the list of a commit.
    pub fn to_commit(&self, positions: impl Iterator<Item = Position>) -> Offsets {
        let positions = self.with_metadata(positions).into_iter();
        let entries = positions.map(|(partition, position)| position.entry(partition));
        Offsets::new(&self.lookup.topic, entries)
    }

    /// Commits positions outside of a transaction. During a rebalance, which completes without this
    /// thread, the group refuses commits; they are repeated, since aborting the epoch would
    /// duplicate its outcomes.
    pub fn commit(&self, positions: impl Iterator<Item = Position>) -> Result<(), Fault> {
        let list = self.to_commit(positions);
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        loop {
            match self.consumer.commit(&list) {
                Ok(()) => return Ok(()),
                Err(KafkaError::ConsumerCommit(
                    Code::RebalanceInProgress | Code::IllegalGeneration | Code::StaleMemberEpoch,
                )) if !self.assignment_lost() && Instant::now() < deadline => {
                    std::thread::sleep(COMMIT_RETRY_INTERVAL);
                }
                Err(error) => return Err(Cause::OffsetsNotCommitted(error).into()),
            }
        }
    }

    /// Notes committed positions.
    pub fn committed(&self, positions: impl Iterator<Item = Position>) {
        let positions = self.with_metadata(positions);
        let lag = &self.shared.telemetry.metrics.lag;
        lag.committed(self.worker, positions.iter().map(|(it, position)| (*it, position.offset)));
        self.shared.own_positions.committed(positions.into_iter());
    }

    /// Leaves the group. A consumer that has not closed within `budget` is left behind.
    pub fn leave(self, budget: Duration) {
        self.shared.telemetry.metrics.lag.revoked(self.worker, &self.assigned);
        announce::forget(&self.shared.telemetry.health, self.worker, &self.assigned);
        let (consumer, topic) = (self.consumer, self.lookup.topic);
        // A rebalance event that a fault left unanswered would block the group. Both answers are
        // given; librdkafka ignores the one that it did not ask for.
        let nothing = partition_list(&topic, &[]);
        if let Err(error) = assign(&consumer, &nothing) {
            tracing::debug!(%error, "empty assignment rejected");
        }
        unassign(&consumer, &topic, &consumer.assignment().unwrap_or(nothing));
        let work = move || {
            close(&consumer, &topic);
            drop(consumer);
        };
        if !finishes_within(budget, work) {
            self.shared.telemetry.metrics.clients_abandoned.inc();
            tracing::warn!(
                seconds = budget.as_secs(),
                "the consumer could not leave the group in time; its session will time out"
            );
        }
    }
}

/// How an error at this position interrupts its partition; `None` if librdkafka retries by itself.
/// `next` is the offset that would have been read next.
fn interruption(error: &ConsumeError, at: Position, next: i64) -> Option<Interruption> {
    let Position { partition, offset } = at;
    let reason = match error.code {
        Code::BadMessage => Some(Standing::Corrupt { offset }),
        code if is_unreadable(code) => Some(Standing::Undecodable { offset }),
        // Only the text tells a truncated log from an offset out of range.
        Code::AutoOffsetReset if error.text.contains("log truncation") => {
            Some(Standing::Truncated { offset: next })
        }
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::UnknownTopicId => None,
        _ => return None,
    };
    let is_new_topic = error.code == Code::UnknownTopicId;
    Some(Interruption { partition, reason, is_new_topic })
}
