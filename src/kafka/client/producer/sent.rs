//! How many records a transaction has sent to each partition: no record goes to a held partition,
//! and after an abort it is known where it left records.

use std::ffi::CStr;
use std::time::Duration;

use super::events::Lost;
use super::unsettled::{Ending, Place};
use super::{OutputProducer, SLOW_COMMIT, Transaction};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native;

/// How long the reports of records that were given up may take.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);

/// How many records of a transaction were queued for a partition.
#[derive(Debug)]
pub struct SentTo {
    pub place: Place,
    pub records: usize,
}

impl SentTo {
    fn is(&self, topic: &CStr, partition: i32) -> bool {
        self.place.1 == partition && self.place.0.as_c_str() == topic
    }
}

impl OutputProducer {
    /// Counts a record to be sent to this partition.
    pub(super) fn note_sent(&mut self, topic: &CStr, partition: i32) -> Result<(), Fault> {
        if self.calls.is_none() {
            return Ok(());
        }
        if self.sent.get(self.latest).is_some_and(|to| to.is(topic, partition)) {
            return Ok(());
        }
        if let Some(known) = self.sent.iter().position(|to| to.is(topic, partition)) {
            self.latest = known;
            return Ok(());
        }
        let place = (topic.to_owned(), partition);
        if self.has_held && self.settings.unsettled.lock().holds(&place) {
            let text = format!("{} has partitions without a leader", topic.to_string_lossy());
            return Err(Cause::NotSettled(text).into());
        }
        self.latest = self.sent.len();
        self.sent.push(SentTo { place, records: 0 });
        Ok(())
    }

    /// Notes that the open transaction was aborted, if the brokers have stored records of it.
    ///
    /// If they have stored none, the transaction before it is still the last one that may lack
    /// markers. It may have been committed: settling it by an abort would discard its outcomes.
    pub(super) fn note_aborted(&self) {
        if !matches!(self.transaction, Transaction::Open) {
            return;
        }
        // What is still queued is reported as undelivered. After an abort nothing is queued.
        self.client.purge();
        native::flush(self.client.client(), PURGE_TIMEOUT);
        let undelivered = self.events().undelivered.lock();
        let counts_doubtful = self.previous_has_its_markers();
        let lost = |place: &Place| {
            let Lost { surely, perhaps } = undelivered.get(place).copied().unwrap_or_default();
            if counts_doubtful { surely } else { surely + perhaps }
        };
        let mut unsettled = self.settings.unsettled.lock();
        let sent: usize = self.sent.iter().map(|to| to.records).sum();
        if sent > undelivered.keys().map(lost).sum() {
            unsettled.last = Some(Ending::Abort);
        }
        let stored = self.sent.iter().filter(|to| to.records > lost(&to.place));
        unsettled.written = Some(stored.map(|to| to.place.clone()).collect());
    }

    /// Whether the markers of the committed transaction before the open one were written wherever
    /// this one has sent a batch.
    ///
    /// The coordinator lets a transaction send its first batch when all markers of the one before
    /// are written or skipped. It skips those of a broker that has been silent for some seconds,
    /// and that broker has answered the transaction before. So if little time has passed since that
    /// began, none was skipped, and of a record whose storing is in doubt the abort is right: either
    /// it is stored, or the partition has nothing to end.
    fn previous_has_its_markers(&self) -> bool {
        match (self.committed, *self.events().first_batch.lock()) {
            (Some(began), Some(sent)) => sent.duration_since(began) <= SLOW_COMMIT,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::config::load_from;
    use crate::kafka::client::config::Clients;
    use crate::kafka::client::native::Outgoing;
    use crate::kafka::client::producer::unsettled::Unsettled;
    use crate::kafka::client::producer::{IfUnanswered, ProducerSettings, Sent};

    type Brokers = MockCluster<'static, DefaultProducerContext>;

    fn brokers() -> Brokers {
        let brokers = MockCluster::new(1).unwrap();
        for topic in ["results", "failures"] {
            brokers.create_topic(topic, 2, 1).unwrap();
        }
        brokers
    }

    /// A producer that knows of these partitions without a leader.
    fn producer(brokers: &Brokers, leaderless: &[(&CStr, i32)]) -> (OutputProducer, Unsettled) {
        let bootstrap =
            ("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS".into(), brokers.bootstrap_servers().into());
        let settings = load_from(&[], [bootstrap], |_, _| Ok(())).unwrap().settings;
        let clients = Clients::new(&settings);
        let unsettled = Unsettled::default();
        let held: Vec<Place> =
            leaderless.iter().map(|(topic, it)| ((*topic).to_owned(), *it)).collect();
        let settings = ProducerSettings {
            config: clients.producer(0),
            access: Arc::clone(&clients.access),
            group: "group".to_owned(),
            worker: 0,
            metrics: None,
            if_unanswered: IfUnanswered::Replace,
            reach: Box::new(|| None),
            leaderless: Box::new(move || held.clone()),
            unsettled: Arc::clone(&unsettled),
        };
        (OutputProducer::connect(settings, || false).unwrap(), unsettled)
    }

    fn send(producer: &mut OutputProducer, topic: &CStr, partition: i32) -> Result<Sent, Fault> {
        let (key, value, timestamp) = (Some(&b"key"[..]), Some(&b"value"[..]), None);
        producer.send(Outgoing { topic, partition, key, value, timestamp, headers: None, tag: 0 })
    }

    #[test]
    fn no_record_reaches_a_held_partition() {
        let brokers = brokers();
        let (mut producer, _) = producer(&brokers, &[(c"results", 1)]);
        let found = send(&mut producer, c"results", 1);
        assert!(matches!(found, Err(Fault::Restart(Cause::NotSettled(_)))), "{found:?}");
        for (topic, partition) in [(c"results", 0), (c"failures", 1)] {
            assert_eq!(send(&mut producer, topic, partition).unwrap(), Sent::Queued);
        }
        producer.close(Duration::from_secs(5));
    }

    /// What an aborted transaction has left in the only partition to which it sent a record, if each
    /// attempt got this answer, and how long before its first batch the one before it had begun, if
    /// that was committed.
    fn left_after(answer: RDKafkaRespErr, committed: Option<Duration>) -> Option<Ending> {
        let brokers = brokers();
        brokers.request_errors(RDKafkaApiKey::Produce, &[answer; 200]);
        let (mut producer, unsettled) = producer(&brokers, &[]);
        send(&mut producer, c"results", 0).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let next_batch = || loop {
            if let Some(sent) = producer.events().first_batch.lock().take() {
                return sent;
            }
            assert!(Instant::now() < deadline, "no batch was sent");
            native::flush(producer.client.client(), Duration::from_millis(10));
        };
        let sent = next_batch();
        next_batch(); // sent again, so the answer to the first attempt has arrived
        *producer.events().first_batch.lock() = Some(sent);
        producer.committed = committed.map(|before| sent.checked_sub(before).unwrap());
        producer.note_aborted();
        let (last, written) = {
            let unsettled = unsettled.lock();
            (unsettled.last, unsettled.written.clone())
        };
        let place = (c"results".to_owned(), 0);
        let places = last.map(|_| place).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(written, Some(places), "the only partition decides both");
        producer.close(Duration::from_secs(5));
        last
    }

    #[test]
    fn a_record_that_may_be_stored_counts_as_stored_unless_the_markers_before_it_may_be_missing() {
        use RDKafkaRespErr::{
            RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR as NOT_STORED,
            RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT as DOUBTFUL,
        };
        let long = SLOW_COMMIT + Duration::from_secs(1);
        assert_eq!(left_after(DOUBTFUL, None), Some(Ending::Abort));
        assert_eq!(left_after(DOUBTFUL, Some(SLOW_COMMIT)), Some(Ending::Abort));
        assert_eq!(left_after(DOUBTFUL, Some(long)), None);
        assert_eq!(left_after(NOT_STORED, None), None);
    }
}
