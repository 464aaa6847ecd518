//! What the producer's clients are made from.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;

use super::OutputClient;
use super::events::ProducerEvents;
use super::settle::{Reach, Unsettled};
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
    pub unsettled: Unsettled,
}

/// What happens before the next transaction if a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfUnanswered {
    /// The client is replaced. This fences another producer of the same transactional id, even one
    /// that has fenced this one, so something else must decide who may commit: the group, which
    /// knows its members.
    Replace,
    /// [`OutputProducer::begin`](super::OutputProducer::begin) fails.
    Fail,
}

impl ProducerSettings {
    pub(super) fn client(&self) -> Result<Arc<OutputClient>, Fault> {
        let events = ProducerEvents::new(&self.access, self.metrics.clone());
        Ok(Arc::new(ProducerClient::new(&self.config, events)?))
    }
}

/// The timeout of a client's transactions; zero without transactions.
pub fn transaction_timeout(config: &ClientConfig) -> Duration {
    let ms = config.get("transaction.timeout.ms").and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or_default())
}
