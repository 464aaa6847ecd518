//! How many records a transaction has sent to each partition: no record goes to a held partition,
//! and after an abort it is known where it left records.

use std::ffi::CStr;
use std::time::Duration;

use super::unsettled::{Ending, Place};
use super::{OutputProducer, Transaction};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native;

/// How long the reports of records that were given up may take.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);
/// Means the partition that librdkafka chooses by the key.
const PARTITION_OF_KEY: i32 = -1;

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
    /// Counts a record to be sent to this partition (`None`: the one of its key).
    pub(super) fn note_sent(&mut self, topic: &CStr, partition: Option<i32>) -> Result<(), Fault> {
        if self.calls.is_none() {
            return Ok(());
        }
        let number = partition.unwrap_or(PARTITION_OF_KEY);
        if self.sent.get(self.latest).is_some_and(|to| to.is(topic, number)) {
            return Ok(());
        }
        if let Some(known) = self.sent.iter().position(|to| to.is(topic, number)) {
            self.latest = known;
            return Ok(());
        }
        let place = (topic.to_owned(), number);
        if self.has_held && self.is_held(&place) {
            let text = format!("{} has partitions without a leader", topic.to_string_lossy());
            return Err(Cause::NotSettled(text).into());
        }
        self.latest = self.sent.len();
        self.sent.push(SentTo { place, records: 0 });
        Ok(())
    }

    /// Whether a record for this partition may go to a held one. The key may belong to any.
    fn is_held(&self, place: &Place) -> bool {
        let unsettled = self.settings.unsettled.lock();
        if place.1 == PARTITION_OF_KEY {
            unsettled.holds_one_of(&place.0)
        } else {
            unsettled.holds(place)
        }
    }

    /// Notes that the open transaction was aborted, if the brokers received records of it.
    ///
    /// If they received none, the transaction before it is still the last one that may lack
    /// markers. It may have been committed: settling it by an abort would discard its outcomes.
    pub(super) fn note_aborted(&self) {
        if !matches!(self.transaction, Transaction::Open) {
            return;
        }
        // What is still queued was not received. After an abort nothing is queued.
        self.client.purge();
        native::flush(self.client.client(), PURGE_TIMEOUT);
        let undelivered = self.events().undelivered.lock();
        let mut unsettled = self.settings.unsettled.lock();
        if self.sent.iter().map(|to| to.records).sum::<usize>() > undelivered.values().sum() {
            unsettled.last = Some(Ending::Abort);
        }
        let lost = |to: &SentTo| undelivered.get(&to.place).copied().unwrap_or(0);
        let received = self.sent.iter().filter(|to| to.records > lost(to));
        let by_key = self.sent.iter().any(|to| to.place.1 == PARTITION_OF_KEY);
        unsettled.written = (!by_key).then(|| received.map(|to| to.place.clone()).collect());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::config::load_from;
    use crate::kafka::client::config::Clients;
    use crate::kafka::client::native::Outgoing;
    use crate::kafka::client::producer::unsettled::Unsettled;
    use crate::kafka::client::producer::{IfUnanswered, ProducerSettings, Sent};

    #[test]
    fn no_record_reaches_a_held_partition_neither_by_its_number_nor_by_its_key() {
        let brokers = MockCluster::new(1).unwrap();
        for topic in ["results", "failures"] {
            brokers.create_topic(topic, 2, 1).unwrap();
        }
        let bootstrap =
            ("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS".into(), brokers.bootstrap_servers().into());
        let settings = load_from(&[], [bootstrap], |_, _| Ok(())).unwrap().settings;
        let clients = Clients::new(&settings);
        let unsettled = Unsettled::default();
        let held = || vec![(c"results".to_owned(), 1)];
        let settings = ProducerSettings {
            config: clients.producer(0),
            access: Arc::clone(&clients.access),
            group: "group".to_owned(),
            worker: 0,
            metrics: None,
            if_unanswered: IfUnanswered::Replace,
            reach: Box::new(|| None),
            leaderless: Box::new(held),
            unsettled: Arc::clone(&unsettled),
        };
        let mut producer = OutputProducer::connect(settings, || false).unwrap();
        let mut send = |topic, partition| {
            let (key, value, timestamp) = (Some(&b"key"[..]), Some(&b"value"[..]), None);
            let record =
                Outgoing { topic, partition, key, value, timestamp, headers: None, tag: 0 };
            producer.send(record)
        };
        for partition in [Some(1), None] {
            let found = send(c"results", partition);
            assert!(matches!(found, Err(Fault::Restart(Cause::NotSettled(_)))), "{found:?}");
        }
        for (topic, partition) in [(c"results", Some(0)), (c"failures", None)] {
            assert_eq!(send(topic, partition).unwrap(), Sent::Queued);
        }
        producer.close(Duration::from_secs(5));
    }
}
