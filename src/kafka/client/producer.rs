//! Where outcomes go: a producer, and the transaction around an epoch.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;

use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::client::deadline::{CallThread, finishes_within};
use crate::kafka::client::fault::{Cause, Fault};
use crate::kafka::client::native::{self, CallError, GroupMetadata, Offsets, Outgoing};
use crate::kafka::client::refusal::{Refused, is_for_good};
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::telemetry::metrics::Metrics;

/// The longest a transactional call may take; beyond `transaction.timeout.ms` the broker has aborted by itself.
const CALL_TIMEOUT: Duration = Duration::from_secs(12);
/// How long `init_transactions` may take: it waits for the end of an earlier transaction.
const INIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one try waits; the brokers' answers decide about the next.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one try of `init_transactions` waits. librdkafka resumes the call where it was, and a
/// stop is noticed between two tries.
const INIT_TRY_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a flush looks for refusals.
const LOOK: Duration = Duration::from_millis(50);
/// The longest the producer's queue may stay full, and a flush may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// One worker's producer.
pub struct OutputProducer {
    producer: Arc<ThreadedProducer<ProducerEvents>>,
    access: Arc<Access>,
    /// The transactional id, where there is one.
    id: String,
    /// The group whose positions it commits.
    group: String,
    calls: Option<CallThread>,
    transaction: Transaction,
}

/// The state of a producer's transaction. Without a transactional id it stays idle.
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
    /// Connects. With a transactional id in `config`, ends what an earlier producer of that id left open: until then the
    /// positions it committed are not stable, so this stands before the group is joined.
    pub fn connect(
        config: &ClientConfig,
        access: &Arc<Access>,
        group: &str,
        worker: usize,
        metrics: Option<Arc<Metrics>>,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Self, Fault> {
        let id = config.get("transactional.id");
        let transactional = id.is_some();
        let events = ProducerEvents::new(access, metrics);
        let producer = Arc::new(config.create_with_context(events)?);
        let calls = if transactional { Some(CallThread::start(worker)?) } else { None };
        let sink = Self {
            producer,
            access: Arc::clone(access),
            id: id.unwrap_or_default().to_owned(),
            group: group.to_owned(),
            calls,
            transaction: Transaction::Idle,
        };
        if transactional {
            sink.try_call(INIT_TIMEOUT, INIT_TRY_TIMEOUT, is_stopped, native::init_transactions)?;
        }
        Ok(sink)
    }

    /// Begins a transaction, where there are any and none is open. (A record does that by itself; positions alone do not.)
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.calls.is_some() && !matches!(self.transaction, Transaction::Open { .. }) {
            native::begin_transaction(self.producer.client())?;
            self.transaction = Transaction::Open { sent: 0 };
            self.producer.context().lost.store(0, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Queues one record. While the queue is full it waits: the consumer's queue fills, and the broker is asked for less.
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
                // Full; or the producer has not seen a partition that was added just now.
                Err((Code::QueueFull | Code::UnknownPartition, back)) => record = back,
                Err((code, _)) if is_for_good(code) => return Ok(Sent::Refused(code)),
                Err((code, _)) => return Err(Cause::NotQueued(code).into()),
            }
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + DELIVERY_TIMEOUT) {
                return Err(Cause::QueueFull.into());
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// A right that was missing just now.
    pub fn missing(&self) -> Option<String> {
        self.access.denied().pop()
    }

    /// Waits until the broker has taken everything sent; returns what it refused.
    pub fn settle(&self) -> Result<Vec<Refused>, Fault> {
        let deadline = Instant::now() + DELIVERY_TIMEOUT;
        while !native::flush(self.producer.client(), LOOK) {
            // A refusal breaks a transaction, and what still waits would wait until the transaction times out.
            if self.calls.is_some() && self.producer.context().has_refused() {
                break;
            }
            if Instant::now() > deadline {
                return Err(Cause::DeliveryTimeout.into());
            }
        }
        Ok(self.producer.context().take_refused())
    }

    /// Commits what was sent together with `positions`; `membership` is the group's fence against a zombie.
    pub fn commit(&mut self, positions: Offsets, membership: GroupMetadata) -> Result<(), Fault> {
        self.send_offsets(positions, membership)?;
        let committed = self.call(CALL_TIMEOUT, native::commit_transaction);
        match committed {
            Ok(()) => self.transaction = Transaction::Idle,
            Err(Fault::Restart(_)) => self.transaction = Transaction::InDoubt,
            Err(_) => {}
        }
        committed
    }

    /// Adds positions to the open transaction.
    pub fn send_offsets(&self, positions: Offsets, membership: GroupMetadata) -> Result<(), Fault> {
        let fenced = Arc::new((positions, membership));
        self.call(CALL_TIMEOUT, move |producer, timeout| {
            native::send_offsets(producer, &fenced.0, &fenced.1, timeout)
        })
    }

    /// Whether the brokers received records of the transaction that is open or was aborted last.
    pub fn reached_brokers(&self) -> bool {
        let waiting = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let lost = self.producer.context().lost.load(Ordering::SeqCst);
        match self.transaction {
            Transaction::Open { sent } | Transaction::Aborted { sent } => sent > waiting + lost,
            Transaction::Idle | Transaction::InDoubt => false,
        }
    }

    /// Gives up what was sent since the last commit; returns what the broker refused of it. (Without transactions it stays sent.)
    pub fn abort(&mut self) -> Result<Vec<Refused>, Fault> {
        if let Transaction::Open { sent } = self.transaction {
            self.call(CALL_TIMEOUT, native::abort_transaction)?;
            self.transaction = Transaction::Aborted { sent };
        }
        Ok(self.producer.context().take_refused())
    }

    /// Makes a transactional call, and repeats it while librdkafka says that it may be repeated.
    fn call<J>(&self, limit: Duration, job: J) -> Result<(), Fault>
    where
        J: Fn(&rdkafka::client::Client<ProducerEvents>, Duration) -> Result<(), CallError>
            + Clone
            + Send
            + 'static,
    {
        self.try_call(limit, TRY_TIMEOUT, || false, job)
    }

    /// As [`Self::call`], with this `timeout` of each try, and unless `is_stopped`.
    fn try_call<J>(
        &self,
        limit: Duration,
        timeout: Duration,
        is_stopped: impl Fn() -> bool,
        job: J,
    ) -> Result<(), Fault>
    where
        J: Fn(&rdkafka::client::Client<ProducerEvents>, Duration) -> Result<(), CallError>
            + Clone
            + Send
            + 'static,
    {
        let Some(calls) = &self.calls else {
            return Ok(());
        };
        let deadline = Instant::now() + limit;
        loop {
            let (producer, job) = (Arc::clone(&self.producer), job.clone());
            match calls.call(timeout, move || job(producer.client(), timeout))? {
                Ok(()) => return Ok(()),
                Err(_) if is_stopped() => return Err(Cause::StoppedEarly.into()),
                Err(error) if error.retriable && Instant::now() < deadline => {
                    tracing::debug!(%error, "made again");
                    sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    let right = match error.code {
                        Code::TransactionalIdAuthorizationFailed => {
                            Some(Right::of_transactions(&self.id))
                        }
                        Code::GroupAuthorizationFailed => Some(Right::of_group(&self.group)),
                        _ => None,
                    };
                    return Err(right.map_or_else(
                        || error.into(),
                        |it| Cause::Denied(self.access.record_denied(it)).into(),
                    ));
                }
            }
        }
    }

    /// Lets the producer go, in at most `budget`: one whose brokers hang is left behind.
    pub fn close(self, budget: Duration) {
        if !finishes_within(budget, move || drop(self)) {
            tracing::warn!("the producer could not be closed in time and is left behind");
        }
    }
}

/// The producer's ear: it keeps what was not delivered.
pub struct ProducerEvents {
    client: ClientState,
    refused: Mutex<Vec<Refused>>,
    /// How many records were not delivered since this was last set to 0.
    pub lost: AtomicUsize,
    /// The part of this producer in the metrics of all queues: records and bytes.
    queued: Mutex<[i64; 2]>,
    /// None: a command's producer, of which nobody asks.
    metrics: Option<Arc<Metrics>>,
}

impl ProducerEvents {
    pub fn new(access: &Arc<Access>, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            client: ClientState::new(access),
            refused: Mutex::default(),
            lost: AtomicUsize::new(0),
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

    /// Whether anything was refused since the last call of [`Self::take_refused`].
    pub fn has_refused(&self) -> bool {
        !self.refused.lock().is_empty()
    }

    /// What was refused since the last call.
    pub fn take_refused(&self) -> Vec<Refused> {
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
            self.lost.fetch_add(1, Ordering::SeqCst);
            let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
            if code == Code::TopicAuthorizationFailed {
                let right = Right::on_topic(Operation::Write, message.topic());
                self.client.access.record_denied(right);
            }
            self.refused.lock().push(Refused { tag, code });
        }
    }
}
