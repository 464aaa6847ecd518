//! Faults of brokers, network and clients: what went wrong, and what the worker does about it.

use std::ffi::NulError;
use std::io;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::client::native::CallError;
use crate::kafka::security::acl::Right;

/// A fault, sorted by what the worker does about it.
///
/// A fault never leads to a dead letter and is never ignored: the records of its epoch are
/// processed again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Abort the epoch, seek back to its first records and continue with the same clients.
    #[error("epoch aborted: {0}")]
    Abort(Cause),
    /// The clients are unusable: restart the worker from the committed offsets.
    #[error(transparent)]
    Restart(Cause),
    /// The brokers deny a right that an operator may grant: restart after the longest pause.
    #[error("{0}")]
    Denied(Right),
    /// Another instance took over, or a broker believes so after it was unreachable.
    #[error("fenced: {0}")]
    Fenced(Cause),
    /// A restart would not help.
    #[error(transparent)]
    Fatal(Cause),
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Another producer uses the transactional id, or the group fenced this member.
    #[error(transparent)]
    Fenced(CallError),
    /// The brokers aborted the transaction, and then refuse its producer like a fenced one.
    #[error("a transaction took longer than transaction.timeout.ms, and the brokers ended it: {0}")]
    TransactionTimedOut(CallError),
    #[error("another member of the group uses this kafka.instance_id")]
    MemberFenced,
    /// The transaction must be aborted; the producer remains usable.
    #[error(transparent)]
    TransactionFailed(CallError),
    #[error("a record cannot be queued: {0:?}")]
    NotQueued(Code),
    #[error("{count} outcomes were refused, the first: {first}")]
    OutcomesRefused { count: usize, first: Code },
    #[error("the assignment was lost")]
    AssignmentLost,
    #[error("the worker is not a member of the group")]
    NotAMember,
    #[error("offsets cannot be committed: {0}")]
    OffsetsNotCommitted(KafkaError),
    #[error("a stop or new credentials ended the attempt to connect the producer")]
    StoppedEarly,
    /// A transactional call failed in a way that neither a retry nor an abort repairs.
    #[error(transparent)]
    Call(CallError),
    /// The request could change the producer's next transaction.
    #[error("a transactional request was not answered and may still arrive")]
    RequestUnanswered,
    #[error("a transactional call did not return within its timeout")]
    CallHangs,
    #[error("the thread of the transactional calls has ended")]
    CallThreadEnded,
    #[error("the producer's queue stays full")]
    QueueFull,
    /// It sends nothing any more. With transactions, their calls report it.
    #[error("the producer failed for good")]
    ProducerFailed,
    #[error("records were not delivered in time")]
    DeliveryTimeout,
    #[error("the last transaction could not be ended again: {0}")]
    NotSettled(String),
    #[error("an entry of the ledger of positions was refused: {0}")]
    EntryRefused(Code),
    #[error("the consumer failed: {0}")]
    ConsumerFailed(Code),
    #[error("the group's committed offsets are unknown")]
    OffsetsUnknown,
    #[error(transparent)]
    Kafka(KafkaError),
    #[error("the brokers deny: {0}")]
    Denied(Right),
    #[error("librdkafka rejects the setting {key} = {value}: {reason}")]
    Config { key: String, value: String, reason: String },
    #[error(
        "the brokers refuse transaction.timeout.ms of kafka.producer: it must be at most their transaction.max.timeout.ms"
    )]
    TransactionTimeoutRefused,
    #[error("a Kafka client cannot be created: {0}")]
    ClientCreation(String),
    #[error("the name of a topic or group contains a NUL character")]
    NulInName(#[from] NulError),
    #[error("a thread cannot be started: {0}")]
    ThreadNotStarted(io::Error),
    #[error("too many Kafka clients could not be closed: a new process has to replace this one")]
    ClientsAbandoned,
    #[error("a thread panicked, see the log")]
    WorkerPanicked,
    #[error(
        "topic {topic} refuses even the smallest failure, that of partition {partition} offset \
         {offset}: raise its max.message.bytes"
    )]
    FailureRefused { topic: String, partition: i32, offset: i64 },
    #[error(
        "topic {topic} refuses the outcome of partition {partition} offset {offset} as invalid: if the \
         topic is compacted, it accepts only records with a key; otherwise the broker's log has the reason"
    )]
    OutcomeInvalid { topic: String, partition: i32, offset: i64 },
    #[error(
        "topic {topic} refuses the outcome of partition {partition} offset {offset} even with the time of this \
         machine's clock: compare this clock with the brokers', and both with the topic's \
         message.timestamp.before.max.ms and message.timestamp.after.max.ms"
    )]
    ClockRefused { topic: String, partition: i32, offset: i64 },
}

const DENIED: &str = "denied";

impl Cause {
    /// The values of the label `cause`: every one that [`Self::label`] returns.
    pub const LABELS: &[&str] = &[
        "producer_fenced",
        "transaction_timed_out",
        "member_fenced",
        "transaction_failed",
        "record_not_queued",
        "outcomes_refused",
        "assignment_lost",
        "not_a_member",
        "offsets_not_committed",
        "stopped_early",
        "transactional_call",
        "request_unanswered",
        "call_hangs",
        "call_thread_ended",
        "queue_full",
        "producer_failed",
        "delivery_timeout",
        "not_settled",
        "entry_refused",
        "consumer_failed",
        "offsets_unknown",
        "kafka",
        DENIED,
        "config",
        "transaction_timeout_refused",
        "client_creation",
        "nul_in_name",
        "thread_not_started",
        "clients_abandoned",
        "worker_panicked",
        "failure_refused",
        "outcome_invalid",
        "clock_refused",
    ];

    /// The name of this cause in metrics and logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Fenced(_) => "producer_fenced",
            Self::TransactionTimedOut(_) => "transaction_timed_out",
            Self::MemberFenced => "member_fenced",
            Self::TransactionFailed(_) => "transaction_failed",
            Self::NotQueued(_) => "record_not_queued",
            Self::OutcomesRefused { .. } => "outcomes_refused",
            Self::AssignmentLost => "assignment_lost",
            Self::NotAMember => "not_a_member",
            Self::OffsetsNotCommitted(_) => "offsets_not_committed",
            Self::StoppedEarly => "stopped_early",
            Self::Call(_) => "transactional_call",
            Self::RequestUnanswered => "request_unanswered",
            Self::CallHangs => "call_hangs",
            Self::CallThreadEnded => "call_thread_ended",
            Self::QueueFull => "queue_full",
            Self::ProducerFailed => "producer_failed",
            Self::DeliveryTimeout => "delivery_timeout",
            Self::NotSettled(_) => "not_settled",
            Self::EntryRefused(_) => "entry_refused",
            Self::ConsumerFailed(_) => "consumer_failed",
            Self::OffsetsUnknown => "offsets_unknown",
            Self::Kafka(_) => "kafka",
            Self::Denied(_) => DENIED,
            Self::Config { .. } => "config",
            Self::TransactionTimeoutRefused => "transaction_timeout_refused",
            Self::ClientCreation(_) => "client_creation",
            Self::NulInName(_) => "nul_in_name",
            Self::ThreadNotStarted(_) => "thread_not_started",
            Self::ClientsAbandoned => "clients_abandoned",
            Self::WorkerPanicked => "worker_panicked",
            Self::FailureRefused { .. } => "failure_refused",
            Self::OutcomeInvalid { .. } => "outcome_invalid",
            Self::ClockRefused { .. } => "clock_refused",
        }
    }

    /// Whether the brokers took too long, so that a smaller epoch may succeed.
    fn is_timeout(&self) -> bool {
        match self {
            Self::TransactionTimedOut(_)
            | Self::DeliveryTimeout
            | Self::QueueFull
            | Self::CallHangs
            | Self::RequestUnanswered => true,
            Self::OutcomesRefused { first, .. } => *first == Code::MessageTimedOut,
            Self::TransactionFailed(error) | Self::Call(error) => {
                matches!(error.code, Code::OperationTimedOut | Code::MessageTimedOut)
            }
            _ => false,
        }
    }
}

impl Fault {
    /// Whether the brokers took too long, so that a smaller epoch may succeed.
    pub(crate) fn is_timeout(&self) -> bool {
        match self {
            Self::Abort(cause) | Self::Restart(cause) => cause.is_timeout(),
            Self::Denied(_) | Self::Fenced(_) | Self::Fatal(_) => false,
        }
    }

    /// The name of this fault's cause in metrics and logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Denied(_) => DENIED,
            Self::Abort(cause)
            | Self::Restart(cause)
            | Self::Fenced(cause)
            | Self::Fatal(cause) => cause.label(),
        }
    }
}

/// What the worker does about each cause; decided here only.
impl<E> From<E> for Fault
where
    Cause: From<E>,
{
    fn from(error: E) -> Self {
        let cause = Cause::from(error);
        match cause {
            Cause::Fenced(_) | Cause::MemberFenced => Self::Fenced(cause),

            Cause::TransactionFailed(_)
            | Cause::NotQueued(_)
            | Cause::OutcomesRefused { .. }
            | Cause::AssignmentLost
            | Cause::NotAMember
            | Cause::OffsetsNotCommitted(_)
            | Cause::StoppedEarly => Self::Abort(cause),

            Cause::TransactionTimedOut(_)
            | Cause::Call(_)
            | Cause::RequestUnanswered
            | Cause::CallHangs
            | Cause::CallThreadEnded
            | Cause::QueueFull
            | Cause::ProducerFailed
            | Cause::DeliveryTimeout
            | Cause::NotSettled(_)
            | Cause::EntryRefused(_)
            | Cause::ConsumerFailed(_)
            | Cause::OffsetsUnknown
            | Cause::Kafka(_) => Self::Restart(cause),

            Cause::Denied(right) => Self::Denied(right),

            Cause::Config { .. }
            | Cause::TransactionTimeoutRefused
            | Cause::ClientCreation(_)
            | Cause::NulInName(_)
            | Cause::ThreadNotStarted(_)
            | Cause::ClientsAbandoned
            | Cause::WorkerPanicked
            | Cause::FailureRefused { .. }
            | Cause::OutcomeInvalid { .. }
            | Cause::ClockRefused { .. } => Self::Fatal(cause),
        }
    }
}

impl From<CallError> for Cause {
    fn from(error: CallError) -> Self {
        match error.code {
            Code::Fenced | Code::ProducerFenced | Code::FencedInstanceId => Self::Fenced(error),
            Code::InvalidTransactionTimeout => Self::TransactionTimeoutRefused,
            _ if error.requires_abort => Self::TransactionFailed(error),
            _ => Self::Call(error),
        }
    }
}

impl From<KafkaError> for Cause {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, key, value) => Self::Config { key, value, reason },
            KafkaError::ClientCreation(reason) => Self::ClientCreation(reason),
            other => Self::Kafka(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(code: Code, requires_abort: bool) -> CallError {
        let (call, text) = ("commit_transaction", "text".to_owned());
        CallError { call, code, retriable: false, requires_abort, text }
    }

    #[test]
    fn call_errors_are_sorted_by_their_code_and_flags() {
        let fault = |code, requires_abort| call(code, requires_abort).into();
        assert!(matches!(fault(Code::IllegalGeneration, true), Fault::Abort(_)));
        assert!(matches!(fault(Code::UnknownMemberId, true), Fault::Abort(_)));
        assert!(matches!(fault(Code::Fenced, false), Fault::Fenced(_)));
        assert!(matches!(fault(Code::ProducerFenced, false), Fault::Fenced(_)));
        assert!(matches!(fault(Code::OutOfOrderSequenceNumber, false), Fault::Restart(_)));
        assert!(matches!(fault(Code::OperationTimedOut, false), Fault::Restart(_)));
        let creation = KafkaError::ClientCreation("no such file".to_owned());
        assert!(matches!(creation.into(), Fault::Fatal(Cause::ClientCreation(_))));
    }

    #[test]
    fn every_cause_has_one_of_the_closed_list_of_labels() {
        let kafka = || KafkaError::Canceled;
        let topic = String::new;
        let causes = [
            Cause::Fenced(call(Code::Fenced, false)),
            Cause::TransactionTimedOut(call(Code::Fenced, false)),
            Cause::MemberFenced,
            Cause::TransactionFailed(call(Code::UnknownMemberId, true)),
            Cause::NotQueued(Code::Fail),
            Cause::OutcomesRefused { count: 1, first: Code::Fail },
            Cause::AssignmentLost,
            Cause::NotAMember,
            Cause::OffsetsNotCommitted(kafka()),
            Cause::StoppedEarly,
            Cause::Call(call(Code::Fail, false)),
            Cause::RequestUnanswered,
            Cause::CallHangs,
            Cause::CallThreadEnded,
            Cause::QueueFull,
            Cause::ProducerFailed,
            Cause::DeliveryTimeout,
            Cause::NotSettled(String::new()),
            Cause::EntryRefused(Code::Fail),
            Cause::ConsumerFailed(Code::Fail),
            Cause::OffsetsUnknown,
            Cause::Kafka(kafka()),
            Cause::Denied(Right::of_group("group")),
            Cause::Config { key: String::new(), value: String::new(), reason: String::new() },
            Cause::TransactionTimeoutRefused,
            Cause::ClientCreation(String::new()),
            Cause::NulInName(std::ffi::CString::new("\0").unwrap_err()),
            Cause::ThreadNotStarted(io::ErrorKind::Other.into()),
            Cause::ClientsAbandoned,
            Cause::WorkerPanicked,
            Cause::FailureRefused { topic: topic(), partition: 0, offset: 0 },
            Cause::OutcomeInvalid { topic: topic(), partition: 0, offset: 0 },
            Cause::ClockRefused { topic: topic(), partition: 0, offset: 0 },
        ];
        assert_eq!(causes.each_ref().map(Cause::label).as_slice(), Cause::LABELS);
        for cause in causes {
            let label = cause.label();
            assert_eq!(Fault::from(cause).label(), label);
        }
    }
}
