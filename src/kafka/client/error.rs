//! The errors that all commands for operators share.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::security::acl::{Right, is_denial};

/// Why a command for operators failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("no broker answers at {servers} (kafka.bootstrap_servers, kafka.security): {why}")]
    Unreachable {
        servers: String,
        /// The last connection failure that librdkafka reported.
        why: String,
    },
    /// The brokers reject the connection, or the token to authenticate with is missing.
    #[error("{0}")]
    Rejected(String),
    #[error("topic {0} does not exist: `nik-stream topics create` creates it")]
    NoTopic(String),
    #[error("{0}")]
    NotAllowed(Right),
    #[error("could not {action}: {why}")]
    Brokers { action: String, why: String },
}

impl CommandError {
    /// The error of an action that needs `right`.
    pub fn new(right: &Right, error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::from_code(right, code),
            None => Self::Brokers { action: right.action(), why: error.to_string() },
        }
    }

    /// As [`Self::new`], from an error code alone.
    pub fn from_code(right: &Right, code: Code) -> Self {
        if is_denial(code) {
            return Self::NotAllowed(right.clone());
        }
        Self::Brokers { action: right.action(), why: code.to_string() }
    }

    /// librdkafka rejects the settings of a client.
    pub fn no_client(error: &KafkaError) -> Self {
        Self::Brokers { action: "make a Kafka client".to_owned(), why: error.to_string() }
    }
}
