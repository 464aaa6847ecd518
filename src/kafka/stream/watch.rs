//! Whether brokers and topics are there: a watch over the cluster's metadata.

use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::MetadataTopic;

use crate::kafka::client::callbacks::{UnpolledContext, drain_events};
use crate::kafka::client::config::bootstrap;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::native;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};
use crate::kafka::stream::partitions::Counts;
use crate::telemetry::health::Health;
use crate::telemetry::lag::Watermarks;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::now_ms;

/// Looks at the cluster's metadata again and again.
pub struct Watch {
    client: BaseConsumer<UnpolledContext>,
    access: Arc<Access>,
    bootstrap: CString,
    topics: [String; 3],
    /// Those for replies, each with how often in a row it was not there.
    replies: Vec<(String, u32)>,
    counts: Arc<Counts>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    said: Vec<String>,
    /// When to look at the ends of the partitions next.
    next_ends: Instant,
}

/// So often in a row a topic for replies is not there before it counts as gone: a broker that has just started knows of none.
const GONE: u32 = 3;
/// How often to look: soon while something is wrong, or a topic may be about to follow another in partitions.
const CALM: Duration = Duration::from_secs(5);
const EAGER: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(5);

impl Watch {
    /// A watch over `topics`: requests, results, failures; and over those for replies, without which the stream goes on.
    pub fn new(
        config: &ClientConfig,
        access: &Arc<Access>,
        topics: [String; 3],
        replies: Vec<String>,
        counts: Arc<Counts>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Fault> {
        let client = config.create_with_context(UnpolledContext::new(access))?;
        Ok(Self {
            client,
            access: Arc::clone(access),
            bootstrap: bootstrap(config),
            topics,
            replies: replies.into_iter().map(|topic| (topic, 0)).collect(),
            counts,
            health,
            metrics,
            said: Vec::new(),
            next_ends: Instant::now(),
        })
    }

    /// Looks until `stopped`.
    pub fn run(mut self, stopped: impl Fn() -> bool) {
        while !stopped() {
            let problems = self.look();
            let calm = problems.is_empty() && self.counts.agree();
            let pause = Instant::now() + if calm { CALM } else { EAGER };
            if problems != self.said {
                for problem in &problems {
                    self.access.log_once(problem);
                }
                if problems.is_empty() && !self.said.is_empty() {
                    self.access.reset();
                    tracing::info!("brokers and topics are well again");
                }
                self.said.clone_from(&problems);
            }
            self.health.set_cluster(problems);
            while Instant::now() < pause && !stopped() {
                if self.counts.wanted.swap(false, Ordering::Relaxed) {
                    self.next_ends = Instant::now();
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// What is wrong with brokers and topics.
    fn look(&mut self) -> Vec<String> {
        drain_events(&self.client);
        if self.client.context().take_lost() {
            native::remind_of(self.client.client(), &self.bootstrap);
        }
        let mut problems = Vec::new();
        let mut found = [0; 3];
        // Each of the two brings Describe along.
        let needs = [Operation::Read, Operation::Write, Operation::Write];
        for ((topic, found), need) in self.topics.iter().zip(&mut found).zip(needs) {
            match self.count(topic, need) {
                Ok(Ok(count)) => *found = count,
                Ok(Err(problem)) => problems.push(problem),
                Err(absence) => return vec![absence],
            }
        }
        let mut beside = Vec::new();
        for place in 0..self.replies.len() {
            let (topic, misses) = &self.replies[place];
            let (count, misses) = match self.count(topic, Operation::Write) {
                Ok(Ok(count)) => (Some(count), 0),
                Ok(Err(problem)) => {
                    beside.push(format!("{problem} (topics.reply_allowed)"));
                    ((misses + 1 >= GONE).then_some(0), misses + 1)
                }
                Err(absence) => return vec![absence],
            };
            self.replies[place].1 = misses;
            if let Some(count) = count {
                self.counts.replies[place].store(count, Ordering::Relaxed);
            }
        }
        if problems.is_empty() {
            self.note(found);
            // Topics that differ for good are looked at often, and nobody waits for the ends.
            if Instant::now() >= self.next_ends {
                self.next_ends = Instant::now() + CALM;
                self.look_at_ends();
            }
        }
        problems.extend(beside);
        for missing in self.access.missing() {
            if !problems.contains(&missing) {
                problems.push(missing);
            }
        }
        problems
    }

    /// How many partitions a topic has, or what is wrong with it; the error is that no broker answers.
    fn count(&self, topic: &str, need: Operation) -> Result<Result<i32, String>, String> {
        let metadata = match self.client.fetch_metadata(Some(topic), TIMEOUT) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.metrics.brokers_up.set(0);
                self.counts.outages.fetch_add(1, Ordering::Relaxed);
                drain_events(&self.client);
                return Err(match self.access.take_connection_failure() {
                    Some(complaint) if complaint.refusal => complaint.line,
                    Some(complaint) => format!("no broker answers: {}", complaint.line),
                    None => format!("no broker answers: {error}"),
                });
            }
        };
        let brokers = i64::try_from(metadata.brokers().len()).unwrap_or(0);
        self.metrics.brokers_up.set(brokers);
        let seen = metadata.topics().first();
        let error = seen.and_then(MetadataTopic::error).map(Code::from);
        Ok(match error {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(format!("topic {topic} does not exist"))
            }
            Some(Code::TopicAuthorizationFailed) => Err(Right::on_topic(need, topic).to_string()),
            Some(code) => Err(format!("topic {topic}: {code}")),
            None => {
                let count = seen.map_or(0, |topic| topic.partitions().len());
                Ok(i32::try_from(count).unwrap_or(i32::MAX))
            }
        })
    }

    /// Where the partitions end that are assigned here: a worker that pauses or hangs does not tell.
    fn look_at_ends(&self) {
        let lag = &self.metrics.lag;
        for partition in lag.partitions() {
            let Ok((begin, end)) =
                self.client.fetch_watermarks(&self.topics[0], partition, TIMEOUT)
            else {
                return; // what is wrong shows at the next look
            };
            let watermarks = Watermarks { begin, end, next: None };
            lag.observed(None, partition, watermarks, now_ms());
        }
    }

    fn note(&self, [requests, results, failures]: [i32; 3]) {
        self.metrics.lag.known(requests);
        let counts = &self.counts;
        let before = [
            counts.requests.swap(requests, Ordering::Relaxed),
            counts.results.swap(results, Ordering::Relaxed),
            counts.failures.swap(failures, Ordering::Relaxed),
        ];
        if before != [requests, results, failures] && (results, failures) != (requests, requests) {
            tracing::warn!(
                requests,
                results,
                failures,
                "partition counts differ: outcomes go by their key, so order holds within a key only"
            );
        }
    }
}
