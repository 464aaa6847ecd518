//! What the producer's clients are made from.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::OutputClient;
use super::events::ProducerEvents;
use super::unsettled::{Leaderless, Reach, Unsettled};
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native::producer::ProducerClient;
use crate::kafka::security::access::Access;
use crate::telemetry::metrics::Metrics;

/// What a client is made from.
pub struct ProducerSettings {
    pub config: ClientConfig,
    pub access: Arc<Access>,
    /// The group whose offsets the transactions commit.
    pub group: String,
    /// Names the thread of the transactional calls.
    pub worker: usize,
    /// `None` for the producers of commands, which export no metrics.
    pub metrics: Option<Arc<Metrics>>,
    pub if_unanswered: IfUnanswered,
    pub reach: Reach,
    pub leaderless: Leaderless,
    pub unsettled: Unsettled,
}

/// What happens before the next transaction if a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnanswered {
    /// The client is replaced. This fences any other producer of the same transactional id, even
    /// one that has fenced this one. Who may commit must therefore be decided by the group, which
    /// fences members.
    Replace,
    /// [`OutputProducer::begin`](super::OutputProducer::begin) fails.
    Fail,
}

impl ProducerSettings {
    /// Those of a command, which sends one transaction at a time while a person waits. A new client
    /// would fence a command that began later: among commands, only the transactional id decides who
    /// may commit.
    pub fn of_command(
        config: ClientConfig,
        access: &Arc<Access>,
        group: String,
        reach: Reach,
    ) -> Self {
        Self {
            config,
            access: Arc::clone(access),
            group,
            worker: 0,
            metrics: None,
            if_unanswered: IfUnanswered::Fail,
            reach,
            leaderless: Box::new(Vec::new),
            unsettled: Unsettled::default(),
        }
    }

    pub(super) fn client(&self) -> Result<Arc<OutputClient>, Fault> {
        let events = ProducerEvents::new(&self.access, self.metrics.clone());
        Ok(Arc::new(ProducerClient::new(&self.config, events)?))
    }
}

/// The timeout of a client's transactions; zero without transactions.
pub fn transaction_timeout(config: &ClientConfig) -> Duration {
    Duration::from_millis(milliseconds(config, "transaction.timeout.ms").unwrap_or_default())
}

/// After this time the outcomes of an epoch are given up: by the brokers, which abort its
/// transaction, or without transactions by librdkafka.
pub fn epoch_timeout(config: &ClientConfig) -> Duration {
    let timeout = milliseconds(config, "transaction.timeout.ms")
        .or_else(|| milliseconds(config, "message.timeout.ms"))
        .filter(|&ms| ms > 0); // 0: never
    timeout.map_or(Duration::MAX, Duration::from_millis)
}

fn milliseconds(config: &ClientConfig, key: &str) -> Option<u64> {
    config.get(key)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_time_with_and_without_transactions() {
        let timeout = |entries: &[(&str, &str)]| {
            let mut config = ClientConfig::new();
            for (key, value) in entries {
                config.set(*key, *value);
            }
            epoch_timeout(&config)
        };
        let exactly_once = [("transaction.timeout.ms", "15000"), ("message.timeout.ms", "9000")];
        assert_eq!(timeout(&exactly_once), Duration::from_secs(15));
        assert_eq!(timeout(&[("message.timeout.ms", "25000")]), Duration::from_secs(25));
        assert_eq!(timeout(&[("message.timeout.ms", "0")]), Duration::MAX);
        assert_eq!(timeout(&[]), Duration::MAX);
    }
}
