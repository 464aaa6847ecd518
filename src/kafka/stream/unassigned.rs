//! Partitions of the requests that no member of the group has.
//!
//! A static member that restarts gets its former assignment without a rebalance (KIP-345). If it
//! leads the group, and the topic got partitions while it was away, it assigns nothing: it does not
//! know that there were fewer. Only a further request of the leader to join begins a rebalance.
//! librdkafka does not show who leads, so all members send one.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};

use super::shared::Shared;
use crate::kafka::client::c_string;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::listed;
use crate::kafka::client::native::groups::{self, Group};
use crate::telemetry::obstacle::{Obstacle, Problem};

/// A leader that has not returned notices new partitions within 10 seconds
/// (`topic.metadata.refresh.interval.ms`), and its rebalance takes a moment.
const NOTICE_TIME: Duration = Duration::from_secs(15);
/// How long after a request to join again the next one follows; it doubles up to the longest. It
/// does not help while the leader is away, and each one interrupts the members that are there.
const SHORTEST_REJOIN_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_REJOIN_INTERVAL: Duration = Duration::from_mins(5);
/// A broker that is away takes all of it.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// What the last looks at the group's assignment showed.
pub struct Unassigned {
    shared: Arc<Shared>,
    group: CString,
    /// Those that no member had at the last look, and since when there are some.
    partitions: BTreeSet<i32>,
    since: Instant,
    next_rejoin: Instant,
    rejoin_interval: Duration,
}

impl Unassigned {
    pub fn new(shared: &Arc<Shared>) -> Result<Self, Fault> {
        Ok(Self {
            group: c_string(&shared.group)?,
            partitions: BTreeSet::new(),
            since: Instant::now(),
            next_rejoin: Instant::now(),
            rejoin_interval: SHORTEST_REJOIN_INTERVAL,
            shared: Arc::clone(shared),
        })
    }

    /// Looks at the group's assignment, and asks the workers to join again if partitions have been
    /// missing in it for long.
    pub fn look<C: ClientContext>(&mut self, client: &Client<C>) {
        let shared = &self.shared;
        if !shared.clients.are_static_members() {
            return;
        }
        if !shared.telemetry.health.all_joined() {
            self.partitions.clear(); // a worker that has not joined is reported by itself
            return;
        }
        let topic = &shared.outputs.topics.requests;
        let assignments = match groups::assignments(client, &self.group, LIST_TIMEOUT) {
            Ok(Group::Stable(assignments)) => assignments,
            Ok(Group::Rebalances | Group::NoMembers) => return, // they will join
            Err(error) => {
                tracing::debug!(%error, "the brokers did not describe the group");
                return;
            }
        };
        let partitions = assignments.iter().map(|it| partitions(it, topic.name.as_bytes()));
        let Some(assigned) = partitions.collect::<Option<Vec<_>>>() else {
            tracing::debug!("an assignment of the group cannot be read");
            return;
        };
        let assigned = assigned.concat();
        if self.partitions.is_empty() {
            self.since = Instant::now();
            self.rejoin_interval = SHORTEST_REJOIN_INTERVAL;
        }
        self.partitions = (0..topic.partitions()).filter(|it| !assigned.contains(it)).collect();
        if self.is_overdue() && Instant::now() >= self.next_rejoin {
            self.next_rejoin = Instant::now() + self.rejoin_interval;
            self.rejoin_interval = (self.rejoin_interval * 2).min(LONGEST_REJOIN_INTERVAL);
            shared.rejoins.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_overdue(&self) -> bool {
        !self.partitions.is_empty() && self.since.elapsed() >= NOTICE_TIME
    }

    /// What operators read about these partitions, if they have been missing for long.
    pub fn problem(&self) -> Option<Problem> {
        self.is_overdue().then(|| {
            Obstacle::Unassigned.problem(format!(
                "no member of group {} has the partitions {} of topic {}: the members join the group again to get them",
                self.shared.group,
                listed(&self.partitions),
                self.shared.outputs.topics.requests.name
            ))
        })
    }
}

/// The partitions of a topic in an assignment; `None` if it is malformed. (A member without
/// partitions may have an empty one.)
pub fn partitions(mut assignment: &[u8], topic: &[u8]) -> Option<Vec<i32>> {
    let from = &mut assignment;
    if from.is_empty() {
        return Some(Vec::new());
    }
    let _version = i16::from_be_bytes(take(from)?);
    let mut found = Vec::new();
    for _ in 0..i32::from_be_bytes(take(from)?) {
        let length = usize::try_from(i16::from_be_bytes(take(from)?)).ok()?;
        let name = from.split_off(..length)?;
        for _ in 0..i32::from_be_bytes(take(from)?) {
            let partition = i32::from_be_bytes(take(from)?);
            if name == topic {
                found.push(partition);
            }
        }
    }
    Some(found)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    from.split_off(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partitions_of_the_topic_are_read_and_a_cut_assignment_is_not() {
        let assignment = b"\0\x01\0\0\0\x02\0\x01a\0\0\0\x01\0\0\0\x09\
            \0\x02bc\0\0\0\x02\0\0\0\0\0\0\0\x03\xff\xff\xff\xff";
        assert_eq!(partitions(assignment, b"bc"), Some(vec![0, 3]));
        assert_eq!(partitions(assignment, b"a"), Some(vec![9]));
        assert_eq!(partitions(assignment, b"b"), Some(vec![]));
        assert_eq!(partitions(b"", b"a"), Some(vec![]));
        let needed = assignment.len() - 4; // without the user data
        for length in 1..needed {
            assert_eq!(partitions(&assignment[..length], b"bc"), None, "{length}");
        }
    }
}
