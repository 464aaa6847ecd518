//! Callbacks that all clients share, and the context of clients that are polled rarely.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::statistics::{Broker, Statistics};

use crate::kafka::security::access::Access;

/// The state that the callbacks of every client need. Each context has it as its field `client`.
pub struct ClientState {
    pub access: Arc<Access>,
    /// Whether the latest statistics listed no broker.
    lost_brokers: AtomicBool,
}

impl ClientState {
    pub fn new(access: &Arc<Access>) -> Self {
        Self { access: Arc::clone(access), lost_brokers: AtomicBool::new(false) }
    }

    pub fn update(&self, statistics: &Statistics) {
        self.lost_brokers.store(!knows_brokers(statistics), Ordering::Relaxed);
    }

    /// Whether the latest statistics listed no broker; true only once per statistics.
    pub fn take_lost_brokers(&self) -> bool {
        self.lost_brokers.load(Ordering::Relaxed)
            && self.lost_brokers.swap(false, Ordering::Relaxed)
    }
}

/// Whether the client has a broker from its properties or from the cluster's metadata.
fn knows_brokers(statistics: &Statistics) -> bool {
    let is_known = |broker: &Broker| matches!(broker.source.as_str(), "configured" | "learned");
    statistics.brokers.values().any(is_known)
}

/// Implements the callbacks of a [`ClientContext`] for log lines, errors and OAuth tokens.
macro_rules! client_callbacks {
    () => {
        const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

        fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
            self.client.access.log(level, facility, text);
        }

        fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
            self.client.access.report(&error, reason);
        }

        fn generate_oauth_token(
            &self,
            _: Option<&str>,
        ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
            self.client.access.token()
        }
    };
}
pub(crate) use client_callbacks;

/// The context of clients that are polled rarely: the topic watch, and those of the commands.
pub struct UnpolledContext {
    pub client: ClientState,
}

impl UnpolledContext {
    pub fn new(access: &Arc<Access>) -> Self {
        Self { client: ClientState::new(access) }
    }
}

impl ClientContext for UnpolledContext {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
    }
}

impl ConsumerContext for UnpolledContext {}

/// Upper bound on the events that are served at a time.
pub const MAX_EVENTS: usize = 100;

/// Serves the pending errors, log lines, statistics and token requests of a client that fetches no
/// records.
pub fn drain_events(client: &BaseConsumer<UnpolledContext>) {
    for _ in 0..MAX_EVENTS {
        let _ = client.poll(Duration::ZERO);
    }
}
