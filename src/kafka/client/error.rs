//! Why a command for operators could not do what it was asked to.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::kafka::client::fault::Fault;
use crate::kafka::dlq::letter::Place;
use crate::kafka::security::acl::{Right, is_denial};

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody is there.
    #[error("no broker answers at {servers} (kafka.bootstrap_servers, kafka.security): {why}")]
    Unreachable {
        /// Where one was looked for.
        servers: String,
        /// The last word of librdkafka.
        why: String,
    },
    /// The topic is missing.
    #[error("topic {0} does not exist: `nik-stream topics create` makes it")]
    NoTopic(String),
    /// They are there, and do not let this program in.
    #[error("{0}")]
    Refusal(String),
    /// The brokers do not let this user do it.
    #[error("{0}")]
    NotAllowed(Right),
    /// The brokers refuse, or fail.
    #[error("could not {doing}: {why}")]
    Brokers {
        /// What was tried.
        doing: String,
        /// Their word.
        why: String,
    },
    /// More replicas than brokers.
    #[error("{wanted} replicas need as many brokers, and there are {brokers}: see --replication")]
    TooFewBrokers {
        /// What was asked for.
        wanted: usize,
        /// Those in the cluster.
        brokers: usize,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}: it has {count}, from 0 on")]
    NoPartition {
        /// The topic of failures.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// How many there are.
        count: i32,
    },
    /// No record is there.
    #[error(
        "no failure stands at {place} of {topic}: its partition holds {low} up to before {high} \
         (deleted by retention, of an aborted transaction, or never there)"
    )]
    NoRecord {
        /// The topic of failures.
        topic: String,
        /// What was asked for.
        place: Place,
        /// The first offset there.
        low: i64,
        /// The one behind the last.
        high: i64,
    },
    /// A record of somebody else's.
    #[error(
        "the record at {place} of {topic} has not the headers of a failure: nik-stream did not write it"
    )]
    Foreign {
        /// The topic of failures.
        topic: String,
        /// What was asked for.
        place: Place,
    },
    /// What the position stands for is gone.
    #[error(
        "the replays' position in partition {partition} of {topic} is {mark}, but the partition ends at {end}: it lost records, \
         or somebody set the position. kafka-consumer-groups.sh --group {group} --reset-offsets sets it back"
    )]
    Ahead {
        /// The topic of failures.
        topic: String,
        /// Its partition.
        partition: i32,
        /// The position.
        mark: i64,
        /// Where the partition ends.
        end: i64,
        /// The group of replays.
        group: String,
    },
    /// A position that carries something else than our notes.
    #[error(
        "the position of group {group} in partition {partition} carries notes that no nik-stream wrote, or a newer one: \
         what was replayed is not known"
    )]
    Notes {
        /// The group of replays.
        group: String,
        /// The partition of the failures' topic.
        partition: i32,
    },
    /// The notes would not fit.
    #[error(
        "too many different filters: what they left out does not fit into the {limit} bytes that the position of partition \
         {partition} can carry. Run `nik-stream dlq replay` once without a filter for it (--partition {partition}), then go on"
    )]
    TooManyRules {
        /// The partition of the failures' topic.
        partition: i32,
        /// What the brokers take.
        limit: usize,
    },
    /// The requests' topic does not take an original.
    #[error(
        "the brokers refuse the original of failure {place}: {code}. What stands before it in its partition is sent. Change the \
         topic of requests (`nik-stream topics verify`), or leave it out by --since, --until or --reason"
    )]
    Refused {
        /// Of the failure.
        place: Place,
        /// The brokers' word.
        code: Code,
    },
    /// Another replay runs.
    #[error(
        "another replay of this group runs and has taken over (or the brokers were away for long): what this one had not \
         committed, it did not send. To go on, run it again when the other has ended ({0})"
    )]
    Fenced(String),
    /// A fault in between.
    #[error(
        "the replay stopped: {0}. Run it again: it goes on where it stopped, nothing is sent twice"
    )]
    Stopped(String),
    /// Whoever was told does not listen any more.
    #[error(transparent)]
    Listener(#[from] std::io::Error),
}

impl CommandError {
    /// What `error` means for who wants to do what needs `right`.
    pub fn of(right: &Right, error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(code) => Self::from_code(right, code),
            None => Self::Brokers { doing: right.deed(), why: error.to_string() },
        }
    }

    /// The same, of a bare code.
    pub fn from_code(right: &Right, code: Code) -> Self {
        match code {
            code if is_denial(code) => Self::NotAllowed(right.clone()),
            code => Self::Brokers { doing: right.deed(), why: code.to_string() },
        }
    }

    /// librdkafka takes not these settings.
    pub fn no_client(error: &KafkaError) -> Self {
        Self::Brokers { doing: "make a Kafka client".to_owned(), why: error.to_string() }
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Fenced(cause) => CommandError::Fenced(cause.to_string()),
            Fault::Denied(right) => CommandError::NotAllowed(right),
            Fault::Abort(cause) | Fault::Restart(cause) | Fault::Fatal(cause) => {
                CommandError::Stopped(cause.to_string())
            }
        }
    }
}
