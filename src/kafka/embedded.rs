//! The demo's Kafka: a broker inside this process, and an independent reader of the outcomes.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::Topics;
use crate::kafka::client::error::CommandError;
use crate::kafka::dlq::headers;

/// Partitions of each topic.
const PARTITIONS: i32 = 6;

/// librdkafka's mock broker: it speaks Kafka's protocol on loopback, without transactions.
pub struct EmbeddedBroker(MockCluster<'static, DefaultProducerContext>);

impl EmbeddedBroker {
    pub fn start() -> Result<Self, CommandError> {
        MockCluster::new(1).map(Self).map_err(failed("start the embedded broker"))
    }

    pub fn bootstrap_servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    pub fn create_topics(&self, topics: &Topics) -> Result<(), CommandError> {
        for name in [&topics.requests, &topics.results, &topics.failures] {
            let created = self.0.create_topic(name, PARTITIONS, 1);
            created.map_err(failed("create the topics of the embedded broker"))?;
        }
        Ok(())
    }
}

/// Reads results and failures from their beginning. It shares no client code with the service, so
/// that a fault of the service shows.
pub struct OutcomeReader {
    consumer: BaseConsumer,
    failures: String,
}

impl OutcomeReader {
    pub fn connect(bootstrap_servers: &str, topics: &Topics) -> Result<Self, CommandError> {
        let connect = || -> Result<_, KafkaError> {
            let consumer: BaseConsumer = ClientConfig::new()
                .set("bootstrap.servers", bootstrap_servers)
                .set("group.id", "nik-stream-demo-auditor")
                .set("enable.auto.commit", "false")
                .set("isolation.level", "read_committed")
                .set("fetch.wait.max.ms", "10")
                .set("fetch.queue.backoff.ms", "5")
                .create()?;
            let mut list = TopicPartitionList::new();
            for topic in [&topics.results, &topics.failures] {
                list.add_partition_range(topic, 0, PARTITIONS - 1);
            }
            list.set_all_offsets(Offset::Beginning)?;
            consumer.assign(&list)?;
            Ok(consumer)
        };
        let consumer = connect().map_err(failed("read the outcomes"))?;
        Ok(Self { consumer, failures: topics.failures.clone() })
    }

    /// The next outcome, or `None` if none arrives within `timeout`.
    pub fn poll(&self, timeout: Duration) -> Result<Option<Outcome>, CommandError> {
        let message = self.consumer.poll(timeout).transpose().map_err(failed("read the outcomes"));
        Ok(message?.map(|message| Outcome {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            failure: (message.topic() == self.failures)
                .then(|| headers::reason(&message).unwrap_or_default()),
        }))
    }
}

/// A record of the results or of the failures.
pub struct Outcome {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    /// The reason of a failure; `None` for a result.
    pub failure: Option<String>,
}

fn failed(action: &'static str) -> impl Fn(KafkaError) -> CommandError {
    move |error| CommandError::Brokers { action: action.to_owned(), why: error.to_string() }
}
