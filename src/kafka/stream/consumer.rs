//! Where records come from: a consumer in a group, and its place in it.

use std::collections::VecDeque;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::{Change, ConsumerEvents, assign, takes_more, unassign};
use crate::kafka::client::config::bootstrap;
use crate::kafka::client::deadline::finishes_within;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{self, GroupMetadata};
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::telemetry::metrics::Metrics;

/// How long the group's positions are waited for at first, and at most before its other partitions are looked after again.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Beyond this no transaction of a crashed member is open any more: what still waits is told of, or ends the worker.
const POSITION_TIMEOUT: Duration = Duration::from_mins(1);
/// How long going back in a partition may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a rebalance may hold a commit up: longer than the embedded broker's takes, which is nearly a session.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(12);

/// What a poll brought.
pub enum Polled<'a> {
    Record(BorrowedMessage<'a>),
    /// The group changed this worker's assignment: answer by [`GroupConsumer::follow`].
    Changed(Change),
    /// No record came within the time given.
    Drained,
}

/// One worker's consumer.
pub struct GroupConsumer {
    consumer: BaseConsumer<ConsumerEvents>,
    access: Arc<Access>,
    group: String,
    topic: String,
    bootstrap: CString,
    worker: usize,
    assigned: Vec<i32>,
    /// Those of them that are not read yet, as their positions are not known.
    waiting: VecDeque<i32>,
    /// When to look for the next of these positions, and how long that may take.
    next_look: Instant,
    look: Duration,
    /// Since when they wait, or it was last said that they do.
    waits_since: Instant,
    /// The group's protocol tells of an assignment only where there is one.
    hides_empty: bool,
    /// Has a name that outlives it: then it does not leave the group.
    is_static: bool,
    metrics: Arc<Metrics>,
}

impl GroupConsumer {
    /// Joins the group.
    pub fn join(
        config: &ClientConfig,
        access: &Arc<Access>,
        topic: &str,
        worker: usize,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let events = ConsumerEvents::new(access, topic, worker, Arc::clone(&metrics));
        let consumer: BaseConsumer<_> = config.create_with_context(events)?;
        consumer.subscribe(&[topic])?;
        Ok(Self {
            consumer,
            access: Arc::clone(access),
            group: config.get("group.id").unwrap_or_default().to_owned(),
            topic: topic.to_owned(),
            bootstrap: bootstrap(config),
            worker,
            assigned: Vec::new(),
            waiting: VecDeque::new(),
            next_look: Instant::now(),
            look: FIRST_LOOK,
            waits_since: Instant::now(),
            hides_empty: config.get("group.protocol") == Some("consumer"),
            is_static: config.get("group.instance.id").is_some(),
            metrics,
        })
    }

    /// The next record, or what else there is to do.
    pub fn poll(&self, timeout: Duration) -> Result<Polled<'_>, Fault> {
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => Ok(Polled::Record(message)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(match self.consumer.client().fatal_error() {
                    Some((Code::FencedInstanceId, _)) => Cause::MemberFenced.into(),
                    Some((code, _)) => Cause::ConsumerFailed(code).into(),
                    None => error.into(),
                })
            }
            Some(Err(error)) => match self.denied(&error) {
                // A member that reads nothing is none.
                Some(right) => Err(Cause::Denied(self.access.record_denied(right)).into()),
                // Brokers come back, topics appear: librdkafka goes on trying by itself, and `report` has told of it.
                None => Ok(Polled::Drained),
            },
            None => {
                Ok(self.consumer.context().next_change().map_or(Polled::Drained, Polled::Changed))
            }
        }
    }

    /// The right that the brokers miss.
    fn denied(&self, error: &KafkaError) -> Option<Right> {
        match error.rdkafka_error_code()? {
            Code::GroupAuthorizationFailed => Some(Right::of_group(&self.group)),
            Code::TopicAuthorizationFailed => Some(Right::on_topic(Operation::Read, &self.topic)),
            _ => None,
        }
    }

    /// Helps a consumer that has forgotten all brokers.
    pub fn find_brokers(&self) {
        if self.consumer.context().take_lost() {
            native::remind_of(self.consumer.client(), &self.bootstrap);
        }
    }

    /// This worker's membership now; `None` while it is no member.
    pub fn membership(&self) -> Option<GroupMetadata> {
        GroupMetadata::of(self.consumer.client())
    }

    /// Whether the group has taken this worker in, has nothing for it and does not say so.
    pub fn is_in_reserve(&self) -> bool {
        self.hides_empty
            && self.assigned.is_empty()
            && self.membership().is_some_and(|membership| membership.generation() > 0)
    }

    /// Whether reading pauses.
    pub fn is_paused(&self) -> bool {
        self.consumer.context().paused.load(Ordering::Relaxed)
    }

    /// Pauses reading in all partitions, also those that are yet to come, or goes on.
    pub fn set_paused(&self, paused: bool) -> Result<(), Fault> {
        let context = self.consumer.context();
        context.paused.store(paused, Ordering::Relaxed);
        let list = self.consumer.assignment()?;
        if paused {
            self.consumer.pause(&list)?;
        } else {
            self.consumer.resume(&list)?;
        }
        Ok(())
    }

    /// Whether the group took the assignment away without asking (session over): what was done must not be committed.
    pub fn lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Answers a change: the group goes on from here.
    pub fn follow(&mut self, change: &Change) -> Result<(), Fault> {
        self.metrics.rebalances.inc();
        match change {
            Change::Assigned(partitions) => {
                self.assigned.extend(partitions);
                self.metrics.lag.assigned(self.worker, partitions);
                self.start(partitions)?;
            }
            Change::Revoked(partitions) => {
                let list = self.list(partitions.iter().map(|&it| (it, Offset::Invalid)))?;
                if self.is_paused() {
                    // librdkafka would keep the pause for the day the partition comes back.
                    self.consumer.resume(&list)?;
                }
                unassign(&self.consumer, &list);
                self.assigned.retain(|it| !partitions.contains(it));
                self.waiting.retain(|it| !partitions.contains(it));
                self.metrics.lag.revoked(self.worker, partitions);
            }
        }
        Ok(())
    }

    /// Reads `partitions` from the group's positions on.
    ///
    /// librdkafka would look the positions up by itself, but an answer "not stable yet" that comes after another change of the
    /// assignment it takes for "no position", and begins the partition anew: everything in it would be answered twice
    /// (2.12.1, `rd_kafka_assignment_apply_offsets`). So it is told where to begin.
    fn start(&mut self, partitions: &[i32]) -> Result<(), Fault> {
        let known = self.positions(partitions, FIRST_LOOK)?;
        let known = match known {
            Some(list) => list,
            None if takes_more(&self.consumer) => {
                // A crashed member's transaction is still open: its partitions wait, the others do not.
                if self.waiting.is_empty() {
                    self.waits_since = Instant::now();
                }
                self.waiting.extend(partitions);
                TopicPartitionList::new()
            }
            None => {
                let started = Instant::now();
                loop {
                    if let Some(list) = self.positions(partitions, LONGEST_LOOK)? {
                        break list;
                    }
                    let known = self.membership().is_some_and(|it| it.is_known());
                    if !known || started.elapsed() > POSITION_TIMEOUT {
                        return Err(Cause::OffsetsUnknown.into());
                    }
                }
            }
        };
        self.read(&known)
    }

    /// Takes partitions into the assignment, each from its position on.
    fn read(&self, list: &TopicPartitionList) -> Result<(), Fault> {
        assign(&self.consumer, list)?;
        let begins = list.elements();
        self.committed(begins.iter().map(|it| match it.offset() {
            Offset::Offset(offset) => (it.partition(), offset),
            _ => (it.partition(), 0),
        }));
        if self.is_paused() && list.count() > 0 {
            self.consumer.pause(list)?;
        }
        Ok(())
    }

    /// Starts the next of the partitions whose positions were not known, if its position is known by now.
    pub fn start_waiting(&mut self) -> Result<(), Fault> {
        let due = !self.waiting.is_empty() && Instant::now() >= self.next_look;
        let Some(partition) = due.then(|| self.waiting.pop_front()).flatten() else {
            return Ok(());
        };
        match self.positions(&[partition], self.look)? {
            // (To take a partition would hide from `lost` that all were taken away.)
            Some(list) if !self.lost() => {
                self.read(&list)?;
                self.look = FIRST_LOOK;
            }
            _ => {
                self.waiting.push_back(partition);
                // The other partitions have most of the time.
                self.next_look = Instant::now() + 4 * self.look;
                self.look = (self.look * 2).min(LONGEST_LOOK);
                if self.waits_since.elapsed() > POSITION_TIMEOUT {
                    self.waits_since = Instant::now();
                    tracing::warn!(
                        worker = self.worker,
                        partitions = ?self.waiting,
                        "not read, as the group's positions are not known: a transaction holds them open, or no broker answers"
                    );
                }
            }
        }
        Ok(())
    }

    /// Where the group goes on reading; none while a transaction that is open may still move it, or no broker answers.
    fn positions(
        &self,
        partitions: &[i32],
        timeout: Duration,
    ) -> Result<Option<TopicPartitionList>, Fault> {
        let list = self.list(partitions.iter().map(|&it| (it, Offset::Invalid)))?;
        let Ok(committed) = self.consumer.committed_offsets(list, timeout) else {
            return Ok(None);
        };
        if committed.elements().iter().any(|element| element.error().is_err()) {
            return Ok(None);
        }
        let positions = committed.elements();
        let begin = positions.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => (element.partition(), Offset::Offset(offset)),
            _ => (element.partition(), Offset::Beginning),
        });
        self.list(begin).map(Some)
    }

    /// Goes back to `starts`, as far as their partitions are still assigned.
    pub fn rewind(&self, starts: impl Iterator<Item = (i32, i64)>) -> Result<(), Fault> {
        let starts = starts.filter(|(partition, _)| self.assigned.contains(partition));
        let list =
            self.list(starts.map(|(partition, offset)| (partition, Offset::Offset(offset))))?;
        if list.count() == 0 {
            return Ok(()); // librdkafka takes an empty list for an error
        }
        let list = self.consumer.seek_partitions(list, SEEK_TIMEOUT)?;
        for element in list.elements() {
            // A partition that stays where it is would skip records.
            element.error()?;
        }
        Ok(())
    }

    /// Commits positions outside of a transaction. Between two generations the group takes none, and gets on without this
    /// thread: to give the epoch up for that would double its outcomes.
    pub fn commit(&self, positions: impl Iterator<Item = (i32, i64)>) -> Result<(), Fault> {
        let list =
            self.list(positions.map(|(partition, offset)| (partition, Offset::Offset(offset))))?;
        let deadline = Instant::now() + COMMIT_TIMEOUT;
        loop {
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => return Ok(()),
                Err(KafkaError::ConsumerCommit(
                    Code::RebalanceInProgress | Code::IllegalGeneration | Code::StaleMemberEpoch,
                )) if !self.lost() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(Cause::OffsetsNotCommitted(error).into()),
            }
        }
    }

    /// Notes positions that were committed, for the lag.
    pub fn committed(&self, positions: impl Iterator<Item = (i32, i64)>) {
        self.metrics.lag.committed(self.worker, positions);
    }

    /// Leaves the group, in at most `budget`: a consumer whose brokers hang is left behind.
    pub fn leave(self, budget: Duration) {
        self.metrics.lag.revoked(self.worker, &self.assigned);
        let consumer = self.consumer;
        consumer.context().close();
        // A change that was not answered, as a fault came in between, would keep the group waiting for ever. There are two
        // answers; librdkafka passes over the one that it did not ask for.
        let nothing = TopicPartitionList::new();
        if let Err(error) = assign(&consumer, &nothing) {
            tracing::debug!(%error, "nothing to take");
        }
        unassign(&consumer, &consumer.assignment().unwrap_or(nothing));
        // Under the classic protocol a member that is closed when it has nothing and is about to join again does not leave (librdkafka
        // 2.12.1, join state "init"), and the group waits for it for a session. One that ends its subscription does.
        if !self.is_static && !self.hides_empty {
            consumer.unsubscribe();
        }
        if !finishes_within(budget, move || drop(consumer)) {
            tracing::warn!(
                seconds = budget.as_secs(),
                "the group could not be left in time; its session will end by itself"
            );
        }
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
