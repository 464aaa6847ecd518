//! Sends requests to the topic of requests: what `generate --send` makes a set-up move with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use super::access::{Access, lock};
use super::client::Clients;
use super::context::hears;
use super::reader::Reader;
use super::right::{Operation, Right};
use super::trouble::Trouble;
use crate::config::Settings;

/// How long a full queue may take to have room again, in steps.
const STEP: Duration = Duration::from_millis(1);
/// How long the brokers may take for what is left at the end.
const FLUSH: Duration = Duration::from_secs(30);

/// A producer of requests.
pub struct Feed {
    producer: ThreadedProducer<Refusals>,
    topic: String,
}

/// Keeps the first refusal.
struct Refusals {
    access: Arc<Access>,
    first: Mutex<Option<KafkaError>>,
}

impl ClientContext for Refusals {
    hears!();
}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.first).get_or_insert_with(|| error.clone());
        }
    }
}

impl Feed {
    /// Connects, and finds the topic.
    pub fn connect(settings: &Settings) -> Result<Self, Trouble> {
        let clients = Clients::new(settings);
        let topic = settings.topics.requests.clone();
        Reader::connect(&clients)?.partitions(&topic, Operation::Write)?;
        let refusals = Refusals { access: Arc::clone(&clients.access), first: Mutex::default() };
        let producer = clients.feeder().create_with_context(refusals);
        Ok(Self { producer: producer.map_err(|error| Trouble::no_client(&error))?, topic })
    }

    /// Sends a request; waits while the queue is full. What was refused before is the error of a later call.
    pub fn send(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Trouble> {
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
    pub fn finish(self) -> Result<(), Trouble> {
        let flushed = self.producer.flush(FLUSH);
        self.refused()?;
        flushed.map_err(|error| self.trouble(&error))
    }

    fn refused(&self) -> Result<(), Trouble> {
        let first = lock(&self.producer.context().first);
        first.as_ref().map_or(Ok(()), |error| Err(self.trouble(error)))
    }

    fn trouble(&self, error: &KafkaError) -> Trouble {
        Trouble::of(&Right::on_topic(Operation::Write, &self.topic), error)
    }
}
