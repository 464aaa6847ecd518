//! The topic watch: looks at brokers and topics regularly, and publishes what it sees.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::outputs::KnownTopic;
use super::shared::Shared;
use super::shutdown::Stop;
use super::unassigned::Unassigned;
use crate::kafka::client::callbacks::{BasicContext, drain_events};
use crate::kafka::client::fault::Fault;
use crate::kafka::client::listed;
use crate::kafka::client::native::is_unknown;
use crate::kafka::client::producer::unsettled::leaderless_partitions;
use crate::kafka::roles::{PerTopic, Role, internal_topics, replication_setting};
use crate::telemetry::lag::LogOffsets;
use crate::telemetry::now_ms;
use crate::telemetry::obstacle::{Obstacle, Problem};

pub struct Watch {
    shared: Arc<Shared>,
    client: BaseConsumer<BasicContext>,
    /// The generation of the credentials that the client uses.
    generation: u64,
    /// How often in a row each reply topic was missing.
    reply_misses: Vec<u32>,
    /// How often in a row the ledger was missing.
    ledger_misses: u32,
    /// Since when an internal topic is missing while a worker waits for its assignment.
    internal_missing: Option<Instant>,
    /// Since when partitions have no leader.
    leaderless_since: Option<Instant>,
    unassigned: Unassigned,
    last_counts: PerTopic<i32>,
    last_problems: Vec<Problem>,
    /// When to fetch the watermarks and to look at the group's assignment.
    next_look: Instant,
}

/// A broker that has just started knows no topic, so a reply topic or the ledger counts as gone
/// only after it was missing this often in a row.
const MISSES_BEFORE_GONE: u32 = 3;
/// The brokers create an internal topic when they first need it, which may take this long.
const INTERNAL_TOPIC_CREATION: Duration = Duration::from_secs(4);
/// A partition gets another leader within this time if there is a broker for it.
const LEADER_ELECTION: Duration = Duration::from_secs(3);
const INTERVAL: Duration = Duration::from_secs(5);
/// The interval while there is a problem, or the partition counts differ: the other topics may be
/// about to get as many partitions.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no broker answered.
struct Unreachable(Problem);

impl Watch {
    pub fn new(shared: &Arc<Shared>) -> Result<Self, Fault> {
        let generation = shared.clients.generation();
        let config = shared.clients.watch();
        Ok(Self {
            client: BasicContext::consumer(&config, &shared.clients.access)?,
            generation,
            reply_misses: vec![0; shared.outputs.replies.len()],
            ledger_misses: 0,
            internal_missing: None,
            leaderless_since: None,
            unassigned: Unassigned::new(shared)?,
            last_counts: PerTopic::default(),
            last_problems: Vec::new(),
            next_look: Instant::now(),
            shared: Arc::clone(shared),
        })
    }

    pub fn run(mut self, stop: &Stop) {
        while !stop.requested() {
            self.renew_client();
            let problems = self.refresh().unwrap_or_else(|Unreachable(reason)| vec![reason]);
            let calm = problems.is_empty()
                && self.leaderless_since.is_none()
                && self.shared.outputs.counts_agree();
            self.log_changes(&problems);
            self.last_problems.clone_from(&problems);
            self.shared.telemetry.health.set_cluster(problems);
            let (shared, interval) = (&self.shared, if calm { INTERVAL } else { RETRY_INTERVAL });
            shared.refresh.wait(interval, |wanted| stop.requested() || mem::take(wanted));
        }
    }

    /// Replaces the client after the credentials were renewed.
    fn renew_client(&mut self) {
        let generation = self.shared.clients.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let clients = &self.shared.clients;
        match BasicContext::consumer(&clients.watch(), &clients.access) {
            Ok(client) => self.client = client,
            Err(error) => tracing::warn!(%error, "the topic watch keeps its client"),
        }
    }

    fn log_changes(&self, problems: &[Problem]) {
        if problems == self.last_problems {
            return;
        }
        let access = &self.shared.clients.access;
        for problem in problems {
            access.log_problem(problem);
        }
        if problems.is_empty() {
            access.reset();
            tracing::info!("cluster healthy again");
        }
    }

    /// Publishes the state of brokers and topics; returns what is wrong with them.
    fn refresh(&mut self) -> Result<Vec<Problem>, Unreachable> {
        drain_events(&self.client);
        let state = &self.client.context().client;
        state.restore_brokers(self.client.client());
        let shared = Arc::clone(&self.shared);
        let outputs = &shared.outputs;
        let mut problems = Vec::new();
        let mut leaderless = Vec::new();
        for (_, topic) in outputs.topics.iter() {
            problems.extend(self.publish(topic, &mut leaderless)?);
        }
        if let Some(ledger) = &outputs.ledger {
            let problem = self.publish(ledger, &mut leaderless)?;
            // The partition count of a missing ledger is kept: at 0 the workers would commit epochs
            // without entries.
            self.ledger_misses = if problem.is_some() { self.ledger_misses + 1 } else { 0 };
            problems.extend(problem);
        }
        // Watermarks and the assignment are looked at in spite of these.
        let mut tolerable = Vec::new();
        tolerable.extend(self.missing_ledger_partitions());
        tolerable.extend(self.held_back());
        tolerable.extend(self.missing_internal_topic(&mut leaderless)?);
        for (index, topic) in outputs.replies.iter().enumerate() {
            match self.publish(topic, &mut leaderless)? {
                None => self.reply_misses[index] = 0,
                Some(problem) => {
                    let text = format!("{problem} (topics.reply_allowed)");
                    tolerable.push(Obstacle::ReplyTopic.problem(text));
                    self.reply_misses[index] += 1;
                    if self.reply_misses[index] >= MISSES_BEFORE_GONE {
                        topic.set_partitions(0);
                    }
                }
            }
        }
        self.publish_counts();
        tolerable.extend(self.lasting(leaderless));
        if problems.is_empty() && Instant::now() >= self.next_look {
            self.next_look = Instant::now() + INTERVAL;
            self.fetch_watermarks();
            self.unassigned.look(self.client.client());
        }
        tolerable.extend(self.unassigned.problem());
        problems.extend(tolerable);
        for denied in shared.clients.access.denied() {
            let denied = Obstacle::Denied.problem(denied);
            if !problems.contains(&denied) {
                problems.push(denied);
            }
        }
        Ok(problems)
    }

    fn fetch_metadata(&self, topic: &str) -> Result<Metadata, Unreachable> {
        let shared = &self.shared;
        self.client.fetch_metadata(Some(topic), METADATA_TIMEOUT).map_err(|error| {
            shared.telemetry.metrics.brokers_up.set(0);
            shared.outages.fetch_add(1, Ordering::Relaxed);
            drain_events(&self.client);
            Unreachable(match shared.clients.access.take_connection_failure() {
                Some(failure) if failure.permanent => Obstacle::Denied.problem(failure.message),
                Some(failure) => {
                    Obstacle::NoBroker.problem(format!("no broker answers: {}", failure.message))
                }
                None if error.rdkafka_error_code() == Some(Code::OperationTimedOut) => {
                    let seconds = METADATA_TIMEOUT.as_secs();
                    Obstacle::NoBroker
                        .problem(format!("no broker answers within {seconds} seconds"))
                }
                None => Obstacle::NoBroker.problem(format!("no broker answers: {error}")),
            })
        })
    }

    /// Makes the partitions of a topic known to the workers, and appends a problem to `leaderless`
    /// if some have no leader; returns what is wrong with the topic itself.
    fn publish(
        &self,
        topic: &KnownTopic,
        leaderless: &mut Vec<Problem>,
    ) -> Result<Option<Problem>, Unreachable> {
        let metadata = self.fetch_metadata(&topic.name)?;
        let brokers = i64::try_from(metadata.brokers().len()).unwrap_or(0);
        self.shared.telemetry.metrics.brokers_up.set(brokers);
        let found = metadata.topics().first();
        let name = &topic.name;
        Ok(match found.and_then(MetadataTopic::error).map(Code::from) {
            Some(code) if is_unknown(code) => {
                Some(Obstacle::TopicMissing.problem(format!("topic {name} does not exist")))
            }
            Some(Code::TopicAuthorizationFailed) => {
                Some(Obstacle::Denied.problem(topic.right.to_string()))
            }
            Some(code) => Some(Obstacle::TopicFaulty.problem(format!("topic {name}: {code}"))),
            None => {
                let count = found.map_or(0, |topic| topic.partitions().len());
                topic.set_partitions(i32::try_from(count).unwrap_or(i32::MAX));
                let those = found.map(leaderless_partitions).unwrap_or_default();
                leaderless.extend(without_leader(name, &those));
                topic.set_leaderless(those);
                None
            }
        })
    }

    /// The partitions without a leader, if that lasts for longer than an election.
    fn lasting(&mut self, leaderless: Vec<Problem>) -> Vec<Problem> {
        if leaderless.is_empty() {
            self.leaderless_since = None;
            return leaderless;
        }
        let since = *self.leaderless_since.get_or_insert_with(Instant::now);
        if since.elapsed() < LEADER_ELECTION { Vec::new() } else { leaderless }
    }

    /// The brokers' topic of offsets or transactions, if it is missing for so long that they cannot
    /// create it; adds its partitions without a leader to `leaderless`. Looked for only while a
    /// worker has no assignment.
    fn missing_internal_topic(
        &mut self,
        leaderless: &mut Vec<Problem>,
    ) -> Result<Option<Problem>, Unreachable> {
        if self.shared.telemetry.health.all_joined() {
            self.internal_missing = None;
            return Ok(None);
        }
        for name in internal_topics(self.shared.policy.guarantee) {
            let metadata = self.fetch_metadata(name)?;
            let those = metadata.topics().first().map(leaderless_partitions).unwrap_or_default();
            leaderless.extend(without_leader(name, &those));
            let error = metadata.topics().first().and_then(MetadataTopic::error).map(Code::from);
            if error.is_some_and(is_unknown) {
                let since = *self.internal_missing.get_or_insert_with(Instant::now);
                let (brokers, setting) = (metadata.brokers().len(), replication_setting(name));
                return Ok((since.elapsed() >= INTERNAL_TOPIC_CREATION).then(|| {
                    Obstacle::InternalTopicMissing.problem(format!(
                        "the brokers have not created {name}: is their {setting} larger than the number of brokers, {brokers}?"
                    ))
                }));
            }
        }
        self.internal_missing = None;
        Ok(None)
    }

    /// The partitions in which an open transaction of a producer has held back requests for long.
    fn held_back(&self) -> Vec<Problem> {
        let topic = &self.shared.outputs.topics.requests.name;
        let held = self.shared.telemetry.metrics.lag.held_back(now_ms()).into_iter();
        held.map(|(partition, offset)| {
            Obstacle::OpenTransaction.problem(format!(
                "{topic} partition {partition}: a producer's transaction is open at offset {offset} and holds back \
                 what follows; `kafka-transactions.sh describe-producers --topic {topic} --partition {partition}` names it"
            ))
        })
        .collect()
    }

    /// The partitions of the requests that have no partition in the ledger: their positions are
    /// those of the group alone.
    fn missing_ledger_partitions(&self) -> Option<Problem> {
        let outputs = &self.shared.outputs;
        let (requests, ledger) = (&outputs.topics.requests, outputs.ledger.as_ref()?);
        let (wanted, count) = (requests.partitions(), ledger.partitions());
        (count > 0 && count < wanted).then(|| {
            Obstacle::LedgerTooSmall.problem(format!(
                "topic {} has fewer partitions than {}, {count} of {wanted}: give it as many (topics.positions)",
                ledger.name, requests.name
            ))
        })
    }

    /// Makes the partition counts known to workers and metrics.
    fn publish_counts(&mut self) {
        let outputs = &self.shared.outputs;
        outputs.update_routable(self.ledger_misses < MISSES_BEFORE_GONE);
        let mut counts = PerTopic::default();
        for role in Role::ALL {
            counts[role] = outputs.topics[role].partitions();
        }
        let PerTopic { requests, results, failures } = counts;
        self.shared.telemetry.metrics.lag.known(requests);
        let all_known = outputs.can_route(0);
        if all_known && counts != self.last_counts && !outputs.counts_agree() {
            tracing::warn!(
                requests,
                results,
                failures,
                "partition counts differ: outcomes are partitioned by key, so order is kept only within a key"
            );
        }
        self.last_counts = counts;
    }

    /// Fetches the watermarks that no worker reports, because it pauses, hangs or has just got the
    /// partition.
    fn fetch_watermarks(&self) {
        let (lag, topics) = (&self.shared.telemetry.metrics.lag, &self.shared.outputs.topics);
        let leaderless = topics.requests.leaderless();
        let unreported = lag.unreported(now_ms()).into_iter();
        for partition in unreported.filter(|it| !leaderless.contains(it)) {
            let watermarks =
                self.client.fetch_watermarks(&topics.requests.name, partition, METADATA_TIMEOUT);
            let Ok((begin, end)) = watermarks else {
                return; // the next refresh reports the problem
            };
            lag.observed(
                None,
                partition,
                LogOffsets { begin, end, high: None, next: None },
                now_ms(),
            );
        }
    }
}

/// What operators read about partitions without a leader, if there are any.
fn without_leader(topic: &str, partitions: &BTreeSet<i32>) -> Option<Problem> {
    (!partitions.is_empty()).then(|| {
        Obstacle::NoLeader.problem(format!(
            "topic {topic} has no leader for its partitions {}: a broker is away, or its disk is full or broken",
            listed(partitions)
        ))
    })
}
