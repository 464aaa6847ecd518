//! Everything that can hold requests back: the closed list behind readiness, a metric, the log and
//! the runbook.

use std::fmt::{self, Display};

/// Why requests wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The program is shutting down.
    Stopping,
    /// The brokers have not answered since the start.
    BrokersUnknown,
    /// No broker answers.
    NoBroker,
    /// The brokers deny access: the connection, or a right.
    Denied,
    /// A topic of the settings is missing.
    TopicMissing,
    /// The brokers report an error of a topic.
    TopicFaulty,
    /// Partitions have no leader: their brokers are away, or cannot use their disks.
    NoLeader,
    /// The brokers cannot create a topic of their own.
    InternalTopicMissing,
    /// The ledger of positions has fewer partitions than the requests.
    LedgerTooSmall,
    /// A topic of `topics.reply_allowed` cannot be used.
    ReplyTopic,
    /// A producer does not end its transaction.
    OpenTransaction,
    BreakerOpen,
    /// A worker has no assignment of the group.
    NoAssignment,
    /// The brokers do not let an epoch be committed in time.
    SlowBrokers,
    /// A batch has a wrong checksum.
    Corrupt,
    /// A batch cannot be decompressed or parsed.
    Undecodable,
    /// The position is beyond the end of the log.
    BeyondEnd,
    /// The log was truncated below the position.
    Truncated,
    /// A record came again.
    OffsetsJumpBack,
    /// The group's position is beyond the ledger's.
    AheadOfLedger,
    /// The ledger's position belongs to another topic of the same name.
    LedgerOtherTopic,
    /// A transaction that no producer ends hides the position.
    Hidden,
}

impl Obstacle {
    pub const ALL: [Self; 22] = [
        Self::Stopping,
        Self::BrokersUnknown,
        Self::NoBroker,
        Self::Denied,
        Self::TopicMissing,
        Self::TopicFaulty,
        Self::NoLeader,
        Self::InternalTopicMissing,
        Self::LedgerTooSmall,
        Self::ReplyTopic,
        Self::OpenTransaction,
        Self::BreakerOpen,
        Self::NoAssignment,
        Self::SlowBrokers,
        Self::Corrupt,
        Self::Undecodable,
        Self::BeyondEnd,
        Self::Truncated,
        Self::OffsetsJumpBack,
        Self::AheadOfLedger,
        Self::LedgerOtherTopic,
        Self::Hidden,
    ];

    /// The name in metrics and logs.
    pub fn label(self) -> &'static str {
        self.names().0
    }

    /// The section of docs/runbook.md that says what to do.
    pub fn runbook(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        const STOPPED: &str = "nikstreamstopped";
        const STANDING: &str = "nikstreampartitionstanding";
        const DIFFER: &str = "nikstreampositionsdiffer";
        match self {
            Self::Stopping => ("stopping", STOPPED),
            Self::BrokersUnknown => ("brokers_unknown", STOPPED),
            Self::NoBroker => ("no_broker", STOPPED),
            Self::Denied => ("denied", STOPPED),
            Self::TopicMissing => ("topic_missing", STOPPED),
            Self::TopicFaulty => ("topic_faulty", STOPPED),
            Self::NoLeader => ("no_leader", STOPPED),
            Self::InternalTopicMissing => ("internal_topic_missing", STOPPED),
            Self::LedgerTooSmall => ("ledger_too_small", STOPPED),
            Self::ReplyTopic => ("reply_topic", STOPPED),
            Self::OpenTransaction => ("open_transaction", "nikstreamopentransaction"),
            Self::BreakerOpen => ("breaker_open", "nikstreambreakeropen"),
            Self::NoAssignment => ("no_assignment", STOPPED),
            Self::SlowBrokers => ("slow_brokers", "nikstreamcommitsfailing"),
            Self::Corrupt => ("corrupt", STANDING),
            Self::Undecodable => ("undecodable", STANDING),
            Self::BeyondEnd => ("beyond_end", STANDING),
            Self::Truncated => ("truncated", STANDING),
            Self::OffsetsJumpBack => ("offsets_jump_back", STANDING),
            Self::AheadOfLedger => ("ahead_of_ledger", DIFFER),
            Self::LedgerOtherTopic => ("ledger_other_topic", DIFFER),
            Self::Hidden => ("hidden", STANDING),
        }
    }

    /// This obstacle, with the sentence for operators.
    pub fn problem(self, text: impl Into<String>) -> Problem {
        Problem { obstacle: self, text: text.into() }
    }
}

/// An obstacle that holds requests back now. Displayed as the sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub obstacle: Obstacle,
    pub text: String,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
