//! Why a command on dead letters failed.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::client::error::CommandError;
use crate::kafka::client::fault::{Cause, Fault};
use crate::pipeline::Position;

#[derive(Debug, thiserror::Error)]
pub enum DlqError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("topic {topic} has no partition {partition}: its {count} partitions start at 0")]
    NoPartition { topic: String, partition: i32, count: i32 },
    #[error(
        "{topic} has no dead letter at {position}: the partition holds offsets from {low} to before {high} (the record was \
         deleted by retention, belongs to an aborted transaction, or never existed)"
    )]
    NoRecord {
        topic: String,
        position: Position,
        low: i64,
        /// The offset after the last record.
        high: i64,
    },
    #[error(
        "the record at {position} of {topic} lacks the headers of a dead letter: nik-stream did not write it"
    )]
    Foreign { topic: String, position: Position },
    #[error(
        "group {group} has committed offset {committed} in partition {partition} of {topic}, but the partition ends at {end}: \
         it lost records, or the offset was set by hand. `kafka-consumer-groups.sh --group {group} --reset-offsets` sets it back"
    )]
    BeyondEnd { topic: String, partition: i32, committed: i64, end: i64, group: String },
    #[error(
        "the offset that group {group} committed in partition {partition} carries metadata that this version of nik-stream \
         cannot read: it is not known what was replayed"
    )]
    UnknownMetadata { group: String, partition: i32 },
    #[error(
        "too many different filters: the list of what they left out does not fit into the {limit} bytes of metadata that \
         the committed offset of partition {partition} can carry. Run `nik-stream dlq replay` once without a filter for this \
         partition (--partition {partition}), then repeat this command"
    )]
    TooManyFilters { partition: i32, limit: usize },
    #[error(
        "the brokers refuse the original of dead letter {position}: {code}. Everything before it in its partition has been sent. \
         Change the requests topic (`nik-stream topics verify`), or exclude this dead letter with --since, --until or --reason"
    )]
    Refused { position: Position, code: Code },
    #[error(
        "dead letter {position} says that its request is in another topic than topics.requests, and has no copy of it: only \
         topics.requests is read. Everything before it in its partition has been sent. Exclude it with --since, --until or --reason, \
         or put it aside: nik-stream dlq dismiss --place {position} --why TEXT"
    )]
    OtherTopic { position: Position },
    #[error(
        "another replay of this group has taken over (or the brokers were unreachable for long): what this replay had not \
         committed, it did not send. Run it again when the other one has ended ({0})"
    )]
    Fenced(Cause),
    #[error(
        "the replay stopped: {0}. Run it again: it continues where it stopped and sends nothing twice"
    )]
    Stopped(Cause),
    /// The output of the command was closed.
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

impl From<Fault> for DlqError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fenced(cause) => Self::Fenced(cause),
            Fault::Denied(right) => CommandError::NotAllowed(right).into(),
            Fault::Abort(cause) | Fault::Restart(cause) | Fault::Fatal(cause) => {
                Self::Stopped(cause)
            }
        }
    }
}
