//! Where records come from: a consumer in a group, and its place in it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::context::{Change, ConsumerEvents, assign, unassign};
use super::fault::Fault;
use super::native::{self, GroupMetadata};
use crate::telemetry::metrics::Metrics;

/// How long going back in a partition may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a rebalance may hold a commit up: longer than the embedded broker's takes, which is nearly a session.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(12);

/// What a poll brought.
pub(super) enum Polled<'a> {
    Record(BorrowedMessage<'a>),
    /// The group changed this worker's assignment: answer by [`Source::follow`].
    Changed(Change),
    /// No record came within the time given.
    Drained,
}

/// One worker's consumer.
pub(super) struct Source {
    consumer: BaseConsumer<ConsumerEvents>,
    topic: String,
    assigned: Vec<i32>,
    /// The group's protocol tells of an assignment only where there is one.
    hides_empty: bool,
    metrics: Arc<Metrics>,
}

impl Source {
    /// Joins the group.
    pub(super) fn join(
        config: &ClientConfig,
        topic: &str,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let events = ConsumerEvents::new(topic, Arc::clone(&metrics));
        let consumer: BaseConsumer<_> = config.create_with_context(events)?;
        consumer.subscribe(&[topic])?;
        Ok(Self {
            consumer,
            topic: topic.to_owned(),
            assigned: Vec::new(),
            hides_empty: config.get("group.protocol") == Some("consumer"),
            metrics,
        })
    }

    /// The next record, or what else there is to do.
    pub(super) fn poll(&self, timeout: Duration) -> Result<Polled<'_>, Fault> {
        match self.consumer.poll(timeout) {
            Some(Ok(message)) => Ok(Polled::Record(message)),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(match native::fatal_error(self.consumer.client()) {
                    Some(Code::FencedInstanceId) => Fault::Fenced(
                        "another member of the group uses this kafka.instance_id".to_owned(),
                    ),
                    Some(code) => Fault::Restart(code.to_string()),
                    None => error.into(),
                })
            }
            // Brokers come back, topics appear: librdkafka goes on trying by itself, and `report` has told of it.
            Some(Err(_)) => Ok(Polled::Drained),
            None => Ok(self
                .consumer
                .context()
                .next_change()
                .map_or(Polled::Drained, Polled::Changed)),
        }
    }

    /// This worker's membership now; `None` while it is no member.
    pub(super) fn membership(&self) -> Option<GroupMetadata> {
        GroupMetadata::of(self.consumer.client())
    }

    /// Whether the group has taken this worker in, has nothing for it and does not say so.
    pub(super) fn is_in_reserve(&self) -> bool {
        self.hides_empty
            && self.assigned.is_empty()
            && self
                .membership()
                .is_some_and(|membership| membership.generation() > 0)
    }

    /// Whether the group took the assignment away without asking (session over): what was done must not be committed.
    pub(super) fn lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Answers a change: the group goes on from here.
    pub(super) fn follow(&mut self, change: &Change) -> Result<(), Fault> {
        self.metrics.rebalances.inc();
        match change {
            Change::Assigned(partitions) => {
                assign(
                    &self.consumer,
                    &self.list(
                        partitions
                            .iter()
                            .map(|&partition| (partition, Offset::Stored)),
                    )?,
                )?;
                self.assigned.extend(partitions);
            }
            Change::Revoked(partitions) => {
                unassign(
                    &self.consumer,
                    &self.list(
                        partitions
                            .iter()
                            .map(|&partition| (partition, Offset::Invalid)),
                    )?,
                );
                self.consumer.context().forget(partitions);
                self.assigned
                    .retain(|partition| !partitions.contains(partition));
            }
        }
        let (partitions, assigned) = match change {
            Change::Assigned(partitions) => (partitions, true),
            Change::Revoked(partitions) => (partitions, false),
        };
        for &partition in partitions {
            self.metrics.set_assigned(partition, assigned);
        }
        Ok(())
    }

    /// Goes back to `starts`, as far as their partitions are still assigned.
    pub(super) fn rewind(&self, starts: impl Iterator<Item = (i32, i64)>) -> Result<(), Fault> {
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
    pub(super) fn commit(&self, positions: impl Iterator<Item = (i32, i64)>) -> Result<(), Fault> {
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
                Err(error) => return Err(Fault::Abort(error.to_string())),
            }
        }
    }

    /// Notes positions that were committed, for the lag.
    pub(super) fn committed(&self, positions: impl Iterator<Item = (i32, i64)>) {
        self.consumer.context().committed(positions);
    }

    /// Leaves the group, in at most `budget`: a consumer whose brokers hang is left behind.
    pub(super) fn leave(self, budget: Duration) {
        self.assigned
            .iter()
            .for_each(|&partition| self.metrics.set_assigned(partition, false));
        let consumer = self.consumer;
        consumer.context().close();
        // Changes noted and not yet followed would keep the group waiting for ever.
        while let Some(change) = consumer.context().next_change() {
            if let Change::Revoked(_) = change
                && let Ok(list) = consumer.assignment()
            {
                unassign(&consumer, &list);
            }
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

/// Runs `work` on a thread of its own; `false` when it takes longer than `budget` and is left behind.
pub(super) fn finishes_within(budget: Duration, work: impl FnOnce() + Send + 'static) -> bool {
    let thread = std::thread::spawn(work);
    let deadline = Instant::now() + budget;
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    thread.is_finished()
}
