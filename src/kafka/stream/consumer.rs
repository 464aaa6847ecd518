//! One worker's consumer: a member of the group, its assignment and its positions.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::{ConsumerEvents, Rebalance, assign, is_incremental, unassign};
use super::pending::PendingPartitions;
use super::shared::Shared;
use crate::kafka::client::config::bootstrap;
use crate::kafka::client::deadline::finishes_within;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::GroupMetadata;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;
use crate::telemetry::metrics::Metrics;

/// The timeout of a lookup of committed offsets, after which partitions that can wait do so.
const FIRST_LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);
/// The timeout of one lookup for partitions that cannot wait.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// After this time no transaction of a crashed member can be open. If the committed offsets are
/// still unknown, the worker logs a warning or restarts.
const COMMITTED_OFFSETS_TIMEOUT: Duration = Duration::from_mins(1);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a rebalance may delay a commit. With the embedded broker one takes nearly a session.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(12);
const COMMIT_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// What a poll returned.
pub enum Event<'a> {
    Record(BorrowedMessage<'a>),
    /// Must be answered by [`GroupConsumer::answer`].
    Rebalance(Rebalance),
    /// No record arrived within the timeout.
    Idle,
}

pub struct GroupConsumer {
    consumer: BaseConsumer<ConsumerEvents>,
    access: Arc<Access>,
    group: String,
    topic: String,
    bootstrap: CString,
    worker: usize,
    assigned: Vec<i32>,
    /// Those assigned partitions that are not fetched yet.
    pending: PendingPartitions,
    /// Whether the group's protocol reports no assignment instead of an empty one.
    hides_empty: bool,
    /// Whether the member has a `group.instance.id`; then it does not leave the group.
    is_static: bool,
    metrics: Arc<Metrics>,
}

impl GroupConsumer {
    pub fn join(worker: usize, shared: &Shared) -> Result<Self, Fault> {
        let config = shared.clients.consumer(worker);
        let (access, metrics) = (&shared.clients.access, &shared.telemetry.metrics);
        let topic = &shared.outputs.topics.requests.name;
        let events = ConsumerEvents::new(access, topic, worker, Arc::clone(metrics));
        let consumer: BaseConsumer<_> = config.create_with_context(events)?;
        consumer.subscribe(&[topic])?;
        Ok(Self {
            consumer,
            access: Arc::clone(access),
            group: shared.group.clone(),
            topic: topic.clone(),
            bootstrap: bootstrap(&config),
            worker,
            assigned: Vec::new(),
            pending: PendingPartitions::new(),
            hides_empty: config.get("group.protocol") == Some("consumer"),
            is_static: config.get("group.instance.id").is_some(),
            metrics: Arc::clone(metrics),
        })
    }

    pub fn poll(&self, timeout: Duration) -> Result<Event<'_>, Fault> {
        match self.consumer.poll(timeout) {
            Some(Ok(record)) => Ok(Event::Record(record)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(match self.consumer.client().fatal_error() {
                    Some((Code::FencedInstanceId, _)) => Cause::MemberFenced.into(),
                    Some((code, _)) => Cause::ConsumerFailed(code).into(),
                    None => error.into(),
                })
            }
            Some(Err(error)) => match self.denied(&error) {
                // Without read access, leave the group.
                Some(right) => Err(Cause::Denied(self.access.record_denied(right)).into()),
                // librdkafka retries by itself until brokers and topics are back.
                None => Ok(Event::Idle),
            },
            None => {
                let rebalance = self.consumer.context().next_rebalance();
                Ok(rebalance.map_or(Event::Idle, Event::Rebalance))
            }
        }
    }

    /// The right whose denial caused `error`.
    fn denied(&self, error: &KafkaError) -> Option<Right> {
        match error.rdkafka_error_code()? {
            Code::GroupAuthorizationFailed => Some(Right::of_group(&self.group)),
            Code::TopicAuthorizationFailed => Some(Right::on_topic(Operation::Read, &self.topic)),
            _ => None,
        }
    }

    /// Work between two polls: re-adds forgotten brokers, and starts pending partitions.
    pub fn maintain(&mut self) -> Result<(), Fault> {
        let state = &self.consumer.context().client;
        state.restore_brokers(self.consumer.client(), &self.bootstrap);
        self.start_pending()
    }

    /// This worker's group metadata now; `None` while it is not a member.
    pub fn group_metadata(&self) -> Option<GroupMetadata> {
        GroupMetadata::of(self.consumer.client())
    }

    /// Whether the worker is a member that the group gave no partition, and was not told so.
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
        let assignment = self.consumer.assignment()?;
        if paused {
            self.consumer.pause(&assignment)?;
        } else {
            self.consumer.resume(&assignment)?;
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
        self.metrics.rebalances.inc();
        match rebalance {
            Rebalance::Assigned(partitions) => {
                self.assigned.extend(partitions);
                self.metrics.lag.assigned(self.worker, partitions);
                self.start(partitions)?;
            }
            Rebalance::Revoked(partitions) => {
                let list = self.list(partitions.iter().map(|&it| (it, Offset::Invalid)))?;
                if self.is_paused() {
                    // Otherwise librdkafka keeps the pause for when the partition is assigned
                    // again.
                    self.consumer.resume(&list)?;
                }
                unassign(&self.consumer, &list);
                self.assigned.retain(|it| !partitions.contains(it));
                self.pending.remove(partitions);
                self.metrics.lag.revoked(self.worker, partitions);
            }
        }
        Ok(())
    }

    /// Starts to fetch `partitions` from the group's committed offsets.
    ///
    /// We look these up ourselves, because librdkafka may lose an answer "not stable yet" that
    /// arrives after another rebalance: librdkafka then starts at the beginning, as if there were
    /// no committed offset, which duplicates all outcomes (2.12.1,
    /// `rd_kafka_assignment_apply_offsets`).
    fn start(&mut self, partitions: &[i32]) -> Result<(), Fault> {
        let committed = match self.committed_offsets(partitions, FIRST_LOOKUP_TIMEOUT)? {
            Some(list) => list,
            None if is_incremental(&self.consumer) => {
                // A crashed member's transaction is still open: only its partitions wait.
                self.pending.add(partitions, Instant::now());
                TopicPartitionList::new()
            }
            None => self.wait_for_committed_offsets(partitions)?,
        };
        self.fetch_from(&committed)
    }

    fn wait_for_committed_offsets(&self, partitions: &[i32]) -> Result<TopicPartitionList, Fault> {
        let started = Instant::now();
        loop {
            if let Some(list) = self.committed_offsets(partitions, LOOKUP_TIMEOUT)? {
                return Ok(list);
            }
            let is_member = self.group_metadata().is_some_and(|metadata| metadata.is_known());
            if !is_member || started.elapsed() > COMMITTED_OFFSETS_TIMEOUT {
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
        match self.committed_offsets(&[partition], timeout)? {
            // (To assign a partition would hide from `assignment_lost` that all were lost.)
            Some(list) if !self.assignment_lost() => {
                self.fetch_from(&list)?;
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

    /// Adds partitions to the assignment, each from its offset on.
    fn fetch_from(&self, list: &TopicPartitionList) -> Result<(), Fault> {
        assign(&self.consumer, list)?;
        let starts = list.elements();
        self.committed(starts.iter().map(|it| Position {
            partition: it.partition(),
            offset: if let Offset::Offset(offset) = it.offset() { offset } else { 0 },
        }));
        if self.is_paused() && list.count() > 0 {
            self.consumer.pause(list)?;
        }
        Ok(())
    }

    /// The group's committed offsets, or the beginning where there is none. `None` while an open
    /// transaction may still change them, or if no broker answers.
    fn committed_offsets(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<Option<TopicPartitionList>, Fault> {
        let list = self.list(partitions.iter().map(|&it| (it, Offset::Invalid)))?;
        let Ok(committed) = self.consumer.committed_offsets(list, timeout) else {
            return Ok(None);
        };
        let elements = committed.elements();
        if elements.iter().any(|element| element.error().is_err()) {
            return Ok(None);
        }
        let starts = elements.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => (element.partition(), Offset::Offset(offset)),
            _ => (element.partition(), Offset::Beginning),
        });
        self.list(starts).map(Some)
    }

    /// Seeks to these positions, except those of partitions that are no longer assigned.
    pub fn seek(&self, positions: impl Iterator<Item = Position>) -> Result<(), Fault> {
        let list = self.offsets(positions.filter(|it| self.assigned.contains(&it.partition)))?;
        if list.count() == 0 {
            return Ok(()); // librdkafka rejects an empty list
        }
        let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT)?;
        for element in list.elements() {
            // If one seek failed, that partition would skip records.
            element.error()?;
        }
        Ok(())
    }

    /// Commits positions outside of a transaction. During a rebalance the group refuses commits,
    /// and completes it without this thread. Aborting the epoch instead would duplicate its
    /// outcomes.
    pub fn commit(&self, positions: impl Iterator<Item = Position>) -> Result<(), Fault> {
        let list = self.offsets(positions)?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        loop {
            match self.consumer.commit(&list, CommitMode::Sync) {
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

    /// Reports committed positions to the lag.
    pub fn committed(&self, positions: impl Iterator<Item = Position>) {
        self.metrics.lag.committed(self.worker, positions.map(Into::into));
    }

    /// Leaves the group. A consumer that has not closed within `budget` is left behind.
    pub fn leave(self, budget: Duration) {
        self.metrics.lag.revoked(self.worker, &self.assigned);
        let consumer = self.consumer;
        consumer.context().close();
        // A rebalance event that a fault left unanswered would block the group. Both answers are
        // given; librdkafka ignores the one that it did not ask for.
        let nothing = TopicPartitionList::new();
        if let Err(error) = assign(&consumer, &nothing) {
            tracing::debug!(%error, "empty assignment rejected");
        }
        unassign(&consumer, &consumer.assignment().unwrap_or(nothing));
        // Under the classic protocol a member that is closed while it has no partitions and is
        // about to join again does not leave (librdkafka 2.12.1, join state "init"), and the group
        // waits for its session to time out. A member that unsubscribes leaves.
        if !self.is_static && !self.hides_empty {
            consumer.unsubscribe();
        }
        if !finishes_within(budget, move || drop(consumer)) {
            tracing::warn!(
                seconds = budget.as_secs(),
                "the consumer could not leave the group in time; its session will time out"
            );
        }
    }

    fn offsets(
        &self,
        positions: impl Iterator<Item = Position>,
    ) -> Result<TopicPartitionList, Fault> {
        self.list(positions.map(|it| (it.partition, Offset::Offset(it.offset))))
    }

    fn list(
        &self,
        positions: impl Iterator<Item = (i32, Offset)>,
    ) -> Result<TopicPartitionList, Fault> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            list.add_partition_offset(&self.topic, partition, offset)?;
        }
        Ok(list)
    }
}
