//! The producer of outcomes and replayed requests, and its transactions.
//!
//! # Requests without an answer
//!
//! librdkafka repeats a transactional request by itself if its connection breaks, and reports only
//! how the last attempt ended. The first one may reach the broker later. Nothing in a request says
//! which transaction of a producer epoch it belongs to (transactions version 1; KAFKA-17754), so
//! it changes whatever transaction is open then:
//!
//! - An `EndTxn` ends it. A late commit publishes outcomes whose requests are processed again.
//!   After a late abort, the rest of the transaction is committed, with positions of requests whose
//!   outcomes were discarded.
//! - A `TxnOffsetCommit` adds old positions to it. The commit then moves the group back if they
//!   arrive after newer ones, or past requests without an outcome if their own transaction was
//!   aborted.
//! - `AddPartitionsToTxn` and `AddOffsetsToTxn` begin or widen a transaction, and thereby let the
//!   broker accept a late `TxnOffsetCommit`.
//!
//! Therefore a client with such a request never begins another transaction. A new client of the
//! same transactional id replaces it ([`OutputProducer::begin`]), and its `init_transactions`
//! raises the producer epoch. From then on a late request is refused for its older epoch:
//!
//! - The transaction coordinator checks `AddPartitionsToTxn`, `AddOffsetsToTxn` and `EndTxn`.
//! - The group coordinator checks a `TxnOffsetCommit` itself if it has seen the new epoch in the
//!   open transaction. Otherwise it has the transaction coordinator verify the request (KIP-890,
//!   Kafka 3.6).
//!
//! Between the last transaction of the old client and the first of the new one, a late request can
//! only change a transaction that another late request has begun; `init_transactions` aborts it.
//! The transaction that is open when a request gets no answer may still be committed or aborted:
//! what arrives late belongs to it or repeats its end.

mod events;
mod sent;
mod settings;
pub mod settle;
pub mod unsettled;

use std::ffi::CStr;
use std::mem;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::deadline::{CallThread, close, close_in_background};
use super::fault::{Cause, Fault};
use super::native::producer::{ProducerClient, Topic};
use super::native::{self, CallError, GroupMetadata, Offsets, Outgoing, transactions};
use super::refusal::{Refused, is_permanent};
use crate::kafka::security::acl::Right;
use events::ProducerEvents;
use sent::SentTo;
pub use settings::{IfUnanswered, ProducerSettings, epoch_timeout, transaction_timeout};
use unsettled::Ending;

/// How long a transactional call may take, retries included; four fifths of
/// `transaction.timeout.ms` if that is longer, since soon after the brokers abort the transaction.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// The same for `init_transactions`, which waits for the end of an earlier transaction.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for `init_transactions`. librdkafka resumes the call where it was, and a stop is
/// noticed between two attempts.
const INIT_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);
/// The pause between two attempts of a call.
const RETRY_BACKOFF: Duration = Duration::from_millis(20);
/// How often a flush checks for refused records.
const REFUSAL_CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How often a record is offered again to a full queue.
const QUEUE_RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// How long the queue may stay full, and how long a flush may take; `transaction.timeout.ms` if
/// that is longer.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// If a commit takes longer, its markers may have been skipped: a broker that does not answer for
/// some seconds (`broker.session.timeout.ms`) loses its leadership, and its partitions may have no
/// leader until it is back.
const SLOW_COMMIT: Duration = Duration::from_secs(2);
/// What a client of this producer is called in the log.
const PRODUCER: &str = "producer";

type OutputClient = ProducerClient<ProducerEvents>;

type TransactionalCall =
    Arc<dyn Fn(&Client<ProducerEvents>, Duration) -> Result<(), CallError> + Send + Sync>;

/// The producer of a worker or of a replay.
pub struct OutputProducer {
    /// The topics of this client that were produced to.
    topics: Vec<Topic<ProducerEvents>>,
    client: Arc<OutputClient>,
    settings: ProducerSettings,
    is_stopped: Box<dyn Fn() -> bool + Send>,
    /// Empty without transactions.
    transactional_id: String,
    /// `None` without transactions.
    calls: Option<CallThread>,
    transaction: Transaction,
    /// The partitions to which the transaction sends.
    sent: Vec<SentTo>,
    /// The index in `sent` of the last record's partition: records of a partition come in runs.
    latest: usize,
    /// Whether a partition is held: it must not be written to for now, see [`settle`].
    has_held: bool,
    /// When the latest transaction began, until it is committed or aborted.
    began: Option<Instant>,
    /// When the transaction before the open one began, if this client has committed it.
    committed: Option<Instant>,
    /// `transaction.timeout.ms`.
    transaction_timeout: Duration,
    /// How often the coordinator's connection was lost before the latest transaction began.
    losses: i32,
    /// Whether the latest commit took so long that its markers may have been skipped.
    was_slow: bool,
}

/// The state of the transaction. Without a transactional id it stays idle.
#[derive(Clone, Copy, Debug)]
enum Transaction {
    /// Nothing was sent since the last commit.
    Idle,
    Open,
    Aborted,
    /// The commit was requested, and its result is unknown.
    InDoubt,
}

/// What became of a record that was handed to the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Queued,
    /// The client itself refuses this record for good.
    Refused(Code),
}

impl OutputProducer {
    /// Creates the producer. With a transactional id in its properties, also ends the transaction
    /// that an earlier producer of that id left open, in every partition (see [`settle`]). The
    /// offsets in it are unstable until then, so connect before joining the group.
    pub fn connect(
        settings: ProducerSettings,
        is_stopped: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Fault> {
        let mut this = Self::new(settings, is_stopped)?;
        let ready = this.init(&this.client).and_then(|()| {
            this.losses = this.coordinator_losses();
            this.settle_everywhere()
        });
        match ready {
            Ok(()) => Ok(this),
            Err(fault) => {
                let metrics = this.settings.metrics.clone();
                close_in_background(PRODUCER, this, metrics);
                Err(fault)
            }
        }
    }

    fn new(
        settings: ProducerSettings,
        is_stopped: impl Fn() -> bool + Send + 'static,
    ) -> Result<Self, Fault> {
        let id = settings.config.get("transactional.id").map(str::to_owned);
        Ok(Self {
            topics: Vec::new(),
            client: settings.client()?,
            is_stopped: Box::new(is_stopped),
            calls: id
                .as_ref()
                .map(|_| CallThread::start(settings.worker, settings.metrics.clone()))
                .transpose()?,
            transactional_id: id.unwrap_or_default(),
            transaction_timeout: transaction_timeout(&settings.config),
            settings,
            transaction: Transaction::Idle,
            sent: Vec::new(),
            latest: 0,
            has_held: false,
            began: None,
            committed: None,
            losses: 0,
            was_slow: false,
        })
    }

    fn init(&self, client: &Arc<OutputClient>) -> Result<(), Fault> {
        self.look_back(client)?;
        let init: TransactionalCall = Arc::new(native::init_transactions);
        self.attempt_call(client, INIT_TIMEOUT, INIT_ATTEMPT_TIMEOUT, &*self.is_stopped, &init)
    }

    /// Begins a transaction unless one is open, after [`Self::renew`]. [`Self::send`] calls this by
    /// itself; committing offsets alone requires a call.
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.calls.is_some() && !matches!(self.transaction, Transaction::Open) {
            self.renew()?;
            self.settle_held()?;
            self.renew()?; // the connection may have been lost meanwhile
            {
                let mut unsettled = self.settings.unsettled.lock();
                unsettled.begin();
                self.has_held = unsettled.holds_any();
            }
            native::begin_transaction(self.client.client(), self.losses_before())
                .map_err(|error| self.fault(error))?;
            self.transaction = Transaction::Open;
            self.sent.clear();
            self.latest = 0;
            self.began = Some(Instant::now());
            self.events().undelivered.lock().clear();
            *self.events().first_batch.lock() = None;
        }
        Ok(())
    }

    /// What a transaction after another one begins with. The coordinator may still restart before
    /// it reaches it, and skip markers of the last one. The markers of this transaction would then
    /// end the last one too, perhaps in the other way, so it must not reach the coordinator.
    fn losses_before(&self) -> Option<i32> {
        (self.settings.if_unanswered == IfUnanswered::Replace).then_some(self.losses)
    }

    /// Between two transactions: replaces the client if a request of the last transaction was not
    /// answered or its markers may have been skipped.
    pub fn renew(&mut self) -> Result<(), Fault> {
        while self.must_renew() {
            self.replace_client()?;
        }
        Ok(())
    }

    fn must_renew(&self) -> bool {
        self.events().has_unanswered() || self.may_lack_markers()
    }

    /// Replaces the client between two transactions, see the module's documentation, and ends the
    /// last transaction again.
    ///
    /// This takes a few milliseconds if the brokers are up, and up to some minutes if not. The
    /// consumer is not polled meanwhile, and loses its partitions if that exceeds
    /// `max.poll.interval.ms`. A stop ends the attempt.
    fn replace_client(&mut self) -> Result<(), Fault> {
        let (id, cause) = (&self.transactional_id, Cause::RequestUnanswered);
        if !self.events().has_unanswered() {
            tracing::info!(
                transactional_id = id,
                "producer replaced: the transaction coordinator was away"
            );
        } else if self.settings.if_unanswered == IfUnanswered::Fail {
            return Err(cause.into());
        } else {
            let label = cause.label();
            tracing::warn!(transactional_id = id, cause = label, "producer replaced: {cause}");
            if let Some(metrics) = &self.settings.metrics {
                metrics.fault(label);
            }
        }
        let new = self.settings.client()?;
        let ready = self.init(&new);
        let unused = if ready.is_ok() {
            self.topics.clear();
            mem::replace(&mut self.client, new)
        } else {
            new
        };
        // Closing may take long while a broker hangs.
        close_in_background(PRODUCER, unused, self.settings.metrics.clone());
        ready?;
        self.committed = None;
        (self.was_slow, self.losses) = (false, self.coordinator_losses());
        self.settle_everywhere()
    }

    /// Queues one record. Waits while the queue is full: then the consumer's queue fills up too,
    /// and the consumer fetches less.
    pub fn send(&mut self, mut record: Outgoing<'_>) -> Result<Sent, Fault> {
        self.begin()?;
        let topic = self.topic(record.topic)?;
        self.note_sent(record.topic, record.partition)?;
        let mut deadline = None;
        loop {
            match native::produce(&self.topics[topic], record) {
                Ok(()) => {
                    if let Some(to) = self.sent.get_mut(self.latest) {
                        to.records += 1;
                    }
                    return Ok(Sent::Queued);
                }
                Err((Code::QueueFull, back)) => {
                    record = back;
                    // Batches that are not full would wait for their linger while nothing is added.
                    native::flush(self.client.client(), QUEUE_RETRY_INTERVAL);
                }
                // A partition that was just added may not be known yet.
                Err((Code::UnknownPartition, back)) => {
                    record = back;
                    sleep(QUEUE_RETRY_INTERVAL);
                }
                Err((code, _)) if is_permanent(code) => return Ok(Sent::Refused(code)),
                Err((Code::Fatal, _)) => return Err(Cause::ProducerFailed.into()),
                Err((code, _)) => return Err(Cause::NotQueued(code).into()),
            }
            let timeout = self.delivery_timeout();
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + timeout) {
                return Err(Cause::QueueFull.into());
            }
        }
    }

    /// The index of this topic's handle.
    fn topic(&mut self, name: &CStr) -> Result<usize, Fault> {
        if let Some(known) = self.topics.iter().position(|topic| topic.name() == name) {
            return Ok(known);
        }
        self.topics.push(self.client.topic(name).map_err(Cause::NotQueued)?);
        Ok(self.topics.len() - 1)
    }

    /// Empty without transactions.
    pub fn transactional_id(&self) -> &str {
        &self.transactional_id
    }

    /// A right that the brokers denied a moment ago.
    pub fn latest_denial(&self) -> Option<String> {
        self.events().client.access.denied().pop()
    }

    /// Waits until the brokers have acknowledged all records; returns those that they refused.
    pub fn flush(&self) -> Result<Vec<Refused>, Fault> {
        let deadline = Instant::now() + self.delivery_timeout();
        while !native::flush(self.client.client(), REFUSAL_CHECK_INTERVAL) {
            // After a refusal the transaction can only be aborted, and the records that are still
            // queued would wait for its timeout.
            if self.calls.is_some() && self.events().has_refused() {
                break;
            }
            if Instant::now() > deadline {
                return Err(Cause::DeliveryTimeout.into());
            }
            self.restore_brokers();
        }
        Ok(self.events().take_refused())
    }

    /// Commits the records sent since the last commit together with `positions`. The group rejects
    /// the commit of a zombie because of its `membership`.
    pub fn commit(
        &mut self,
        positions: Offsets,
        membership: Arc<GroupMetadata>,
    ) -> Result<(), Fault> {
        self.send_offsets(positions, membership)?;
        let started = Instant::now();
        let committed = self.call(native::commit_transaction);
        self.was_slow = started.elapsed() > SLOW_COMMIT;
        match committed {
            Ok(()) => {
                self.transaction = Transaction::Idle;
                self.committed = self.began.take();
                let mut unsettled = self.settings.unsettled.lock();
                unsettled.last = Some(Ending::Commit);
                unsettled.ended(Ending::Commit);
            }
            Err(Fault::Restart(_)) => self.transaction = Transaction::InDoubt,
            // The request that was not answered may be the commit itself.
            Err(ref fault) if self.events().has_unanswered() => {
                self.transaction = Transaction::InDoubt;
                if let Fault::Abort(_) = fault {
                    return Err(Cause::RequestUnanswered.into());
                }
            }
            Err(_) => {}
        }
        committed
    }

    /// Adds positions to the open transaction.
    fn send_offsets(
        &self,
        positions: Offsets,
        membership: Arc<GroupMetadata>,
    ) -> Result<(), Fault> {
        self.call(move |producer, timeout| {
            native::send_offsets(producer, &positions, &membership, timeout)
        })
    }

    /// Aborts the open transaction; returns the records that the brokers refused. Without
    /// transactions the records stay sent.
    pub fn abort(&mut self) -> Result<Vec<Refused>, Fault> {
        if let Transaction::Open = self.transaction {
            if self.events().take_gap() {
                transactions::renumber(self.client.client());
            }
            self.call(native::abort_transaction)?;
            self.note_aborted();
            self.settings.unsettled.lock().ended(Ending::Abort);
            self.transaction = Transaction::Aborted;
            (self.began, self.committed) = (None, None);
            self.hold_leaderless()?;
        }
        Ok(self.events().take_refused())
    }

    fn call(
        &self,
        call: impl Fn(&Client<ProducerEvents>, Duration) -> Result<(), CallError>
        + Send
        + Sync
        + 'static,
    ) -> Result<(), Fault> {
        let call: TransactionalCall = Arc::new(move |client, timeout| {
            call(client, timeout).inspect_err(|error| {
                if error.code == Code::OperationTimedOut {
                    client.context().note_unanswered();
                }
            })
        });
        let timeout = CALL_TIMEOUT.max(self.transaction_timeout * 4 / 5);
        self.attempt_call(&self.client, timeout, ATTEMPT_TIMEOUT, &|| false, &call)
    }

    /// Makes a transactional call, and retries it while librdkafka allows that, unless
    /// `is_stopped`. Without transactions it does nothing.
    fn attempt_call(
        &self,
        client: &Arc<OutputClient>,
        timeout: Duration,
        attempt_timeout: Duration,
        is_stopped: &dyn Fn() -> bool,
        call: &TransactionalCall,
    ) -> Result<(), Fault> {
        let Some(calls) = &self.calls else {
            return Ok(());
        };
        let deadline = Instant::now() + timeout;
        loop {
            let attempt = {
                let (client, call) = (Arc::clone(client), Arc::clone(call));
                move || call(client.client(), attempt_timeout)
            };
            match calls.call(attempt_timeout, attempt)? {
                Ok(()) => return Ok(()),
                Err(_) if is_stopped() => return Err(Cause::StoppedEarly.into()),
                Err(error) if error.retriable && Instant::now() < deadline => {
                    tracing::debug!(%error, "transactional call is retried");
                    client.context().client.restore_brokers(client.client());
                    sleep(RETRY_BACKOFF);
                }
                Err(error) => return Err(self.fault(error)),
            }
        }
    }

    fn fault(&self, error: CallError) -> Fault {
        let right = match error.code {
            Code::TransactionalIdAuthorizationFailed => {
                Right::of_transactions(&self.transactional_id)
            }
            Code::GroupAuthorizationFailed => Right::of_group(&self.settings.group),
            _ => {
                return match Cause::from(error) {
                    Cause::Fenced(error) if self.has_timed_out() => {
                        Cause::TransactionTimedOut(error).into()
                    }
                    cause => cause.into(),
                };
            }
        };
        Cause::Denied(self.events().client.access.record_denied(right)).into()
    }

    /// Whether the brokers have ended the open transaction because of its age.
    fn has_timed_out(&self) -> bool {
        self.began.is_some_and(|began| began.elapsed() >= self.transaction_timeout)
    }

    fn delivery_timeout(&self) -> Duration {
        DELIVERY_TIMEOUT.max(self.transaction_timeout)
    }

    fn restore_brokers(&self) {
        self.events().client.restore_brokers(self.client.client());
    }

    fn events(&self) -> &ProducerEvents {
        self.client.context()
    }

    /// Closes the producer, or abandons it if that takes longer than `timeout`.
    pub fn close(self, timeout: Duration) {
        self.note_aborted();
        let metrics = self.settings.metrics.clone();
        close(PRODUCER, self, timeout, metrics.as_deref());
    }
}
