//! Partitions of the requests that no member of the group has.
//!
//! A static member that returns gets its former assignment without a rebalance (KIP-345). If it
//! leads the group, and the topic got partitions while it was away, nothing makes the group assign
//! them: the leader does not know that there were fewer, and the brokers begin no rebalance for
//! other members. The leader begins one when it joins again, and no member knows that it is the
//! leader, so all join again.

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
/// How long a rebalance may take before the members are asked for another one.
const REJOIN_INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the last looks at the group's assignment showed.
pub struct Unassigned {
    shared: Arc<Shared>,
    group: CString,
    partitions: BTreeSet<i32>,
    since: Instant,
    /// When the members were last asked to join again.
    asked: Option<Instant>,
}

impl Unassigned {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            group: CString::new(shared.group.as_str()).unwrap_or_default(),
            partitions: BTreeSet::new(),
            since: Instant::now(),
            asked: None,
            shared: Arc::clone(shared),
        }
    }

    /// Looks at the group's assignment, and asks the workers to join again if partitions have been
    /// missing in it for long.
    pub fn look<C: ClientContext>(&mut self, client: &Client<C>) {
        let shared = &self.shared;
        if !shared.clients.are_static_members() || !shared.telemetry.health.all_joined() {
            return;
        }
        let topic = &shared.outputs.topics.requests;
        let assigned = match assigned_partitions(client, &self.group, &topic.name, TIMEOUT) {
            Ok(Some(assigned)) => assigned,
            Ok(None) => return, // a rebalance is under way
            Err(error) => {
                tracing::debug!(%error, "the brokers did not describe the group");
                return;
            }
        };
        if self.partitions.is_empty() {
            self.since = Instant::now();
        }
        self.partitions = (0..topic.partitions()).filter(|it| !assigned.contains(it)).collect();
        if self.lasts() && self.asked.is_none_or(|asked| asked.elapsed() >= REJOIN_INTERVAL) {
            self.asked = Some(Instant::now());
            shared.rejoins.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lasts(&self) -> bool {
        !self.partitions.is_empty() && self.since.elapsed() >= NOTICE_TIME
    }

    /// What operators read about these partitions, if they have been missing for long.
    pub fn problem(&self) -> Option<Problem> {
        let list: Vec<_> = self.partitions.iter().map(ToString::to_string).collect();
        self.lasts().then(|| {
            Obstacle::Unassigned.problem(format!(
                "no member of group {} has the partitions {} of topic {}: its members join it again, so that they are assigned",
                self.shared.group,
                list.join(", "),
                self.shared.outputs.topics.requests.name
            ))
        })
    }
}
