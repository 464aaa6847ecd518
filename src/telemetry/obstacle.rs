//! Everything that can hold requests back: the closed list behind readiness, a metric, the log and
//! the runbook.

use std::fmt::{self, Display};

/// Declares each obstacle once, with its name and its section of the runbook, so that the list is
/// complete.
macro_rules! obstacles {
    ($($(#[$doc:meta])+ $name:ident = $label:literal in $section:ident,)+) => {
        /// Why requests wait.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Obstacle {
            $($(#[$doc])+ $name,)+
        }

        impl Obstacle {
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$name),+];

            /// The name in metrics and logs.
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)+
                }
            }

            /// The section of docs/runbook.md that says what to do.
            pub const fn runbook(self) -> &'static str {
                match self {
                    $(Self::$name => $section,)+
                }
            }
        }
    };
}

const STOPPED: &str = "nikstreamstopped";
const OPEN_TRANSACTION: &str = "nikstreamopentransaction";
const BREAKER_OPEN: &str = "nikstreambreakeropen";
const COMMITS_FAILING: &str = "nikstreamcommitsfailing";
const STANDING: &str = "nikstreampartitionstanding";
const DIFFER: &str = "nikstreampositionsdiffer";

obstacles! {
    /// The program is shutting down.
    Stopping = "stopping" in STOPPED,
    /// The brokers have not answered since the start.
    BrokersUnknown = "brokers_unknown" in STOPPED,
    /// No broker answers.
    NoBroker = "no_broker" in STOPPED,
    /// The brokers deny access: the connection, or a right.
    Denied = "denied" in STOPPED,
    /// A topic of the settings is missing.
    TopicMissing = "topic_missing" in STOPPED,
    /// The brokers report an error of a topic.
    TopicFaulty = "topic_faulty" in STOPPED,
    /// Partitions have no leader: their brokers are away, or cannot use their disks.
    NoLeader = "no_leader" in STOPPED,
    /// The brokers cannot create a topic of their own.
    InternalTopicMissing = "internal_topic_missing" in STOPPED,
    /// The ledger of positions has fewer partitions than the requests.
    LedgerTooSmall = "ledger_too_small" in STOPPED,
    /// A topic of `topics.reply_allowed` cannot be used.
    ReplyTopic = "reply_topic" in STOPPED,
    /// A producer does not end its transaction.
    OpenTransaction = "open_transaction" in OPEN_TRANSACTION,
    /// The flood breaker is open.
    BreakerOpen = "breaker_open" in BREAKER_OPEN,
    /// A worker has no assignment of the group.
    NoAssignment = "no_assignment" in STOPPED,
    /// No member of the group has some partitions.
    Unassigned = "unassigned" in STOPPED,
    /// The brokers do not let an epoch be committed in time.
    SlowBrokers = "slow_brokers" in COMMITS_FAILING,
    /// A batch has a wrong checksum.
    Corrupt = "corrupt" in STANDING,
    /// A batch cannot be decompressed or parsed.
    Undecodable = "undecodable" in STANDING,
    /// The position is beyond the end of the log.
    BeyondEnd = "beyond_end" in STANDING,
    /// The log was truncated below the position.
    Truncated = "truncated" in STANDING,
    /// A record came again.
    OffsetsJumpBack = "offsets_jump_back" in STANDING,
    /// The group's position is beyond the ledger's.
    AheadOfLedger = "ahead_of_ledger" in DIFFER,
    /// The ledger's position belongs to another topic of the same name.
    LedgerOtherTopic = "ledger_other_topic" in DIFFER,
    /// The brokers do not say where a partition continues.
    PositionUnknown = "position_unknown" in STANDING,
    /// A transaction that its producer never ends hides the group's position, or hides outcomes.
    Hidden = "hidden" in STANDING,
}

impl Obstacle {
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
