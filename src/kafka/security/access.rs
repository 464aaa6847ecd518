//! Authentication state that all clients of the program share: the OAuth token, and the connection
//! and authorization failures seen so far.
//!
//! Several clients meet the same failure repeatedly. It is logged once a minute, and the program is
//! not ready meanwhile.

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::acl::{Operation, Right, is_denial};
use super::diagnosis::{ConnectionFailure, diagnose};
use super::token::{NoToken, Tokens};
use crate::config::Kafka;
use crate::telemetry::logging::RepeatLimit;
use crate::telemetry::obstacle::{Obstacle, Problem};

/// How often the same line is logged.
const LOG_INTERVAL: Duration = Duration::from_mins(1);
/// How long a denial is remembered. A worker without a right asks for it more often than this.
const DENIAL_TTL: Duration = Duration::from_secs(20);

/// The shared authentication state.
#[derive(Debug)]
pub struct Access {
    kafka: Kafka,
    tokens: Tokens,
    connection_failure: Mutex<Option<ConnectionFailure>>,
    lines: RepeatLimit<String>,
    denied: Mutex<BTreeMap<String, Instant>>,
    /// How often a client lost all its brokers.
    outages: AtomicU64,
}

impl Access {
    pub fn new(kafka: &Kafka) -> Self {
        Self {
            kafka: kafka.clone(),
            tokens: Tokens::new(&kafka.security),
            connection_failure: Mutex::default(),
            lines: RepeatLimit::new(1, LOG_INTERVAL),
            denied: Mutex::default(),
            outages: AtomicU64::new(0),
        }
    }

    /// How often a client lost all its brokers.
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// The bootstrap brokers.
    pub fn bootstrap_servers(&self) -> CString {
        // No client can be created with a NUL in it.
        CString::new(self.kafka.bootstrap_servers.as_str()).unwrap_or_default()
    }

    /// The OAuth token.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(self.tokens.get()?)
    }

    /// The OAuth token, `None` if the settings name no source of tokens.
    pub fn token_if_any(&self) -> Result<Option<OAuthToken>, NoToken> {
        match self.tokens.get() {
            Ok(token) => Ok(Some(token)),
            Err(NoToken::NoSource) => Ok(None),
            Err(none) => Err(none),
        }
    }

    /// The latest connection failure since the last call.
    pub fn take_connection_failure(&self) -> Option<ConnectionFailure> {
        self.connection_failure.lock().take()
    }

    /// Handles an error that concerns a client, not a record. librdkafka retries by itself. Every
    /// client reports an unreachable broker many times a second, so that goes to the debug log; the
    /// topic watch logs it once.
    pub fn report(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(code @ (Code::AllBrokersDown | Code::OperationTimedOut)) => {
                if code == Code::AllBrokersDown {
                    self.outages.fetch_add(1, Ordering::Relaxed);
                }
                tracing::debug!(target: "librdkafka", %error, "{reason}");
            }
            Some(
                Code::BrokerTransportFailure | Code::Resolve | Code::SSL | Code::Authentication,
            ) => {
                tracing::debug!(target: "librdkafka", %error, "{reason}");
                self.record_connection_failure(reason);
            }
            // The caller that needs the right reports which one it is.
            Some(code) if is_denial(code) => {
                tracing::debug!(target: "librdkafka", %error, "{reason}");
            }
            // The end of a partition is what a reader waits for.
            Some(Code::PartitionEOF) => {}
            _ => tracing::warn!(target: "librdkafka", %error, "{reason}"),
        }
    }

    fn record_connection_failure(&self, reason: &str) {
        let failure = diagnose(reason, &self.kafka);
        if failure.permanent {
            self.log_problem(&Obstacle::Denied.problem(&failure.message));
        }
        *self.connection_failure.lock() = Some(failure);
    }

    /// Forwards a log line of librdkafka's. Its lines name brokers, topics and groups, never the
    /// content of records.
    pub fn log(&self, level: Level, facility: &str, text: &str) {
        match level {
            _ if is_reported_as_error(facility, text) => {
                // Only this line has the name of the topic.
                if let Some(topic) = denied_topic(text) {
                    self.record_denied(Right::on_topic(Operation::Write, topic));
                }
                tracing::debug!(target: "librdkafka", facility, "{text}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", facility, "{text}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            Level::Notice | Level::Info => {
                // Nothing else reports a listener with another protocol.
                if facility == "FAIL" && self.connection_failure.lock().is_none() {
                    self.record_connection_failure(text);
                }
                tracing::info!(target: "librdkafka", facility, "{text}");
            }
            Level::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    /// Logs and remembers that the brokers denied `right`; returns it.
    pub fn record_denied(&self, right: Right) -> Right {
        let line = right.to_string();
        self.log_problem(&Obstacle::Denied.problem(&line));
        self.denied.lock().insert(line, Instant::now());
        right
    }

    /// Whether the brokers denied `right` a moment ago.
    pub fn is_denied(&self, right: &Right) -> bool {
        self.denied().contains(&right.to_string())
    }

    /// The rights that the brokers denied a moment ago, each as a line.
    pub fn denied(&self) -> Vec<String> {
        let mut denied = self.denied.lock();
        denied.retain(|_, at| at.elapsed() < DENIAL_TTL);
        denied.keys().cloned().collect()
    }

    /// Logs a problem that an operator has to act on, at most once a minute.
    pub fn log_problem(&self, problem: &Problem) {
        if self.lines.allows(problem.text.clone()) {
            let obstacle = problem.obstacle;
            tracing::error!(reason = obstacle.label(), runbook = obstacle.runbook(), "{problem}");
        }
    }

    /// Logs a warning, at most once a minute.
    pub fn warn_once(&self, line: &str) {
        if self.lines.allows(line.to_owned()) {
            tracing::warn!("{line}");
        }
    }

    /// Allows every line to be logged again at once.
    pub fn reset(&self) {
        self.lines.reset();
    }
}

/// Whether librdkafka reports the same event as an error too: a rejected connection, a denied
/// right, a producer that ended.
fn is_reported_as_error(facility: &str, text: &str) -> bool {
    ["SSL", "TXNERR", "FATAL"].contains(&facility)
        || text.contains("authorization failed")
        || (facility == "FAIL" && ["SSL ", "SASL "].iter().any(|it| text.contains(it)))
}

/// The topic that a transaction may not write to.
fn denied_topic(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Failed to add partition \"")?;
    let (topic, why) = rest.split_once('"')?;
    why.contains("Topic authorization failed").then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denied_topic_is_read_from_the_log_line() {
        let line = |why: &str| {
            format!(
                "TxnCoordinator/1: Failed to add partition \"nik.results\" [0] to transaction: Broker: {why}"
            )
        };
        assert_eq!(denied_topic(&line("Topic authorization failed")), Some("nik.results"));
        assert_eq!(denied_topic(&line("Operation not attempted")), None);
    }
}
