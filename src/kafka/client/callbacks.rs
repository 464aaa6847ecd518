//! The callbacks that every client has: log lines, errors, tokens; and the context of clients that are polled rarely.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::statistics::{Broker, Statistics};

use crate::kafka::security::access::Access;

/// How every client of this program client_callbacks errors and log lines, and gets its token.
macro_rules! client_callbacks {
    () => {
        const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

        fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
            self.access.log(level, facility, text);
        }

        fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
            self.access.report(&error, reason);
        }

        fn generate_oauth_token(
            &self,
            _: Option<&str>,
        ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
            self.access.token()
        }
    };
}
pub(crate) use client_callbacks;

/// The ear of a client that nobody polls for long: of the watch, and of the commands.
pub struct UnpolledContext {
    access: Arc<Access>,
    /// The client knows no broker any more.
    lost: AtomicBool,
}

impl UnpolledContext {
    pub fn new(access: &Arc<Access>) -> Self {
        Self { access: Arc::clone(access), lost: AtomicBool::new(false) }
    }

    /// Whether the client was last seen to know no broker any more; says so once.
    pub fn take_lost(&self) -> bool {
        self.lost.swap(false, Ordering::Relaxed)
    }
}

impl ClientContext for UnpolledContext {
    client_callbacks!();

    fn stats(&self, statistics: Statistics) {
        self.lost.store(knows_none(&statistics), Ordering::Relaxed);
    }
}

impl ConsumerContext for UnpolledContext {}

/// More events than wait at a time.
pub const EVENTS: usize = 100;

/// Serves the errors, log lines, statistics and tokens of a client to which no record can come.
pub fn drain_events(client: &BaseConsumer<UnpolledContext>) {
    for _ in 0..EVENTS {
        let _ = client.poll(Duration::ZERO);
    }
}

/// Whether a client knows no broker, neither from its settings nor from the cluster.
pub fn knows_none(statistics: &Statistics) -> bool {
    let known = |broker: &Broker| matches!(broker.source.as_str(), "configured" | "learned");
    !statistics.brokers.values().any(known)
}
