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
use crate::kafka::client::native::assigned_partitions;
use crate::telemetry::obstacle::{Obstacle, Problem};

/// A leader that has not returned notices new partitions within 10 seconds
/// (`topic.metadata.refresh.interval.ms`), and its rebalance takes a moment.
const NOTICE_TIME: Duration = Duration::from_secs(15);
/// How long after a request to join again the next one follows; it doubles up to the longest. It
/// does not help while the leader is away, and each one interrupts the members that are there.
const SHORTEST_REJOIN_INTERVAL: Duration = Duration::from_secs(30);
const LONGEST_REJOIN_INTERVAL: Duration = Duration::from_mins(5);
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            group: CString::new(shared.group.as_str()).unwrap_or_default(),
            partitions: BTreeSet::new(),
            since: Instant::now(),
            next_rejoin: Instant::now(),
            rejoin_interval: SHORTEST_REJOIN_INTERVAL,
            shared: Arc::clone(shared),
        }
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
        let assigned =
            match assigned_partitions(client, &self.group, topic.c_name(), DESCRIBE_TIMEOUT) {
                Ok(Some(assigned)) => assigned,
                Ok(None) => return, // a rebalance is under way
                Err(error) => {
                    tracing::debug!(%error, "the brokers did not describe the group");
                    return;
                }
            };
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
        let list: Vec<_> = self.partitions.iter().map(ToString::to_string).collect();
        self.is_overdue().then(|| {
            Obstacle::Unassigned.problem(format!(
                "no member of group {} has the partitions {} of topic {}: the members join the group again to get them",
                self.shared.group,
                list.join(", "),
                self.shared.outputs.topics.requests.name
            ))
        })
    }
}
