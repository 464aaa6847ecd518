//! Sends synthetic requests at a steady rate: the producer of `generate --send` and of the demo.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::config::Settings;
use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::reader::Reader;
use crate::kafka::security::acl::{Operation, Right};
use nik_wire::Limits;
use nik_wire::generate::{Fault, Generator};

/// The pause before the next attempt to send, while the queue is full or the caller wants to wait.
const RETRY_INTERVAL: Duration = Duration::from_millis(1);
/// The longest sleep until a request is due, so that the end of a run is noticed soon.
const PACE_INTERVAL: Duration = Duration::from_millis(20);
/// How long the brokers may take to acknowledge the last requests.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Generates requests. A share of them, evenly spread, is broken in the various ways in turn.
pub struct RequestMix {
    generator: Generator,
    limits: Limits,
    broken_share: f64,
    /// Grows by the share with each request; the next broken one is due at 1.
    due: f64,
    broken: usize,
}

impl RequestMix {
    pub fn new(generator: Generator, limits: Limits, broken_share: f64) -> Self {
        Self { generator, limits, broken_share, due: 0.0, broken: 0 }
    }

    /// How many broken requests were generated.
    pub fn broken(&self) -> usize {
        self.broken
    }

    /// The value of the next request; `None` is a tombstone.
    fn generate(&mut self) -> Option<Vec<u8>> {
        self.due += self.broken_share;
        if self.due >= 1.0 {
            self.due -= 1.0;
            self.broken += 1;
            return self.generator.broken(Fault::in_turn(self.broken - 1), self.limits);
        }
        let mut value = Vec::new();
        self.generator.request(&mut value);
        Some(value)
    }
}

/// What [`RequestProducer::send_paced`] does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Send,
    Wait,
    Stop,
}

pub struct RequestProducer {
    producer: ThreadedProducer<FirstError>,
    topic: String,
}

/// Keeps the first delivery error.
struct FirstError {
    client: ClientState,
    first: Mutex<Option<KafkaError>>,
}

impl ClientContext for FirstError {
    client_callbacks!();
}

impl ProducerContext for FirstError {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.first.lock().get_or_insert_with(|| error.clone());
        }
    }
}

impl RequestProducer {
    /// Connects, and checks that the topic exists.
    pub fn connect(settings: &Settings) -> Result<Self, CommandError> {
        let clients = Clients::new(settings);
        let topic = settings.topics.requests.clone();
        Reader::connect(&clients)?.partitions(&topic, Operation::Write)?;
        let context =
            FirstError { client: ClientState::new(&clients.access), first: Mutex::default() };
        let producer = clients.request_producer().create_with_context(context);
        Ok(Self { producer: producer.map_err(|error| CommandError::no_client(&error))?, topic })
    }

    /// Sends requests, `rate` a second, until `next` ends it, and waits for their acknowledgement.
    /// `next` and `key` get the number of requests sent so far.
    pub fn send_paced(
        &self,
        requests: &mut RequestMix,
        rate: u32,
        key: impl Fn(u64) -> String,
        mut next: impl FnMut(u64) -> Next,
    ) -> Result<(), CommandError> {
        let interval_ns = 1_000_000_000 / u64::from(rate);
        let started = Instant::now();
        let mut sent = 0_u64;
        loop {
            let due = Duration::from_nanos(sent.saturating_mul(interval_ns));
            let early = due.saturating_sub(started.elapsed());
            match next(sent) {
                Next::Send if early.is_zero() => {
                    self.send(key(sent).as_bytes(), requests.generate().as_deref())?;
                    sent += 1;
                }
                Next::Send => std::thread::sleep(early.min(PACE_INTERVAL)),
                Next::Wait => std::thread::sleep(RETRY_INTERVAL),
                Next::Stop => break,
            }
        }
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        self.check_deliveries()?;
        flushed.map_err(|error| self.error(&error))
    }

    /// Sends a request; waits while the queue is full. The error may be that of an earlier request.
    fn send(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), CommandError> {
        let mut record = BaseRecord::to(&self.topic).key(key);
        record.payload = value;
        loop {
            self.check_deliveries()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => record = back,
                Err((error, _)) => return Err(self.error(&error)),
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }

    fn check_deliveries(&self) -> Result<(), CommandError> {
        let first = self.producer.context().first.lock();
        first.as_ref().map_or(Ok(()), |error| Err(self.error(error)))
    }

    fn error(&self, error: &KafkaError) -> CommandError {
        CommandError::new(&Right::on_topic(Operation::Write, &self.topic), error)
    }
}
