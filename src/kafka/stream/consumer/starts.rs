//! Starts partitions where [`crate::kafka::stream::start::decide`] says, and starts a standing one
//! again as soon as it can be read.

use std::iter;
use std::time::{Duration, Instant};

use super::{GroupConsumer, Interruption};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::Offsets;
use crate::kafka::client::native::offsets::PartitionOffset;
use crate::kafka::stream::announce;
use crate::kafka::stream::assignment::{assign, partition_list, unassign};
use crate::kafka::stream::standing::Standing;
use crate::kafka::stream::start::{Committed, Start};
use crate::telemetry::health::PartitionTrouble;

/// The timeout of a lookup of committed offsets that may fail: new partitions become pending (under
/// the eager protocol it is only the first attempt), and standing ones are looked up again later.
const FIRST_LOOKUP_TIMEOUT: Duration = Duration::from_millis(100);
/// The timeout of each further attempt under the eager protocol, which starts all partitions
/// together.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// After this time no transaction of a crashed member can be open. If the committed offsets are
/// still unknown under the eager protocol, the worker restarts; it may do so earlier, as it loses its
/// membership after `max.poll.interval.ms`.
const COMMITTED_OFFSETS_TIMEOUT: Duration = Duration::from_mins(1);
/// How long to wait for the seek that validates positions.
const VALIDATION_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for a ledger that the watch has not seen. An operator has to create it, and
/// until then each rebalance of the group would wait for this worker: it restarts instead.
const MISSING_LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

impl GroupConsumer {
    /// Starts to fetch `partitions`, each where `start::decide` says.
    ///
    /// We look the group's committed offsets up ourselves, because librdkafka may lose an answer
    /// "not stable yet" that arrives after another rebalance: librdkafka then starts at the
    /// beginning, as if there were no committed offset, which duplicates all outcomes (2.12.1,
    /// `rd_kafka_assignment_apply_offsets`).
    pub(super) fn start(&mut self, partitions: &[i32]) -> Result<(), Fault> {
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

    /// Where the partitions start. A stop ends the wait, and none of them starts.
    fn wait_for_starts(&mut self, partitions: &[i32]) -> Result<Vec<(i32, Start)>, Fault> {
        let started = Instant::now();
        loop {
            if let Some(starts) = self.look_up(partitions, LOOKUP_TIMEOUT) {
                return Ok(starts);
            }
            if self.shared.telemetry.health.is_stopping() {
                return Ok(Vec::new());
            }
            self.settle_leftovers(Instant::now())?;
            let is_member = self.group_metadata().is_some();
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
    pub(super) fn start_pending(&mut self) -> Result<(), Fault> {
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
                let overdue = self.pending.overdue(self.leftovers.timeout(), Instant::now());
                let overdue = overdue.into_iter().flatten();
                for &partition in overdue.filter(|it| !self.leftovers.is_announced(**it)) {
                    let unanswered = self.lookup.unanswered();
                    announce::waits(&self.shared, self.worker, partition, unanswered);
                }
            }
        }
        Ok(())
    }

    /// Settles a transaction of a dead producer that holds a partition up.
    pub(super) fn settle_leftovers(&mut self, now: Instant) -> Result<(), Fault> {
        let Some(partition) = self.leftovers.due(now) else {
            return Ok(());
        };
        let waits = self.tracks.get_mut().position(partition).is_none();
        self.leftovers.look(partition, waits, &self.lookup.ledger)
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
        self.validate(&entries);
        self.pause_new(entries.iter().map(|it| it.partition), &standing)
    }

    /// Asks whether the log was truncated below the positions. librdkafka asks the leader when it
    /// seeks to an offset with a leader epoch, but not when the partition is assigned.
    fn validate(&self, entries: &[PartitionOffset]) {
        let known: Vec<_> = entries.iter().filter(|it| it.leader_epoch.is_some()).collect();
        if known.is_empty() {
            return;
        }
        let list = Offsets::new(&self.lookup.topic, known.into_iter().cloned());
        if let Err(error) = self.consumer.seek(&list, VALIDATION_TIMEOUT) {
            tracing::debug!(worker = self.worker, %error, "positions were not validated");
        }
    }

    /// Notes a decision, and returns the position to assign the partition at.
    fn decided(&mut self, partition: i32, start: Start, standing: &mut Vec<i32>) -> Committed {
        self.leftovers.started(partition);
        let health = &self.shared.telemetry.health;
        health.withdraw(self.worker, partition, PartitionTrouble::Waits);
        let (tracks, now) = (self.tracks.get_mut(), Instant::now());
        match start {
            Start::At { position, notices } => {
                announce::log_notices(&self.shared, partition, &notices);
                let before = tracks.position(partition);
                if let Some(before) = before.filter(|it| it.reset_ms < position.reset_ms) {
                    announce::log_reset(&self.shared, partition, before.offset, position.offset);
                }
                tracks.start(partition, position.clone(), now);
                let lag = &self.shared.telemetry.metrics.lag;
                lag.committed(self.worker, iter::once((partition, position.offset)));
                position
            }
            Start::Standing(reason) => {
                // Nothing is read from here, because the partition is paused right after its
                // assignment. The offset only must not be beyond the end.
                let offset = if let Standing::BeyondEnd { end, .. } = reason { end } else { 0 };
                tracks.stand(partition, reason, now);
                standing.push(partition);
                Committed::at(offset)
            }
        }
    }

    /// Pauses those of the partitions just assigned that must not be read now.
    fn pause_new(&self, added: impl Iterator<Item = i32>, standing: &[i32]) -> Result<(), Fault> {
        let must_pause = |partition: &i32| self.is_paused() || standing.contains(partition);
        self.pause(&added.filter(must_pause).collect::<Vec<_>>())
    }

    fn pause(&self, partitions: &[i32]) -> Result<(), Fault> {
        if partitions.is_empty() {
            return Ok(());
        }
        Ok(self.consumer.pause(&partition_list(&self.lookup.topic, partitions))?)
    }

    /// Stops reading a partition, after all that was read of it is committed.
    pub fn interrupt(&mut self, interruption: Interruption) -> Result<(), Fault> {
        let Interruption { partition, reason, is_new_topic } = interruption;
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
    /// the data were repaired.
    pub(super) fn look_again(&mut self) -> Result<(), Fault> {
        let due = self.tracks.get_mut().due(Instant::now());
        if due.is_empty() || self.assignment_lost() {
            return Ok(());
        }
        let Some(starts) = self.look_up(&due, FIRST_LOOKUP_TIMEOUT) else {
            return Ok(());
        };
        for (partition, start) in starts {
            if let Start::At { position, .. } = &start
                && self.tracks.get_mut().needs_operator(partition, position)
            {
                continue;
            }
            self.restart(partition, start)?;
        }
        Ok(())
    }

    /// Fetches a partition from another position on. A seek does not suffice, because librdkafka
    /// has stopped fetching it.
    fn restart(&mut self, partition: i32, start: Start) -> Result<(), Fault> {
        let was_not_read = !self.tracks.get_mut().is_reading(partition);
        let mut standing = Vec::new();
        let position = self.decided(partition, start, &mut standing);
        if was_not_read && !standing.is_empty() {
            return self.pause(&standing);
        }
        let topic = &self.lookup.topic;
        let entry = position.entry(partition);
        let list = Offsets::new(topic, [entry.clone()].into_iter());
        self.consumer.resume(&list)?;
        if self.consumer.is_incremental() {
            unassign(&self.consumer, topic, &list);
            assign(&self.consumer, &list)?;
            return self.pause_new([partition].into_iter(), &standing);
        }
        let tracks = self.tracks.get_mut();
        let all: Vec<_> = tracks.iter().map(|(it, position, _)| position.entry(it)).collect();
        let standing: Vec<_> =
            tracks.iter().filter(|(_, _, is_reading)| !is_reading).map(|(it, ..)| it).collect();
        assign(&self.consumer, &Offsets::new(topic, all.iter().cloned()))?;
        self.pause_new(all.iter().map(|it| it.partition), &standing)
    }

    /// Tells operators which partitions are standing, and which no longer are.
    pub(super) fn announce(&mut self) -> Result<(), Fault> {
        let changes = self.tracks.get_mut().changes(Instant::now());
        let stopped = announce::announce(&self.shared, self.worker, &changes);
        self.pause(&stopped)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::{MockCluster, MockCoordinator};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::kafka::stream::tests::Service;
    use crate::telemetry::now_ms;
    use crate::telemetry::obstacle::Obstacle;

    #[test]
    fn a_partition_whose_position_stays_unknown_is_reported_until_it_is_known() {
        let brokers = MockCluster::new(1).unwrap();
        let unstable = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;
        brokers.request_errors(RDKafkaApiKey::OffsetFetch, &[unstable; 2_000]);
        let timeout = [("KAFKA__PRODUCER__TRANSACTION_TIMEOUT_MS", "1000")];
        let service = Service::start(&brokers.bootstrap_servers(), &timeout);
        let topic = service.shared().outputs.topics.requests.name.clone();
        brokers.create_topic(&topic, 1, 1).unwrap();
        let reported = || {
            let mut problems = service.health.problems().into_iter();
            problems.find(|it| it.obstacle == Obstacle::PositionUnknown)
        };
        service.wait_until(|| reported().is_some());
        let text = reported().unwrap().text;
        assert_eq!(
            text,
            format!(
                "{topic} partition 0 is not read: the brokers do not say where it continues \
                 (no answer yet: committed offsets)"
            )
        );
        brokers.clear_request_errors(RDKafkaApiKey::OffsetFetch);
        service.wait_until(|| reported().is_none());
        service.stop(Duration::from_secs(20));
    }

    #[test]
    fn what_librdkafka_reports_once_about_a_partition_is_not_lost_with_an_aborted_epoch() {
        let brokers = MockCluster::new(2).unwrap();
        let servers = brokers.bootstrap_servers();
        let long = [
            ("DELIVERY__COMMIT_INTERVAL_MS", "10000"),
            ("DELIVERY__COMMIT_MIN_INTERVAL_MS", "10000"),
            ("KAFKA__PRODUCER__MESSAGE_TIMEOUT_MS", "2000"),
            ("KAFKA__PRODUCER__LINGER_MS", "1000"),
        ];
        let service = Service::start(&servers, &long);
        let topics = &service.shared().outputs.topics;
        for (_, topic) in topics.iter() {
            brokers.create_topic(&topic.name, 2, 1).unwrap();
            for (partition, leader) in [(0, 1), (1, 2)] {
                brokers.partition_leader(&topic.name, partition, Some(leader)).unwrap();
            }
        }
        let group = MockCoordinator::Group(service.shared().group.clone());
        brokers.coordinator(group, 2).unwrap();
        service.wait_until(|| service.health.problems().is_empty());
        // The broker of partition 0 does not get its outcome, and reports nothing else meanwhile.
        service.request(&servers, 0);
        let lag = &service.metrics.lag;
        service.wait_until(|| lag.read(now_ms()).iter().any(|it| it.lag > Some((0, 0))));
        brokers.broker_down(1).unwrap();
        let out_of_range = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE;
        brokers.request_errors(RDKafkaApiKey::Fetch, &[out_of_range]);
        service.wait_until(|| service.metrics.aborts.get() > 0);
        brokers.broker_up(1).unwrap();
        service.request(&servers, 1);
        service.wait_until(|| service.results(&servers, 1) == 1);
        service.wait_until(|| service.results(&servers, 0) == 1);
        service.stop(Duration::from_secs(20));
    }

    #[test]
    fn a_stop_ends_the_wait_for_committed_offsets() {
        let brokers = MockCluster::new(1).unwrap();
        let unstable = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT;
        brokers.request_errors(RDKafkaApiKey::OffsetFetch, &[unstable; 1_000]);
        // A named instance rebalances eagerly: its partitions cannot wait.
        let service =
            Service::start(&brokers.bootstrap_servers(), &[("KAFKA__INSTANCE_ID", "only")]);
        brokers.create_topic(&service.shared().outputs.topics.requests.name, 1, 1).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while service.metrics.rebalances.get() == 0 {
            assert!(Instant::now() < deadline, "no partitions were assigned");
            std::thread::sleep(Duration::from_millis(50));
        }
        let stopped = Instant::now();
        service.stop(Duration::from_secs(20));
        let waited = stopped.elapsed();
        assert!(waited < Duration::from_secs(8), "{waited:?}");
    }
}
