//! The way to the brokers, the same for all clients of the program: the token they show, and what is held against them.
//!
//! Several clients meet the same refusal again and again. It is told once a minute, in one line, and the program
//! is not ready meanwhile.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::config::Security;
use crate::kafka::security::acl::{Operation, Right, is_denial};
use crate::kafka::security::certificate::why_untrusted;
use crate::kafka::security::diagnosis::{self, ConnectionFailure};
use crate::kafka::security::token::{NoToken, Tokens};

/// How long a line is not said again.
const AGAIN: Duration = Duration::from_mins(1);
/// How long a right counts as missing that is not asked for again: a worker that misses it starts anew more often.
const MISSING: Duration = Duration::from_secs(20);
/// More different lines than come about.
const LINES: usize = 100;

/// See the module.
#[derive(Debug)]
pub struct Access {
    security: Security,
    tokens: Tokens,
    complaint: Mutex<Option<ConnectionFailure>>,
    said: Mutex<BTreeMap<String, Instant>>,
    missing: Mutex<BTreeMap<String, Instant>>,
    /// What was found at the certificates of brokers, by their addresses.
    found: Mutex<BTreeMap<String, (Instant, Option<String>)>>,
}

impl Access {
    pub fn new(security: &Security) -> Self {
        Self {
            security: security.clone(),
            tokens: Tokens::new(security),
            complaint: Mutex::default(),
            said: Mutex::default(),
            missing: Mutex::default(),
            found: Mutex::default(),
        }
    }

    /// The token of this program.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        Ok(self.tokens.get()?)
    }

    /// The same, where tokens are the way in.
    pub fn token_if_any(&self) -> Result<Option<OAuthToken>, NoToken> {
        match self.tokens.get() {
            Ok(token) => Ok(Some(token)),
            Err(NoToken::NoSource) => Ok(None),
            Err(none) => Err(none),
        }
    }

    /// What stood in the way last.
    pub fn take_connection_failure(&self) -> Option<ConnectionFailure> {
        self.complaint.lock().take()
    }

    /// An error of a client as a whole: librdkafka goes on by itself; what it means for a record shows elsewhere. A broker's
    /// absence comes here many times a second from every client; the watch over the topics says it once.
    pub fn report(&self, error: &KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown | Code::OperationTimedOut) => {
                tracing::debug!(target: "librdkafka", %error, "{reason}");
            }
            Some(
                Code::BrokerTransportFailure | Code::Resolve | Code::SSL | Code::Authentication,
            ) => {
                tracing::debug!(target: "librdkafka", %error, "{reason}");
                self.complain(reason);
            }
            // Whoever needed the right says which.
            Some(code) if is_denial(code) => {
                tracing::debug!(target: "librdkafka", %error, "{reason}");
            }
            _ => tracing::warn!(target: "librdkafka", %error, "{reason}"),
        }
    }

    fn complain(&self, reason: &str) {
        let complaint = diagnosis::read(reason, &self.security, |at| self.why_untrusted(at));
        if complaint.refusal {
            self.log_once(&complaint.line);
        }
        *self.complaint.lock() = Some(complaint);
    }

    fn why_untrusted(&self, address: &str) -> Option<String> {
        let mut found = self.found.lock();
        found.retain(|_, (at, _)| at.elapsed() < AGAIN);
        let look = || (Instant::now(), why_untrusted(address, &self.security));
        found.entry(address.to_owned()).or_insert_with(look).1.clone()
    }

    /// librdkafka's log line, into ours. It writes of brokers, topics and groups, never of a record's content.
    pub fn log(&self, level: Level, facility: &str, text: &str) {
        match level {
            // They come as errors, too; only the name of a topic that takes nothing stands here alone.
            _ if is_told_elsewhere(facility, text) => {
                if let Some(topic) = unwritable(text) {
                    self.record_denied(Right::on_topic(Operation::Write, topic));
                }
                tracing::debug!(target: "librdkafka", facility, "{text}");
            }
            Level::Emerg | Level::Alert | Level::Critical | Level::Error => {
                tracing::error!(target: "librdkafka", facility, "{text}");
            }
            Level::Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            Level::Notice | Level::Info => {
                if facility == "FAIL" && self.complaint.lock().is_none() {
                    self.complain(text); // the only sign of a listener of another protocol
                }
                tracing::info!(target: "librdkafka", facility, "{text}");
            }
            Level::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    /// Says that the brokers denied what needs `right`.
    pub fn record_denied(&self, right: Right) -> Right {
        let line = right.to_string();
        self.log_once(&line);
        self.missing.lock().insert(line, Instant::now());
        right
    }

    /// Whether this right was missing just now.
    pub fn is_denied(&self, right: &Right) -> bool {
        self.missing().contains(&right.to_string())
    }

    /// The rights that were missing just now.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.missing.lock();
        missing.retain(|_, at| at.elapsed() < MISSING);
        missing.keys().cloned().collect()
    }

    /// An error that somebody has to see to, said once a minute.
    pub fn log_once(&self, line: &str) {
        let mut said = self.said.lock();
        if said.len() >= LINES {
            said.clear();
        }
        if said.get(line).is_none_or(|at| at.elapsed() >= AGAIN) {
            said.insert(line.to_owned(), Instant::now());
            tracing::error!("{line}");
        }
    }

    /// All is well: what comes from here on is new.
    pub fn reset(&self) {
        self.said.lock().clear();
    }
}

/// Whether this line is of a refused connection, of a denied right, or of the end of a producer.
fn is_told_elsewhere(facility: &str, text: &str) -> bool {
    ["SSL", "TXNERR", "FATAL"].contains(&facility)
        || text.contains("authorization failed")
        || (facility == "FAIL" && ["SSL ", "SASL "].iter().any(|it| text.contains(it)))
}

/// The topic that a transaction may not write to: librdkafka names it in this line, and nowhere else.
fn unwritable(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("Failed to add partition \"")?;
    let (topic, why) = rest.split_once('"')?;
    why.contains("Topic authorization failed").then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_that_a_transaction_may_not_write_to_is_read_from_its_line() {
        let line = |why: &str| {
            format!(
                "TxnCoordinator/1: Failed to add partition \"nik.results\" [0] to transaction: Broker: {why}"
            )
        };
        assert_eq!(unwritable(&line("Topic authorization failed")), Some("nik.results"));
        assert_eq!(unwritable(&line("Operation not attempted")), None);
    }
}
