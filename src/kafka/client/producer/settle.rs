//! Ends the last transaction of a producer a second time.
//!
//! If a partition has no leader when a transaction ends, the transaction coordinator treats the
//! partition as deleted: it skips the marker and completes the transaction (Kafka 4.3.1,
//! `TransactionMarkerChannelManager`: "likely deleted already"). A coordinator that has just
//! restarted does the same before it knows the leaders. Records without a marker stay open: readers
//! and the group's positions stop before them, and the producer's next transaction would commit or
//! abort them.
//!
//! Another transaction of the same id that reaches the same partitions and ends in the same way
//! writes the markers that are missing, and changes nothing elsewhere. It holds no records, so its
//! commit makes nothing else visible.
//!
//! While a partition has no leader (a full disk, a broker that is away), its markers would be
//! skipped again, so the partition is held: no other transaction reaches it until it has a leader
//! and the transaction that wrote to it was ended there again (see
//! [`unsettled`](super::unsettled)).

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::Metadata;

use super::unsettled::{Ending, Place, leaderless_partitions};
use super::{
    ATTEMPT_TIMEOUT, CALL_TIMEOUT, INIT_TIMEOUT, IfUnanswered, OutputClient, OutputProducer,
    ProducerSettings, Transaction, TransactionalCall,
};
use crate::kafka::client::c_string;
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{self, is_unknown, transactions};
use crate::kafka::security::acl::{Operation, Right};

/// How often to check whether the coordinator has confirmed the partitions.
pub const CONFIRMATION_INTERVAL: Duration = Duration::from_millis(2);
/// How often to ask for the partitions that transactions may reach while they are not known yet.
const REACH_INTERVAL: Duration = Duration::from_millis(50);

/// How long closing a producer that took over a transactional id may take.
const TAKEN_OVER_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl OutputProducer {
    /// Takes over the transactional id of a producer that is gone, and ends its last transaction
    /// again. Returns how, or `None` if the coordinator does not know how it ended.
    pub fn take_over(
        settings: ProducerSettings,
        is_stopped: impl Fn() -> bool + Send + 'static,
    ) -> Result<Option<Ending>, Fault> {
        let mut this = Self::new(settings, is_stopped)?;
        let ending = this.init(&this.client).and_then(|()| {
            let ending = this.settings.unsettled.lock().last;
            this.settle_everywhere().map(|()| ending)
        });
        this.close(TAKEN_OVER_CLOSE_TIMEOUT);
        ending
    }

    /// Whether the coordinator may have restarted since the latest transaction began, or may have
    /// ended it while partitions had no leader.
    pub(super) fn may_lack_markers(&self) -> bool {
        self.settings.if_unanswered == IfUnanswered::Replace
            && (self.was_slow || self.losses != self.coordinator_losses())
    }

    pub(super) fn coordinator_losses(&self) -> i32 {
        transactions::coordinator_losses(self.client.client())
    }

    /// Whether the open transaction has partitions that the coordinator has not added yet. Records
    /// of a partition are sent only after it was added.
    pub fn awaits_partitions(&self) -> bool {
        matches!(self.transaction, Transaction::Open)
            && transactions::awaits_partitions(self.client.client())
    }

    /// Asks the coordinator how the last transaction ended, before a new producer of the id makes
    /// it forget that. If this process knows, it does not ask: a late request may have begun
    /// another transaction since.
    pub(super) fn look_back(&self, client: &Arc<OutputClient>) -> Result<(), Fault> {
        if self.calls.is_none() || self.settings.unsettled.lock().last.is_some() {
            return Ok(());
        }
        let unsettled = Arc::clone(&self.settings.unsettled);
        let call: TransactionalCall = Arc::new(move |client, timeout| {
            match transactions::describe_transaction(client, timeout) {
                Ok(state) => unsettled.lock().last = Ending::of_state(&state),
                // Brokers before Kafka 3.0 do not say; a denial is reported by the next call.
                Err(error) if !error.retriable => {
                    tracing::debug!(%error, "the state of the last transaction is unknown");
                }
                Err(error) => return Err(error),
            }
            Ok(())
        });
        self.attempt_call(client, INIT_TIMEOUT, ATTEMPT_TIMEOUT, &*self.is_stopped, &call)
    }

    /// Ends the last transaction again in all partitions, if there was one.
    pub(super) fn settle_everywhere(&mut self) -> Result<(), Fault> {
        let Some(ending) = self.settings.unsettled.lock().last else {
            return Ok(());
        };
        let deadline = Instant::now() + INIT_TIMEOUT;
        loop {
            if let Some(reach) = (self.settings.reach)() {
                self.settle(ending, reach)?;
                return self.record_ending();
            }
            if (self.is_stopped)() {
                return Err(Cause::StoppedEarly.into());
            }
            if Instant::now() > deadline {
                return Err(Cause::NotSettled("the topics are unknown".to_owned()).into());
            }
            sleep(REACH_INTERVAL);
        }
    }

    /// Ends the last transaction again in these partitions, if it was aborted.
    pub fn settle_aborted(&mut self, reach: impl IntoIterator<Item = Place>) -> Result<(), Fault> {
        let is_aborted = self.settings.unsettled.lock().last == Some(Ending::Abort);
        if is_aborted { self.settle(Ending::Abort, reach) } else { Ok(()) }
    }

    fn settle(
        &mut self,
        ending: Ending,
        reach: impl IntoIterator<Item = Place>,
    ) -> Result<(), Fault> {
        let mut reach: Vec<_> = reach.into_iter().collect();
        let leaderless = self.leaderless(&reach)?;
        {
            let mut unsettled = self.settings.unsettled.lock();
            unsettled.hold(leaderless);
            reach.retain(|place| !unsettled.holds(place));
        }
        self.end_again(ending, &reach, None)?;
        let leaderless = self.leaderless(&reach)?;
        let mut unsettled = self.settings.unsettled.lock();
        unsettled.hold(leaderless);
        unsettled.last = None;
        Ok(())
    }

    /// After an abort: holds the partitions without a leader, which may lack its markers.
    pub(super) fn hold_leaderless(&self) -> Result<(), Fault> {
        let leaderless = self.leaderless(self.sent.iter().map(|to| &to.place))?;
        self.settings.unsettled.lock().hold(leaderless);
        Ok(())
    }

    /// While no transaction is open: settles what the last one may have left open, as soon as the
    /// coordinator can be reached. The next transaction may begin much later.
    pub fn settle_idle(&mut self) -> Result<(), Fault> {
        if matches!(self.transaction, Transaction::Open) {
            return Ok(());
        }
        if self.must_renew() {
            // The client begins no other transaction, and another one needs the coordinator.
            if !transactions::coordinator_is_up(self.client.client()) {
                return Ok(());
            }
            self.renew()?;
        }
        self.settle_held()
    }

    /// Between two transactions: holds the partitions that have no leader now, and settles the held
    /// ones that have a leader again.
    pub fn settle_held(&mut self) -> Result<(), Fault> {
        if self.calls.is_none() || matches!(self.transaction, Transaction::Open) {
            return Ok(());
        }
        let known = (self.settings.leaderless)();
        {
            let mut unsettled = self.settings.unsettled.lock();
            unsettled.hold(known.iter().cloned());
            if !unsettled.holds_any() {
                return Ok(());
            }
        }
        for ending in [Ending::Commit, Ending::Abort] {
            let mut places = self.settings.unsettled.lock().held(ending);
            places.retain(|place| !known.contains(place));
            self.retain_led(&mut places)?;
            if places.is_empty() {
                continue;
            }
            self.end_again(ending, &places, self.losses_before())?;
            self.retain_led(&mut places)?;
            let mut unsettled = self.settings.unsettled.lock();
            unsettled.release(&places);
            unsettled.last = None; // that was the transaction before this one
        }
        self.record_ending()
    }

    /// Between two transactions: if the last one ended in another way than those of the held
    /// partitions, ends an empty one in their way. The next process can only ask the coordinator
    /// how the last transaction ended, and does the same in these partitions.
    fn record_ending(&self) -> Result<(), Fault> {
        let Some((ending, last)) = self.settings.unsettled.lock().to_record() else {
            return Ok(());
        };
        if self.must_renew() {
            return Ok(());
        }
        let mut leaderless = Vec::new();
        let ended = self.end_in(&[], self.losses_before(), || {
            // The coordinator has accepted this transaction, so it has written the markers of the
            // one before wherever there was a leader. Where it could not, the next process has to
            // do the same as that one.
            leaderless = self.leaderless(self.sent.iter().map(|to| &to.place))?;
            let lacks_markers = self.sent.iter().any(|to| leaderless.contains(&to.place));
            Ok(if lacks_markers { last } else { ending })
        });
        match ended {
            Ok(()) => {
                let mut unsettled = self.settings.unsettled.lock();
                unsettled.hold(leaderless);
                unsettled.recorded();
                Ok(())
            }
            // The client that replaces this one ends it.
            Err(_) if self.must_renew() => Ok(()),
            Err(fault) => Err(without_epoch(fault)),
        }
    }

    /// Before the process closes this producer: does for held partitions what the next transaction
    /// would have done. If that fails, the next process may end them in the wrong way.
    pub fn settle_before_close(&mut self) {
        if self.settings.unsettled.lock().holds_any()
            && let Err(fault) = self.settle_idle()
        {
            let id = &self.transactional_id;
            tracing::warn!(transactional_id = id, %fault, "partitions without a leader are not settled");
        }
    }

    fn retain_led(&self, places: &mut Vec<Place>) -> Result<(), Fault> {
        let leaderless = self.leaderless(&*places)?;
        places.retain(|place| !leaderless.contains(place));
        Ok(())
    }

    /// The partitions without a leader of all topics in `places`.
    fn leaderless<'a>(
        &self,
        places: impl IntoIterator<Item = &'a Place>,
    ) -> Result<Vec<Place>, Fault> {
        let topics: BTreeSet<_> = places.into_iter().map(|(topic, _)| topic).collect();
        let mut leaderless = Vec::new();
        for topic in topics {
            let metadata = self.metadata(&topic.to_string_lossy())?;
            let without = metadata.topics().iter().flat_map(leaderless_partitions);
            leaderless.extend(without.map(|it| (topic.clone(), it)));
        }
        Ok(leaderless)
    }

    /// The metadata of `topic`, also from a client that has just forgotten all brokers.
    fn metadata(&self, topic: &str) -> Result<Metadata, Fault> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            let error = match self.client.client().fetch_metadata(Some(topic), ATTEMPT_TIMEOUT) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let is_unreachable = error.rdkafka_error_code() == Some(Code::BrokerTransportFailure);
            if !is_unreachable || (self.is_stopped)() || Instant::now() > deadline {
                return Err(Cause::NotSettled(error.to_string()).into());
            }
            self.restore_brokers();
        }
    }

    /// `losses` as for [`native::begin_transaction`].
    fn end_again(&self, ending: Ending, reach: &[Place], losses: Option<i32>) -> Result<(), Fault> {
        self.end_in(reach, losses, || Ok(ending)).map_err(without_epoch)?;
        self.settings.unsettled.lock().ended(ending);
        let (id, ending) = (&self.transactional_id, ending.label());
        tracing::info!(transactional_id = id, ending, "a transaction was ended again");
        if let Some(metrics) = &self.settings.metrics {
            metrics.transactions_settled.with_label_values(&[ending]).inc();
        }
        Ok(())
    }

    /// Ends an empty transaction that includes these partitions, in the way that `ending` decides
    /// once the coordinator has accepted it.
    fn end_in(
        &self,
        reach: &[Place],
        losses: Option<i32>,
        ending: impl FnOnce() -> Result<Ending, Fault>,
    ) -> Result<(), Fault> {
        let client = self.client.client();
        native::begin_transaction(client, losses)?;
        // Topic by topic, so that it is known which topic a refusal concerns.
        for partitions in reach.chunk_by(|(one, _), (other, _)| one == other) {
            for (topic, partition) in partitions {
                match transactions::add_partition(client, topic, *partition, ATTEMPT_TIMEOUT) {
                    // A topic that was deleted with its open records needs no marker.
                    Err(error) if is_unknown(error.code) => {}
                    added => added?,
                }
            }
            self.wait_for_confirmation(&partitions[0].0)?;
        }
        let group = c_string(&self.settings.group)?;
        self.call(move |client, timeout| transactions::add_group(client, &group, timeout))?;
        self.call(match ending()? {
            Ending::Commit => native::commit_transaction,
            Ending::Abort => native::abort_transaction,
        })
    }

    /// Waits until the coordinator has confirmed the partitions of `topic`.
    fn wait_for_confirmation(&self, topic: &CStr) -> Result<(), Fault> {
        let client = self.client.client();
        let deadline = Instant::now() + CALL_TIMEOUT;
        loop {
            let awaits = transactions::awaits_partitions(client);
            match transactions::check_transaction(client) {
                Err(error) if error.code == Code::TopicAuthorizationFailed => {
                    let right = Right::on_topic(Operation::Write, &topic.to_string_lossy());
                    let right = self.events().client.access.record_denied(right);
                    return Err(Cause::Denied(right).into());
                }
                checked => checked?,
            }
            if !awaits {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Cause::NotSettled("the partitions are not confirmed".to_owned()).into());
            }
            sleep(CONFIRMATION_INTERVAL);
        }
    }
}

/// For `Abort` a worker would abort its epoch, but none is open.
fn without_epoch(fault: Fault) -> Fault {
    match fault {
        Fault::Abort(cause) => Cause::NotSettled(cause.to_string()).into(),
        fault => fault,
    }
}
