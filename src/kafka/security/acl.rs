//! What the brokers may deny: an operation on a resource, by Kafka's own names.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

/// An operation, as ACLs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To see that it is there.
    Describe,
    /// To see its settings.
    DescribeConfigs,
    /// To take records, or part in a group.
    Read,
    /// To put records, or to send under an id.
    Write,
    /// To make it.
    Create,
}

/// A right: what an ACL allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What is done.
    pub operation: Operation,
    /// The kind of what it is done with.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl Right {
    /// An operation on a topic.
    pub fn on_topic(operation: Operation, name: &str) -> Self {
        Self { operation, kind: "topic", name: name.to_owned() }
    }

    /// An operation on the cluster as a whole.
    pub fn on_cluster(operation: Operation) -> Self {
        Self { operation, kind: "cluster", name: "kafka-cluster".to_owned() }
    }

    /// To take part in a group, to see its positions and to commit them.
    pub fn of_group(name: &str) -> Self {
        Self { operation: Operation::Read, kind: "group", name: name.to_owned() }
    }

    /// To send under a transactional id.
    pub fn of_transactions(id: &str) -> Self {
        Self { operation: Operation::Write, kind: "transactional id", name: id.to_owned() }
    }

    /// What whoever has it does, in words.
    pub fn deed(&self) -> String {
        let verb = match self.operation {
            Operation::Describe => "describe",
            Operation::DescribeConfigs => "describe the configuration of",
            Operation::Read => "read",
            Operation::Write => "write to",
            Operation::Create => "create",
        };
        format!("{verb} {} {}", self.kind, self.name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, kind, name } = self;
        write!(
            formatter,
            "not authorized: the user of kafka.security needs {operation:?} on {kind} {name}"
        )
    }
}

/// Whether the brokers deny a right.
pub fn is_denial(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}
