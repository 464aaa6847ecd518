//! The producer of outcomes and replayed requests, and its transactions.

use std::ffi::CString;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;

use super::callbacks::{ClientState, client_callbacks};
use super::config::bootstrap;
use super::deadline::{CallThread, finishes_within};
use super::fault::{Cause, Fault};
use super::native::{self, CallError, GroupMetadata, Offsets, Outgoing};
use super::refusal::{Refused, is_permanent};
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::telemetry::metrics::Metrics;

/// How long a transactional call may take, retries included. After `transaction.timeout.ms` the
/// brokers abort the transaction anyway.
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
/// How long the queue may stay full, and how long a flush may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

type TransactionalCall =
    Arc<dyn Fn(&Client<ProducerEvents>, Duration) -> Result<(), CallError> + Send + Sync>;

/// The producer of a worker or of a replay.
pub struct OutputProducer {
    producer: Arc<ThreadedProducer<ProducerEvents>>,
    bootstrap: CString,
    /// Empty without transactions.
    transactional_id: String,
    /// The group whose offsets the transactions commit.
    group: String,
    /// `None` without transactions.
    calls: Option<CallThread>,
    transaction: Transaction,
}

/// The state of the transaction. Without a transactional id it stays idle.
#[derive(Clone, Copy, Debug)]
enum Transaction {
    /// Nothing was sent since the last commit.
    Idle,
    /// `sent` records were queued.
    Open { sent: usize },
    /// The transaction of these records was aborted.
    Aborted { sent: usize },
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
    /// Creates the producer. With a transactional id in `config`, also ends the transaction that an
    /// earlier producer of that id left open. The offsets in it are unstable until then, so connect
    /// before joining the group.
    pub fn connect(
        config: &ClientConfig,
        access: &Arc<Access>,
        group: &str,
        worker: usize,
        metrics: Option<Arc<Metrics>>,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Self, Fault> {
        let producer = config.create_with_context(ProducerEvents::new(access, metrics))?;
        let id = config.get("transactional.id");
        let this = Self {
            producer: Arc::new(producer),
            bootstrap: bootstrap(config),
            transactional_id: id.unwrap_or_default().to_owned(),
            group: group.to_owned(),
            calls: id.map(|_| CallThread::start(worker)).transpose()?,
            transaction: Transaction::Idle,
        };
        let init: TransactionalCall = Arc::new(native::init_transactions);
        this.attempt_call(INIT_TIMEOUT, INIT_ATTEMPT_TIMEOUT, is_stopped, &init)?;
        Ok(this)
    }

    /// Begins a transaction unless one is open. [`Self::send`] calls this by itself; committing
    /// offsets alone requires a call.
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.calls.is_some() && !matches!(self.transaction, Transaction::Open { .. }) {
            native::begin_transaction(self.producer.client())?;
            self.transaction = Transaction::Open { sent: 0 };
            self.events().undelivered.store(0, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Queues one record. Waits while the queue is full: then the consumer's queue fills up too,
    /// and the consumer fetches less.
    pub fn send(&mut self, mut record: Outgoing<'_>) -> Result<Sent, Fault> {
        self.begin()?;
        let mut deadline = None;
        loop {
            match native::produce(self.producer.client(), record) {
                Ok(()) => {
                    if let Transaction::Open { sent } = &mut self.transaction {
                        *sent += 1;
                    }
                    return Ok(Sent::Queued);
                }
                // A partition that was just added may not be known yet.
                Err((Code::QueueFull | Code::UnknownPartition, back)) => record = back,
                Err((code, _)) if is_permanent(code) => return Ok(Sent::Refused(code)),
                Err((code, _)) => return Err(Cause::NotQueued(code).into()),
            }
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + DELIVERY_TIMEOUT) {
                return Err(Cause::QueueFull.into());
            }
            sleep(QUEUE_RETRY_INTERVAL);
        }
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
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while !native::flush(self.producer.client(), REFUSAL_CHECK_INTERVAL) {
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

    /// Commits the records sent since the last commit together with `positions`. By `membership`
    /// the group rejects the commit of a zombie.
    pub fn commit(&mut self, positions: Offsets, membership: GroupMetadata) -> Result<(), Fault> {
        self.send_offsets(positions, membership)?;
        let committed = self.call(native::commit_transaction);
        match committed {
            Ok(()) => self.transaction = Transaction::Idle,
            Err(Fault::Restart(_)) => self.transaction = Transaction::InDoubt,
            Err(_) => {}
        }
        committed
    }

    /// Adds positions to the open transaction.
    pub fn send_offsets(&self, positions: Offsets, membership: GroupMetadata) -> Result<(), Fault> {
        self.call(move |producer, timeout| {
            native::send_offsets(producer, &positions, &membership, timeout)
        })
    }

    /// Whether the brokers received records of the transaction that is open or was aborted last.
    pub fn reached_brokers(&self) -> bool {
        let waiting = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let undelivered = self.events().undelivered.load(Ordering::SeqCst);
        match self.transaction {
            Transaction::Open { sent } | Transaction::Aborted { sent } => {
                sent > waiting + undelivered
            }
            Transaction::Idle | Transaction::InDoubt => false,
        }
    }

    /// Aborts the open transaction; returns the records that the brokers refused. Without
    /// transactions the records stay sent.
    pub fn abort(&mut self) -> Result<Vec<Refused>, Fault> {
        if let Transaction::Open { sent } = self.transaction {
            self.call(native::abort_transaction)?;
            self.transaction = Transaction::Aborted { sent };
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
        let call: TransactionalCall = Arc::new(call);
        self.attempt_call(CALL_TIMEOUT, ATTEMPT_TIMEOUT, || false, &call)
    }

    /// Makes a transactional call, and retries it while librdkafka allows that, unless
    /// `is_stopped`. Without transactions it does nothing.
    fn attempt_call(
        &self,
        timeout: Duration,
        attempt_timeout: Duration,
        is_stopped: impl Fn() -> bool,
        call: &TransactionalCall,
    ) -> Result<(), Fault> {
        let Some(calls) = &self.calls else {
            return Ok(());
        };
        let deadline = Instant::now() + timeout;
        loop {
            let (producer, call) = (Arc::clone(&self.producer), Arc::clone(call));
            let attempt = move || call(producer.client(), attempt_timeout);
            match calls.call(attempt_timeout, attempt)? {
                Ok(()) => return Ok(()),
                Err(_) if is_stopped() => return Err(Cause::StoppedEarly.into()),
                Err(error) if error.retriable && Instant::now() < deadline => {
                    tracing::debug!(%error, "transactional call is retried");
                    self.restore_brokers();
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
            Code::GroupAuthorizationFailed => Right::of_group(&self.group),
            _ => return error.into(),
        };
        Cause::Denied(self.events().client.access.record_denied(right)).into()
    }

    fn restore_brokers(&self) {
        self.events().client.restore_brokers(self.producer.client(), &self.bootstrap);
    }

    fn events(&self) -> &ProducerEvents {
        self.producer.context()
    }

    /// Closes the producer, or abandons it if that takes longer than `timeout`.
    pub fn close(self, timeout: Duration) {
        if !finishes_within(timeout, move || drop(self)) {
            tracing::warn!("the producer could not be closed in time and is abandoned");
        }
    }
}

/// The producer's callbacks. They collect the records that were not delivered.
struct ProducerEvents {
    client: ClientState,
    refused: Mutex<Vec<Refused>>,
    /// How many records of the transaction were not delivered.
    undelivered: AtomicUsize,
    /// This producer's share of the queue metrics: records and bytes.
    queued: Mutex<[i64; 2]>,
    /// `None` for the producers of commands, which export no metrics.
    metrics: Option<Arc<Metrics>>,
}

impl ProducerEvents {
    fn new(access: &Arc<Access>, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            client: ClientState::new(access),
            refused: Mutex::default(),
            undelivered: AtomicUsize::new(0),
            queued: Mutex::default(),
            metrics,
        }
    }

    fn set_queued(&self, now: [i64; 2]) {
        let [records, bytes] = mem::replace(&mut *self.queued.lock(), now);
        if let Some(metrics) = &self.metrics {
            metrics.queue_records.add(now[0] - records);
            metrics.queue_bytes.add(now[1] - bytes);
        }
    }

    /// Whether records were refused since the last call of [`Self::take_refused`].
    fn has_refused(&self) -> bool {
        !self.refused.lock().is_empty()
    }

    /// The records that were refused since the last call.
    fn take_refused(&self) -> Vec<Refused> {
        mem::take(&mut *self.refused.lock())
    }
}

impl ClientContext for ProducerEvents {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
        let part = |count: u64| i64::try_from(count).unwrap_or(0);
        self.set_queued([statistics.msg_cnt, statistics.msg_size].map(part));
    }
}

impl Drop for ProducerEvents {
    fn drop(&mut self) {
        self.set_queued([0, 0]);
    }
}

impl ProducerContext for ProducerEvents {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if let Err((error, message)) = result {
            self.undelivered.fetch_add(1, Ordering::SeqCst);
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            if code == Code::TopicAuthorizationFailed {
                let right = Right::on_topic(Operation::Write, message.topic());
                self.client.access.record_denied(right);
            }
            self.refused.lock().push(Refused { tag, code });
        }
    }
}
