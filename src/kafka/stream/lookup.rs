//! Asks the brokers for everything that decides where partitions start.

use std::cell::Cell;
use std::ffi::CString;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::LedgerLookup;
use super::shared::Shared;
use super::standing::Standing;
use super::start::{Committed, Known, Notice, Start, TopicId, Watermarks, decide};
use super::tracks::Tracks;
use crate::kafka::client::native::consumer::{ConsumerCallbacks, GroupClient};
use crate::kafka::client::native::{self, Offsets};
use crate::pipeline::Position;

/// The least timeout of each request except the one for the committed offsets, whose timeout the
/// caller chooses.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// How often the brokers are asked, if their answers contradict what this process knows: a
/// coordinator or leader that was elected a moment ago may answer from an older state.
const ATTEMPTS: u32 = 4;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(250);
/// How librdkafka's mock cluster names itself.
const MOCK_CLUSTER: &str = "mockCluster";

/// Looks up partitions of the requests.
pub struct Lookup {
    pub topic: CString,
    shared: Arc<Shared>,
    pub ledger: LedgerLookup,
    /// A topic of this name that is known to be deleted. Some brokers may still answer for it.
    pub deleted: Option<TopicId>,
    /// What was not answered, if the last lookup found nothing.
    unanswered: Cell<&'static str>,
}

impl Lookup {
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            topic: shared.outputs.topics.requests.c_name().to_owned(),
            shared: Arc::clone(shared),
            ledger: LedgerLookup::new(shared),
            deleted: None,
            unanswered: Cell::new(""),
        }
    }

    pub fn unanswered(&self) -> &'static str {
        self.unanswered.get()
    }

    /// Where these partitions start. `None` while an open transaction may still change the group's
    /// committed offsets or the ledger, or if no broker answers. `tracks` knows how far those were
    /// read that start again. `timeout` is that of the request for the committed offsets.
    pub fn starts<C: ConsumerCallbacks>(
        &self,
        client: &GroupClient<C>,
        partitions: &[i32],
        tracks: &mut Tracks,
        timeout: Duration,
    ) -> Option<Vec<(i32, Start)>> {
        let mut attempt = 1;
        loop {
            let known = self.ask(client, partitions, tracks, timeout)?;
            let starts: Vec<_> = known.iter().map(|(it, known)| (*it, decide(known))).collect();
            let is_doubtful = known.iter().zip(&starts).any(|((partition, known), (_, start))| {
                known.group_is_behind()
                    || match start {
                        Start::At { notices, .. } => {
                            notices.iter().any(|it| matches!(it, Notice::BehindLedger { .. }))
                        }
                        // A partition that stands already is looked up every few seconds.
                        Start::Standing(
                            Standing::BeyondEnd { .. } | Standing::AheadOfLedger { .. },
                        ) => !tracks.is_standing(*partition),
                        Start::Standing(_) => false,
                    }
            });
            if !is_doubtful || attempt == ATTEMPTS {
                return Some(starts);
            }
            attempt += 1;
            std::thread::sleep(ATTEMPT_PAUSE);
        }
    }

    fn ask<C: ConsumerCallbacks>(
        &self,
        client: &GroupClient<C>,
        partitions: &[i32],
        tracks: &mut Tracks,
        timeout: Duration,
    ) -> Option<Vec<(i32, Known)>> {
        let wanted = partitions.iter().map(|&partition| Position { partition, offset: 0 });
        let wanted = Offsets::new(&self.topic, wanted);
        let committed = self.answered("committed offsets", client.committed(&wanted, timeout))?;
        let timeout = timeout.max(REQUEST_TIMEOUT);
        // Asked after the offsets, which therefore may belong to an older topic, but never to a
        // newer one. The request goes to the controller, which librdkafka's mock cluster does not
        // have.
        self.unanswered.set("the cluster's id");
        let id = if client.client().fetch_cluster_id(timeout)?.starts_with(MOCK_CLUSTER) {
            None
        } else {
            let id = native::topic_id(client.client(), &self.topic, timeout);
            self.answered("the topic's id", id)?.map(TopicId)
        };
        if id.is_some() && id == self.deleted {
            self.unanswered.set("the id of the new topic");
            return None;
        }
        let watermarks = native::watermarks(client.client(), &wanted, timeout);
        let watermarks = self.answered("the topic's watermarks", watermarks)?;
        self.unanswered.set("the ledger of positions");
        let mut answers = self.ledger.answers(partitions, timeout)?;
        let known = committed.entries().map(|entry| {
            let partition = entry.partition;
            let (_, low, high) = *watermarks.iter().find(|it| it.0 == partition)?;
            let own = self.shared.own_positions.get(partition);
            // If nothing was ever committed, the partition starts again where it was interrupted.
            let read_to = || tracks.position(partition).filter(|_| own.is_none()).cloned();
            let group = Committed::of(&entry).or_else(read_to);
            let ledger = answers.remove(&partition)?;
            Some((
                partition,
                Known {
                    group,
                    own,
                    ledger,
                    watermarks: Watermarks { low, high },
                    topic_id: id.clone(),
                },
            ))
        });
        known.collect()
    }

    fn answered<T, E: Display>(&self, what: &'static str, answer: Result<T, E>) -> Option<T> {
        self.unanswered.set(what);
        answer.inspect_err(|error| tracing::debug!(%error, "no answer: {what}")).ok()
    }
}
