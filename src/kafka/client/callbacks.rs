//! Callbacks that all clients share, and the context of clients that need no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::statistics::{Broker, Statistics};

use super::native;
use crate::kafka::security::access::Access;
use crate::telemetry::metrics::Metrics;

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

    /// Counts and logs that brokers delay the answers to this client, a `"consumer"` or a
    /// `"producer"`, because of a quota.
    pub fn report_throttle(
        &self,
        client: &'static str,
        statistics: &Statistics,
        metrics: &Metrics,
    ) {
        for broker in statistics.brokers.values() {
            let Some(throttle) = broker.throttle.as_ref().filter(|it| it.sum > 0) else {
                continue;
            };
            let sum = Duration::from_millis(throttle.sum.unsigned_abs());
            metrics.throttled(client, sum);
            self.access.warn_once(&format!(
                "broker {} throttles the {client}: a quota of the brokers limits its rate \
                 (nik_stream_throttle_seconds_total), see `kafka-configs.sh --describe --entity-type clients`",
                broker.nodeid
            ));
        }
    }

    /// Re-adds the bootstrap brokers if the latest statistics listed no broker.
    ///
    /// The metadata of a broker that has just restarted may list no brokers. librdkafka then drops
    /// all that it knows, including those of `bootstrap.servers`, and never reconnects (2.12.1; its
    /// issue 5301).
    pub fn restore_brokers<C: ClientContext>(&self, client: &Client<C>) {
        let lost = &self.lost_brokers;
        if lost.load(Ordering::Relaxed) && lost.swap(false, Ordering::Relaxed) {
            let added = native::add_brokers(client, &self.access.bootstrap_servers());
            tracing::warn!(added, "librdkafka had dropped all brokers: bootstrap brokers re-added");
        }
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

/// The context of clients that need no other callbacks: the topic watch, and those of the commands.
pub struct BasicContext {
    pub client: ClientState,
}

impl BasicContext {
    pub fn new(access: &Arc<Access>) -> Self {
        Self { client: ClientState::new(access) }
    }

    /// A consumer that is in no group.
    pub fn consumer(
        config: &ClientConfig,
        access: &Arc<Access>,
    ) -> KafkaResult<BaseConsumer<Self>> {
        let client: BaseConsumer<_> = config.create_with_context(Self::new(access))?;
        // Sets the OAuth token if there is one: metadata and watermarks are asked for before a poll.
        let _ = client.poll(Duration::ZERO);
        Ok(client)
    }
}

impl ClientContext for BasicContext {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.client.update(&statistics);
    }
}

impl ConsumerContext for BasicContext {}

/// Upper bound on the events that are served at a time.
pub(super) const MAX_EVENTS: usize = 100;

/// Serves the pending errors, log lines, statistics and token requests of a client that fetches no
/// records.
pub fn drain_events(client: &BaseConsumer<BasicContext>) {
    for _ in 0..MAX_EVENTS {
        let _ = client.poll(Duration::ZERO);
    }
}
