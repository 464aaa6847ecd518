//! Makes one client of each kind that settings can break, without a broker, since librdkafka refuses
//! some settings only then.

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, DeliveryResult, ProducerContext};

use super::config::Clients;
use crate::config::Settings;

/// Logs nothing: the reason of a refusal is in the error.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Silent {}

impl ProducerContext for Silent {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Why librdkafka refuses to make clients with these settings; each reason once.
pub fn refusals(settings: &Settings) -> Vec<String> {
    let clients = Clients::new(settings);
    let consumer = |config| {
        without_brokers(config).create_with_context::<_, BaseConsumer<_>>(Silent).map(drop)
    };
    let producer = |config| {
        without_brokers(config).create_with_context::<_, BaseProducer<_>>(Silent).map(drop)
    };
    let made = [
        consumer(clients.consumer(0)),
        producer(clients.producer(0)),
        producer(clients.replay_producer()),
        consumer(clients.reader()),
        // Made as a producer, since a consumer needs a group and these properties name none.
        producer(clients.watch()),
    ];
    let mut reasons = Vec::new();
    for error in made.into_iter().filter_map(Result::err) {
        let reason = match error {
            KafkaError::ClientCreation(reason) => reason,
            KafkaError::ClientConfig(_, reason, key, _) => format!("{key}: {reason}"),
            other => other.to_string(),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    reasons
}

/// The same properties without brokers, so that nothing is sent.
fn without_brokers(mut config: ClientConfig) -> ClientConfig {
    config.remove("bootstrap.servers");
    config
}
