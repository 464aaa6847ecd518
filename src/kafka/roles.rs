//! The three topics by their role in the stream.

use std::ops::{Index, IndexMut};

use crate::config::{Guarantee, Topics};
use crate::kafka::security::acl::Operation;

/// What the stream uses a topic for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Requests,
    Results,
    Failures,
}

impl Role {
    /// All roles, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Results, Self::Failures];
    /// The roles of the topics that the stream writes to.
    pub const OUTPUTS: [Self; 2] = [Self::Results, Self::Failures];

    /// The ACL operation that the stream needs on the topic; it implies `Describe`.
    pub fn operation(self) -> Operation {
        match self {
            Self::Requests => Operation::Read,
            Self::Results | Self::Failures => Operation::Write,
        }
    }
}

/// One value for each of the three topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerTopic<T> {
    pub requests: T,
    pub results: T,
    pub failures: T,
}

impl<'a> PerTopic<&'a str> {
    /// The names of the topics.
    pub fn names(topics: &'a Topics) -> Self {
        Self { requests: &topics.requests, results: &topics.results, failures: &topics.failures }
    }
}

impl<T> PerTopic<T> {
    pub fn iter(&self) -> impl Iterator<Item = (Role, &T)> {
        Role::ALL.into_iter().map(|role| (role, &self[role]))
    }

    pub fn map<U>(self, mut value: impl FnMut(Role, T) -> U) -> PerTopic<U> {
        PerTopic {
            requests: value(Role::Requests, self.requests),
            results: value(Role::Results, self.results),
            failures: value(Role::Failures, self.failures),
        }
    }

    /// As [`Self::map`], up to the first error.
    pub fn try_map<U, E>(
        self,
        mut value: impl FnMut(Role, T) -> Result<U, E>,
    ) -> Result<PerTopic<U>, E> {
        Ok(PerTopic {
            requests: value(Role::Requests, self.requests)?,
            results: value(Role::Results, self.results)?,
            failures: value(Role::Failures, self.failures)?,
        })
    }
}

impl<T> Index<Role> for PerTopic<T> {
    type Output = T;

    fn index(&self, role: Role) -> &T {
        match role {
            Role::Requests => &self.requests,
            Role::Results => &self.results,
            Role::Failures => &self.failures,
        }
    }
}

impl<T> IndexMut<Role> for PerTopic<T> {
    fn index_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Requests => &mut self.requests,
            Role::Results => &mut self.results,
            Role::Failures => &mut self.failures,
        }
    }
}

/// The topic in which the brokers keep transactions.
pub const TRANSACTIONS: &str = "__transaction_state";
/// The topic in which the brokers keep committed offsets.
pub const OFFSETS: &str = "__consumer_offsets";

/// The brokers' setting for the replicas of an internal topic.
pub fn replication_setting(internal: &str) -> &'static str {
    if internal == TRANSACTIONS {
        "transaction.state.log.replication.factor"
    } else {
        "offsets.topic.replication.factor"
    }
}

/// The brokers' own topics without which nothing can be committed.
pub fn internal_topics(guarantee: Guarantee) -> &'static [&'static str] {
    match guarantee {
        Guarantee::ExactlyOnce => &[OFFSETS, TRANSACTIONS],
        Guarantee::AtLeastOnce => &[OFFSETS],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_indexes_its_own_topic() {
        let mut names = PerTopic { requests: "in", results: "out", failures: "dlq" };
        assert_eq!(names.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["in", "out", "dlq"]);
        names[Role::Failures] = "dead";
        let operations = names.map(|role, name| (name, role.operation()));
        assert_eq!(operations[Role::Requests], ("in", Operation::Read));
        assert_eq!(operations[Role::Failures], ("dead", Operation::Write));
        assert_eq!(names.try_map(|_, name| name.strip_prefix('d').ok_or(name)), Err("in"));
    }
}
