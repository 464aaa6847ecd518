//! One worker's consumer: a member of the group, its assignment and its positions.

use std::cell::RefCell;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::assignment::{ConsumerEvents, assign, close, partition_list, unassign};
use super::ledger::LedgerLookup;
use super::lookup::Lookup;
use super::pending::PendingPartitions;
use super::shared::Shared;
use super::standing::{self, Standing};
use super::start::{Committed, Start};
use super::tracks::{Arrival, Tracks};
use crate::kafka::client::config::bootstrap;
use crate::kafka::client::deadline::finishes_within;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::consumer::{ConsumeError, GroupClient};
pub use crate::kafka::client::native::consumer::{Rebalance, Record};
use crate::kafka::client::native::{GroupMetadata, Offsets};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;

/// The timeout of a lookup of committed offsets, after which partitions that can wait do so.
const FIRST_LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);
/// How long one lookup may take for partitions that cannot wait.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// After this time no transaction of a crashed member can be open. If the committed offsets are
/// still unknown, the worker logs a warning or restarts.
const COMMITTED_OFFSETS_TIMEOUT: Duration = Duration::from_mins(1);
/// How long to wait for a ledger that the watch has not seen. The worker restarts until it exists,
/// because this wait notices no stop.
const MISSING_LEDGER_TIMEOUT: Duration = Duration::from_secs(5);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a rebalance may delay a commit. With the embedded broker it takes nearly a session
/// timeout.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(12);
const COMMIT_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What a poll returned.
pub enum Event<'a> {
    Record(Record<'a>),
    /// Must be answered by [`GroupConsumer::answer`].
    Rebalance(Rebalance),
    /// Must be answered by [`GroupConsumer::fail`], after what was read of it is committed.
    Failure(Failure),
    /// No record arrived within the timeout.
    Idle,
}

/// A partition cannot be read on.
#[derive(Debug)]
pub struct Failure {
    partition: i32,
    /// `None`: where it continues must be decided again.
    reason: Option<Standing>,
    /// Its topic was deleted and created again.
    is_new_topic: bool,
}

pub struct GroupConsumer {
    consumer: GroupClient<ConsumerEvents>,
    shared: Arc<Shared>,
    bootstrap: CString,
    worker: usize,
    assigned: Vec<i32>,
    /// Those assigned partitions that are not fetched yet.
    pending: PendingPartitions,
    /// The other assigned partitions. Changed by the polls, whose records borrow the consumer.
    tracks: RefCell<Tracks>,
    lookup: Lookup,
    /// Whether the group's protocol sends no event for an empty assignment.
    hides_empty: bool,
    /// Whether the member has a `group.instance.id`; then it does not leave the group.
    is_static: bool,
}

impl GroupConsumer {
    pub fn join(worker: usize, shared: &Arc<Shared>) -> Result<Self, Fault> {
        let config = shared.clients.consumer(worker);
        let (access, metrics) = (&shared.clients.access, &shared.telemetry.metrics);
        let topic = &shared.outputs.topics.requests;
        let events = ConsumerEvents::new(access, &topic.name, worker, Arc::clone(metrics));
        let consumer = GroupClient::new(&config, events)?;
        consumer.subscribe(&partition_list(topic.c_name(), &[-1]))?;
        Ok(Self {
            consumer,
            bootstrap: bootstrap(&config),
            worker,
            assigned: Vec::new(),
            pending: PendingPartitions::new(),
            tracks: RefCell::default(),
            lookup: Lookup {
                topic: topic.c_name().to_owned(),
                own: Arc::clone(&shared.own_positions),
                ledger: LedgerLookup::new(shared),
                deleted: None,
            },
            hides_empty: config.get("group.protocol") == Some("consumer"),
            is_static: config.get("group.instance.id").is_some(),
            shared: Arc::clone(shared),
        })
    }

    pub fn poll(&self, timeout: Duration) -> Result<Event<'_>, Fault> {
        let Some(polled) = self.consumer.poll(timeout) else {
            let rebalance = self.consumer.context().next_rebalance();
            return Ok(rebalance.map_or(Event::Idle, Event::Rebalance));
        };
        let record = match polled {
            Ok(record) => record,
            Err(error) => return self.failed(&error),
        };
        let (partition, offset) = (record.partition(), record.offset());
        let arrival = self.tracks.borrow_mut().arrived(partition, offset, record.leader_epoch());
        Ok(match arrival {
            Arrival::Process => Event::Record(record),
            Arrival::Drop => Event::Idle,
            Arrival::JumpedBack(reason) => {
                Event::Failure(Failure { partition, reason: Some(reason), is_new_topic: false })
            }
        })
    }

    fn failed(&self, error: &ConsumeError) -> Result<Event<'_>, Fault> {
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
        Ok(match error.at.filter(|at| tracks.is_reading(at.partition)) {
            Some(at) => {
                let next = tracks.position(at.partition).map_or(at.offset, |it| it.offset);
                match failure(error, at, next) {
                    Some(failure) => {
                        tracing::debug!(worker = self.worker, %error, position = %at, "a partition cannot be read on");
                        Event::Failure(failure)
                    }
                    None => Event::Idle,
                }
            }
            // librdkafka retries by itself until brokers and topics are back.
            None => Event::Idle,
        })
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

    /// Work between two polls: re-adds forgotten brokers, starts pending partitions, and looks
    /// again at those that are standing.
    pub fn maintain(&mut self) -> Result<(), Fault> {
        let state = &self.consumer.context().client;
        state.restore_brokers(self.consumer.client(), &self.bootstrap);
        self.start_pending()?;
        self.look_again()?;
        self.lookup.ledger.close_idle();
        self.announce()
    }

    /// This worker's group metadata now; `None` while it is not a member.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        GroupMetadata::of(self.consumer.client())
    }

    /// Whether the worker is a member without partitions that got no event about it.
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
                self.start(partitions)?;
            }
            Rebalance::Revoked(partitions) => {
                let list = partition_list(&self.lookup.topic, partitions);
                // Otherwise librdkafka keeps the pause for when the partition is assigned again.
                self.consumer.resume(&list)?;
                unassign(&self.consumer, &self.lookup.topic, &list);
                self.assigned.retain(|it| !partitions.contains(it));
                self.pending.remove(partitions);
                self.tracks.get_mut().remove(partitions);
                standing::forget(&self.shared.telemetry, partitions);
                metrics.lag.revoked(self.worker, partitions);
            }
        }
        Ok(())
    }

    /// Starts to fetch `partitions`, each where [`super::start::decide`] says.
    ///
    /// We look the group's committed offsets up ourselves, because librdkafka may lose an answer
    /// "not stable yet" that arrives after another rebalance: librdkafka then starts at the
    /// beginning, as if there were no committed offset, which duplicates all outcomes (2.12.1,
    /// `rd_kafka_assignment_apply_offsets`).
    fn start(&mut self, partitions: &[i32]) -> Result<(), Fault> {
        let starts = match self.look_up(partitions, FIRST_LOOKUP_TIMEOUT) {
            Some(starts) => starts,
            None if self.consumer.is_incremental() => {
                // A crashed member's transaction is still open: only its partitions wait.
                self.pending.add(partitions, Instant::now());
                Vec::new()
            }
            None => self.wait_for_starts(partitions)?,
        };
        self.begin(starts)
    }

    fn look_up(&self, partitions: &[i32], timeout: Duration) -> Option<Vec<(i32, Start)>> {
        if partitions.is_empty() {
            return Some(Vec::new()); // librdkafka rejects an empty list
        }
        let mut tracks = self.tracks.borrow_mut();
        self.lookup.starts(&self.consumer, partitions, &mut tracks, timeout)
    }

    fn wait_for_starts(&self, partitions: &[i32]) -> Result<Vec<(i32, Start)>, Fault> {
        let started = Instant::now();
        loop {
            if let Some(starts) = self.look_up(partitions, LOOKUP_TIMEOUT) {
                return Ok(starts);
            }
            let is_member = self.group_metadata().is_some_and(|metadata| metadata.is_known());
            let timeout = if self.lookup.ledger.is_missing() {
                MISSING_LEDGER_TIMEOUT
            } else {
                COMMITTED_OFFSETS_TIMEOUT
            };
            if !is_member || started.elapsed() > timeout {
                return Err(Cause::OffsetsUnknown.into());
            }
        }
    }

    /// Starts the pending partition that is due, if its committed offset is known by now.
    fn start_pending(&mut self) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let Some((partition, timeout)) = self.pending.take_due(Instant::now()) else {
            return Ok(());
        };
        match self.look_up(&[partition], timeout) {
            // (Assigning a partition would hide from `assignment_lost` that all were lost.)
            Some(starts) if !self.assignment_lost() => {
                self.begin(starts)?;
                self.pending.found();
            }
            _ => {
                self.pending.not_found(partition, Instant::now());
                let overdue = self.pending.overdue(COMMITTED_OFFSETS_TIMEOUT, Instant::now());
                if let Some(partitions) = overdue {
                    tracing::warn!(
                        worker = self.worker,
                        ?partitions,
                        "partitions wait for their committed offsets: a transaction is still open, or no broker answers"
                    );
                }
            }
        }
        Ok(())
    }

    /// Adds partitions to the assignment. Those that are standing are added and paused, because
    /// under the eager protocol all must be assigned together.
    fn begin(&mut self, starts: Vec<(i32, Start)>) -> Result<(), Fault> {
        let (mut entries, mut standing) = (Vec::new(), Vec::new());
        for (partition, start) in starts {
            let position = self.decided(partition, start, &mut standing);
            entries.push(position.entry(partition));
        }
        assign(&self.consumer, &Offsets::new(&self.lookup.topic, entries.iter().cloned()))?;
        self.hold(entries.iter().map(|it| it.partition), &standing)
    }

    /// Notes a decision and returns where the partition is assigned.
    fn decided(&mut self, partition: i32, start: Start, standing: &mut Vec<i32>) -> Committed {
        let (tracks, now) = (self.tracks.get_mut(), Instant::now());
        match start {
            Start::At { position, notices } => {
                standing::log_notices(&self.shared, partition, &notices);
                tracks.start(partition, position.clone(), now);
                self.report(Position { partition, offset: position.offset });
                position
            }
            Start::Standing(reason) => {
                // It is paused at once, so the offset only has to be one of the log.
                let offset = if let Standing::BeyondEnd { end, .. } = reason { end } else { 0 };
                tracks.stand(partition, reason, now);
                standing.push(partition);
                Committed { offset, leader_epoch: None, topic_id: None, reset_ms: 0 }
            }
        }
    }

    /// Pauses those of the partitions just assigned that must not be read now.
    fn hold(&self, added: impl Iterator<Item = i32>, standing: &[i32]) -> Result<(), Fault> {
        let is_held = |partition: &i32| self.is_paused() || standing.contains(partition);
        self.pause(&added.filter(is_held).collect::<Vec<_>>())
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), Fault> {
        if partitions.is_empty() {
            return Ok(());
        }
        Ok(self.consumer.pause(&partition_list(&self.lookup.topic, partitions))?)
    }

    /// Reacts to a failure, after all that was read of its partition is committed.
    pub fn fail(&mut self, failure: Failure) -> Result<(), Fault> {
        let Failure { partition, reason, is_new_topic } = failure;
        if is_new_topic {
            let position = self.tracks.get_mut().position(partition);
            self.lookup.deleted = position.and_then(|it| it.topic_id.clone());
        }
        let (tracks, now) = (self.tracks.get_mut(), Instant::now());
        match reason {
            Some(reason) => {
                if tracks.stand(partition, reason, now) {
                    self.pause(&[partition])?;
                }
            }
            None => tracks.decide_again(partition, now),
        }
        Ok(())
    }

    /// Looks whether partitions that are standing can go on: an operator has set the position, or
    /// the data were mended.
    fn look_again(&mut self) -> Result<(), Fault> {
        let due = self.tracks.get_mut().due(Instant::now());
        if due.is_empty() || self.assignment_lost() {
            return Ok(());
        }
        let Some(starts) = self.look_up(&due, FIRST_LOOKUP_TIMEOUT) else {
            return Ok(());
        };
        for (partition, start) in starts {
            self.restart(partition, start)?;
        }
        Ok(())
    }

    /// Fetches a partition from another position on. A seek does not suffice: librdkafka ended
    /// its fetching.
    fn restart(&mut self, partition: i32, start: Start) -> Result<(), Fault> {
        let was_standing = !self.tracks.get_mut().is_reading(partition);
        let mut standing = Vec::new();
        let position = self.decided(partition, start, &mut standing);
        if was_standing && !standing.is_empty() {
            return self.pause(&standing);
        }
        let topic = &self.lookup.topic;
        let entry = position.entry(partition);
        let list = Offsets::new(topic, [entry.clone()].into_iter());
        self.consumer.resume(&list)?;
        if self.consumer.is_incremental() {
            unassign(&self.consumer, topic, &list);
            assign(&self.consumer, &list)?;
            return self.hold([partition].into_iter(), &standing);
        }
        let tracks = self.tracks.get_mut();
        let all: Vec<_> = tracks.all().map(|(it, position, _)| position.entry(it)).collect();
        let standing: Vec<_> =
            tracks.all().filter(|(_, _, is_reading)| !is_reading).map(|(it, ..)| it).collect();
        assign(&self.consumer, &Offsets::new(topic, all.iter().cloned()))?;
        self.hold(all.iter().map(|it| it.partition), &standing)
    }

    /// Tells operators which partitions are standing, and which no longer are.
    fn announce(&mut self) -> Result<(), Fault> {
        let changes = self.tracks.get_mut().changes(Instant::now());
        let stopped = standing::announce(&self.shared, &changes);
        self.pause(&stopped)
    }

    /// Seeks to these positions, except those of partitions that are not read any more.
    pub fn seek(&self, positions: impl Iterator<Item = Position>) -> Result<(), Fault> {
        let mut tracks = self.tracks.borrow_mut();
        let mut wanted = Vec::new();
        for position in positions.filter(|it| self.assigned.contains(&it.partition)) {
            tracks.sought(position.partition, position.offset);
            if tracks.is_reading(position.partition) {
                wanted.push(position);
            }
        }
        if wanted.is_empty() {
            return Ok(()); // librdkafka rejects an empty list
        }
        let list = Offsets::new(&self.lookup.topic, wanted.into_iter());
        Ok(self.consumer.seek(&list, SEEK_TIMEOUT)?)
    }

    /// What is committed for these positions, by partition.
    pub fn commits(&self, positions: impl Iterator<Item = Position>) -> Vec<(i32, Committed)> {
        let mut tracks = self.tracks.borrow_mut();
        positions.map(|it| (it.partition, committed(&mut tracks, it))).collect()
    }

    /// The same as a list of offsets.
    pub fn to_commit(&self, positions: impl Iterator<Item = Position>) -> Offsets {
        let mut tracks = self.tracks.borrow_mut();
        let committed = positions.map(|it| committed(&mut tracks, it).entry(it.partition));
        Offsets::new(&self.lookup.topic, committed)
    }

    /// Commits positions outside of a transaction. During a rebalance the group refuses commits,
    /// and completes it without this thread. Aborting the epoch instead would duplicate its
    /// outcomes.
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
        let mut tracks = self.tracks.borrow_mut();
        let own = positions.inspect(|&it| self.report(it));
        let own = own.map(|it| (it.partition, committed(&mut tracks, it)));
        self.lookup.own.committed(own);
    }

    /// Reports a position to the lag.
    fn report(&self, position: Position) {
        let lag = &self.shared.telemetry.metrics.lag;
        lag.committed(self.worker, std::iter::once(position.into()));
    }

    /// Leaves the group. A consumer that has not closed within `budget` is left behind.
    pub fn leave(self, budget: Duration) {
        self.shared.telemetry.metrics.lag.revoked(self.worker, &self.assigned);
        standing::forget(&self.shared.telemetry, &self.assigned);
        let (consumer, topic) = (self.consumer, self.lookup.topic);
        // A rebalance event that a fault left unanswered would block the group. Both answers are
        // given; librdkafka ignores the one that it did not ask for.
        let nothing = partition_list(&topic, &[]);
        if let Err(error) = assign(&consumer, &nothing) {
            tracing::debug!(%error, "empty assignment rejected");
        }
        unassign(&consumer, &topic, &consumer.assignment().unwrap_or(nothing));
        // Under the classic protocol a member that is closed while it has no partitions and is
        // about to join again does not leave (librdkafka 2.12.1, join state "init"), and the group
        // waits for its session to time out. A member that unsubscribes leaves.
        if !self.is_static && !self.hides_empty {
            consumer.unsubscribe();
        }
        let work = move || {
            close(&consumer, &topic);
            drop(consumer);
        };
        if !finishes_within(budget, work) {
            tracing::warn!(
                seconds = budget.as_secs(),
                "the consumer could not leave the group in time; its session will time out"
            );
        }
    }
}

/// What is committed for `position`: it belongs to the topic that was read.
fn committed(tracks: &mut Tracks, position: Position) -> Committed {
    let Position { partition, offset } = position;
    let nothing = Committed { offset, leader_epoch: None, topic_id: None, reset_ms: 0 };
    Committed { offset, ..tracks.position(partition).cloned().unwrap_or(nothing) }
}

/// What an error of a partition that is read from `next` on means for it; `None` if librdkafka
/// retries by itself.
fn failure(error: &ConsumeError, at: Position, next: i64) -> Option<Failure> {
    let Position { partition, offset } = at;
    let reason = match error.code {
        Code::BadMessage => Some(Standing::Corrupt { offset }),
        Code::BadCompression | Code::NotImplemented | Code::MessageSizeTooLarge => {
            Some(Standing::Undecodable { offset })
        }
        // Only the text tells a truncated log from an offset out of range.
        Code::AutoOffsetReset if error.text.contains("log truncation") => {
            Some(Standing::Truncated { offset: next })
        }
        Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::UnknownTopicId => None,
        _ => return None,
    };
    let is_new_topic = error.code == Code::UnknownTopicId;
    Some(Failure { partition, reason, is_new_topic })
}
