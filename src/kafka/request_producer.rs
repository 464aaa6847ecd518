//! Sends requests to the topic of requests: what `generate --send` makes a set-up move with.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::config::Settings;
use crate::kafka::client::callbacks::client_callbacks;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::reader::Reader;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};

/// How long a full queue may take to have room again, in steps.
const STEP: Duration = Duration::from_millis(1);
/// How long the brokers may take for what is left at the end.
const FLUSH: Duration = Duration::from_secs(30);

/// A producer of requests.
pub struct RequestProducer {
    producer: ThreadedProducer<Refusals>,
    topic: String,
}

/// Keeps the first refusal.
struct Refusals {
    access: Arc<Access>,
    first: Mutex<Option<KafkaError>>,
}

impl ClientContext for Refusals {
    client_callbacks!();
}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.first.lock().get_or_insert_with(|| error.clone());
        }
    }
}

impl RequestProducer {
    /// Connects, and finds the topic.
    pub fn connect(settings: &Settings) -> Result<Self, CommandError> {
        let clients = Clients::new(settings);
        let topic = settings.topics.requests.clone();
        Reader::connect(&clients)?.partitions(&topic, Operation::Write)?;
        let refusals = Refusals { access: Arc::clone(&clients.access), first: Mutex::default() };
        let producer = clients.feeder().create_with_context(refusals);
        Ok(Self { producer: producer.map_err(|error| CommandError::no_client(&error))?, topic })
    }

    /// Sends a request; waits while the queue is full. What was refused before is the error of a later call.
    pub fn send(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), CommandError> {
        let mut record = BaseRecord::to(&self.topic).key(key);
        record.payload = value;
        loop {
            self.refused()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => record = back,
                Err((error, _)) => return Err(self.trouble(&error)),
            }
            std::thread::sleep(STEP);
        }
    }

    /// Waits until the brokers have all of it.
    pub fn finish(self) -> Result<(), CommandError> {
        let flushed = self.producer.flush(FLUSH);
        self.refused()?;
        flushed.map_err(|error| self.trouble(&error))
    }

    fn refused(&self) -> Result<(), CommandError> {
        let first = self.producer.context().first.lock();
        first.as_ref().map_or(Ok(()), |error| Err(self.trouble(error)))
    }

    fn trouble(&self, error: &KafkaError) -> CommandError {
        CommandError::of(&Right::on_topic(Operation::Write, &self.topic), error)
    }
}
