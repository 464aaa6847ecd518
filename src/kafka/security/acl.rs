//! The rights that brokers grant or deny: an operation on a resource, in Kafka's own terms.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

/// An operation, named as in ACLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Describe,
    DescribeConfigs,
    Read,
    Write,
    Create,
}

/// What one ACL allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub operation: Operation,
    /// The type of the resource.
    pub kind: &'static str,
    pub name: String,
}

impl Right {
    pub fn on_topic(operation: Operation, name: &str) -> Self {
        Self { operation, kind: "topic", name: name.to_owned() }
    }

    pub fn on_cluster(operation: Operation) -> Self {
        Self { operation, kind: "cluster", name: "kafka-cluster".to_owned() }
    }

    /// The right to join a group, and to read and commit its offsets.
    pub fn of_group(name: &str) -> Self {
        Self { operation: Operation::Read, kind: "group", name: name.to_owned() }
    }

    /// The right to produce with a transactional id.
    pub fn of_transactions(id: &str) -> Self {
        Self { operation: Operation::Write, kind: "transactional id", name: id.to_owned() }
    }

    /// The action that this right allows, in words.
    pub fn action(&self) -> String {
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

/// Whether `code` says that a right is missing.
pub fn is_denial(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}
