//! Where outcomes go: a producer, and the transaction around an epoch.

use std::ffi::CStr;
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

use crate::kafka::client::callbacks::client_callbacks;
use crate::kafka::client::deadline::{Calls, finishes_within};
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
    calls: Option<Calls>,
    /// A transaction is open.
    open: bool,
    /// How many records were sent since it began.
    sent: usize,
    /// Its commit was asked for, and the answer is not known.
    in_doubt: bool,
    /// A sweep has begun.
    sweeping: bool,
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
    ) -> Result<Self, Fault> {
        let id = config.get("transactional.id");
        let transactional = id.is_some();
        let events = ProducerEvents::new(access, metrics);
        let producer = Arc::new(config.create_with_context(events)?);
        let calls = if transactional { Some(Calls::start(worker)?) } else { None };
        let sink = Self {
            producer,
            access: Arc::clone(access),
            id: id.unwrap_or_default().to_owned(),
            group: group.to_owned(),
            calls,
            open: false,
            sent: 0,
            in_doubt: false,
            sweeping: false,
        };
        if transactional {
            sink.call(INIT_TIMEOUT, native::init_transactions)?;
        }
        Ok(sink)
    }

    /// Begins a transaction, where there are any and none is open. (A record does that by itself; positions alone do not.)
    pub fn begin(&mut self) -> Result<(), Fault> {
        if self.calls.is_some() && !self.open {
            native::begin_transaction(self.producer.client())?;
            self.open = true;
            self.sent = 0;
            self.producer.context().lost.store(0, Ordering::SeqCst);
        }
        Ok(())
    }

    /// Queues one record. While the queue is full it waits: the consumer's queue fills, and the broker is asked for less.
    ///
    /// Returns the broker client's own refusal of this one record, if any.
    pub fn send(&mut self, mut record: Outgoing<'_>) -> Result<Result<(), Code>, Fault> {
        self.begin()?;
        let mut deadline = None;
        loop {
            match native::produce(self.producer.client(), record) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(Ok(()));
                }
                // Full; or the producer has not seen a partition that was added just now.
                Err((Code::QueueFull | Code::UnknownPartition, back)) => record = back,
                Err((code, _)) if is_for_good(code) => return Ok(Err(code)),
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
        self.access.missing().pop()
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
        self.in_doubt = true;
        let committed = self.call(CALL_TIMEOUT, native::commit_transaction);
        self.in_doubt = matches!(committed, Err(Fault::Restart(_)));
        self.open = committed.is_err();
        committed
    }

    fn send_offsets(&self, positions: Offsets, membership: GroupMetadata) -> Result<(), Fault> {
        let fenced = Arc::new((positions, membership));
        self.call(CALL_TIMEOUT, move |producer, timeout| {
            native::send_offsets(producer, &fenced.0, &fenced.1, timeout)
        })
    }

    /// Whether the last transaction, given up, needs a sweep: the brokers took some of it, and it was not committed.
    ///
    /// Where they took nothing, the one before may have been committed with its markers left out in the same way: then the
    /// next commit puts that right, and a sweep would throw its outcomes away. (That they took some shows that the coordinator is
    /// done with the one before. Had it left markers of that one out, the abort itself may have thrown its outcomes away already.)
    pub fn needs_sweep(&self) -> bool {
        let waiting = usize::try_from(self.producer.in_flight_count()).unwrap_or(0);
        let lost = self.producer.context().lost.load(Ordering::SeqCst);
        let taken = self.sent > waiting + lost;
        self.calls.is_some() && !self.in_doubt && (taken || self.sweeping)
    }

    /// Aborts once more: a transaction that holds a record of no meaning in each of `places`, and `positions` of `group`.
    ///
    /// A coordinator takes a partition that has no leader for deleted, and leaves the abort marker out (Kafka 4.3.1,
    /// `TransactionMarkerChannelManager`: "likely deleted already"). What the aborted transaction left there would be committed
    /// by the next one, and its positions would keep the group's from ever being stable. The marker of this one ends both.
    pub fn sweep<'a>(
        &mut self,
        places: impl Iterator<Item = (&'a CStr, i32)>,
        group: &CStr,
        positions: Offsets,
    ) -> Result<(), Fault> {
        self.sweeping = true;
        for (topic, partition) in places {
            let refused = self.send(Outgoing {
                topic,
                partition: Some(partition),
                key: Some(b"aborted"), // a compacted topic takes none without a key
                value: Some(b""),
                timestamp: None,
                headers: None,
                tag: 0,
            })?;
            refused.map_err(Cause::SweepRefused)?;
        }
        if let Some(refused) = self.settle()?.first() {
            return Err(Cause::SweepRefused(refused.code).into());
        }
        // Refused or not: the group's partition is part of the transaction then.
        match self.send_offsets(positions, GroupMetadata::without_members(group)) {
            Ok(()) | Err(Fault::Abort(_)) => self.abort()?,
            Err(fault) => return Err(fault),
        };
        self.sweeping = false;
        Ok(())
    }

    /// Gives up what was sent since the last commit; returns what the broker refused of it. (Without transactions it stays sent.)
    pub fn abort(&mut self) -> Result<Vec<Refused>, Fault> {
        if self.open {
            self.call(CALL_TIMEOUT, native::abort_transaction)?;
            self.open = false;
        }
        Ok(self.producer.context().take_refused())
    }

    /// Makes a transactional call, again and again while librdkafka says it may be repeated.
    fn call<J>(&self, limit: Duration, job: J) -> Result<(), Fault>
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
            match calls.make(TRY_TIMEOUT, move || job(producer.client(), TRY_TIMEOUT))? {
                Ok(()) => return Ok(()),
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
    access: Arc<Access>,
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
            access: Arc::clone(access),
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
                self.access.record_denied(right);
            }
            self.refused.lock().push(Refused { tag, code });
        }
    }
}
