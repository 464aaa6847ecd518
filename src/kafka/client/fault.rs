//! What can go wrong with the brokers, sorted by what to do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::client::native::CallError;
use crate::kafka::security::acl::Right;

/// A fault of brokers or network. Never dead-lettered, never swallowed: the epoch it hit is processed again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Give the epoch up, go back to its first records and go on with the same clients.
    #[error("epoch given up: {0}")]
    Abort(String),
    /// These clients are of no more use: start the worker anew from the committed positions.
    #[error("{0}")]
    Restart(String),
    /// The brokers deny a right, and somebody may give it: as [`Fault::Restart`], after the longest pause.
    #[error("{0}")]
    Denied(Right),
    /// Another instance took this one's place, or the broker believes so after an absence.
    #[error("fenced: {0}")]
    Fenced(String),
    /// Nothing that a new start would mend.
    #[error("{0}")]
    Fatal(String),
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error.code {
            Code::Fenced | Code::ProducerFenced | Code::FencedInstanceId => Fault::Fenced(text),
            _ if error.requires_abort => Fault::Abort(text),
            // Fatal to the client, or of no kind that a repetition would mend.
            _ => Fault::Restart(text),
        }
    }
}

impl From<KafkaError> for Fault {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, text, key, value) => {
                Fault::Fatal(format!("librdkafka refuses the setting {key} = {value}: {text}"))
            }
            KafkaError::ClientCreation(text) => {
                Fault::Fatal(format!("no Kafka client can be made: {text}"))
            }
            other => Fault::Restart(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: Code, fatal: bool, requires_abort: bool) -> Fault {
        let text = "text".to_owned();
        CallError {
            call: "commit_transaction",
            code,
            fatal,
            retriable: false,
            requires_abort,
            text,
        }
        .into()
    }

    #[test]
    fn errors_are_sorted_by_what_to_do() {
        assert!(matches!(call(Code::IllegalGeneration, false, true), Fault::Abort(_)));
        assert!(matches!(call(Code::UnknownMemberId, false, true), Fault::Abort(_)));
        assert!(matches!(call(Code::Fenced, true, false), Fault::Fenced(_)));
        assert!(matches!(call(Code::ProducerFenced, true, false), Fault::Fenced(_)));
        assert!(matches!(call(Code::OutOfOrderSequenceNumber, true, false), Fault::Restart(_)));
        assert!(matches!(call(Code::OperationTimedOut, false, false), Fault::Restart(_)));
        let config = KafkaError::ClientCreation("no such file".to_owned());
        assert!(matches!(config.into(), Fault::Fatal(_)));
    }
}
