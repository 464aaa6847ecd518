//! The three topics: how they are, and made where they are missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};

use crate::config::Settings;
use crate::kafka::client::callbacks::UnpolledContext;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native;
use crate::kafka::client::reader::Reader;
use crate::kafka::limits::MARGIN;
use crate::kafka::security::acl::{Operation, Right};

/// The cleanup policy of a topic whose records end by retention.
pub const DELETED: &str = "delete";
/// From so many replicas on, two must be in sync.
pub const NEEDS_TWO: usize = 3;
/// How long one question to the controller may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many replicas are enough.
const ENOUGH: usize = 3;

/// The cluster, as far as this program rests on it.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Requests, results, failures; none where it is missing.
    pub topics: [Option<Topic>; 3],
    /// Those of `topics.reply_allowed`, by name; none where it is missing.
    pub replies: Vec<(String, Option<Topic>)>,
    /// For how long the brokers keep the positions of a group without members, in minutes; none where they do not say.
    pub positions_minutes: Option<i64>,
}

/// One topic.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    /// How many there are.
    pub partitions: usize,
    /// Of the partition that has the fewest.
    pub replicas: usize,
    /// Partitions that nobody leads.
    pub without_leader: Vec<i32>,
    /// Its settings in force.
    pub config: BTreeMap<String, String>,
}

/// How missing topics are to be made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of each topic.
    pub partitions: i32,
    /// Of each partition; three, or as many as there are brokers.
    pub replicas: Option<usize>,
    /// Of requests and of results.
    pub retention: Duration,
    /// Of failures.
    pub failures_retention: Duration,
}

impl Plan {
    /// The replicas of each partition with so many brokers, and `min.insync.replicas`: of two one must be able to go without stopping
    /// its partitions.
    fn replicas(&self, brokers: usize) -> (usize, &'static str) {
        let replicas = self.replicas.unwrap_or(brokers.clamp(1, ENOUGH));
        (replicas, if replicas >= NEEDS_TWO { "2" } else { "1" })
    }
}

/// One topic after `create`.
#[derive(Debug)]
pub struct Made {
    /// Its name.
    pub topic: String,
    /// Its replicas, if it was made; else it was there.
    pub replicas: Option<usize>,
}

/// A client for the topics of these settings.
pub struct Admin {
    client: AdminClient<UnpolledContext>,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
    settings: Settings,
}

impl Admin {
    /// Connects.
    pub fn connect(settings: &Settings) -> Result<Self, CommandError> {
        let clients = Clients::new(settings);
        let client: AdminClient<UnpolledContext> = clients
            .watch()
            .create_with_context(UnpolledContext::new(&clients.access))
            .map_err(|error| CommandError::no_client(&error))?;
        // It is never polled, so that nobody would hear that it asks for a token.
        let token = clients
            .access
            .token_if_any()
            .map_err(|none| CommandError::Refusal(format!("no token for the brokers: {none}")))?;
        if let Some(token) = token {
            native::set_token(client.inner(), token);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { client, reader: Reader::connect(&clients)?, runtime, settings: settings.clone() })
    }

    fn names(&self) -> [&str; 3] {
        let topics = &self.settings.topics;
        [&topics.requests, &topics.results, &topics.failures]
    }

    /// Looks at the three topics.
    pub fn look(&self) -> Result<Layout, CommandError> {
        let mut layout = Layout::default();
        for (found, name) in layout.topics.iter_mut().zip(self.names()) {
            *found = self.topic(name)?;
        }
        for name in self.settings.topics.replies() {
            layout.replies.push((name.to_owned(), self.topic(name)?));
        }
        let metadata = self.reader.metadata(self.names()[0])?;
        if let Some(broker) = metadata.brokers().first() {
            // A right of its own, that is not always given: then nothing is said of it.
            let config = self.config(&ResourceSpecifier::Broker(broker.id()));
            layout.positions_minutes = config
                .ok()
                .and_then(|config| config.get("offsets.retention.minutes")?.parse().ok());
        }
        Ok(layout)
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, CommandError> {
        match self.reader.partitions(name, Operation::Describe) {
            Err(CommandError::NoTopic(_)) => return Ok(None),
            Err(trouble) => return Err(trouble),
            Ok(_) => {}
        }
        let metadata = self.reader.metadata(name)?;
        let partitions = metadata.topics().first().map_or(&[][..], MetadataTopic::partitions);
        Ok(Some(Topic {
            partitions: partitions.len(),
            replicas: partitions
                .iter()
                .map(|partition| partition.replicas().len())
                .min()
                .unwrap_or(0),
            without_leader: partitions
                .iter()
                .filter(|partition| partition.leader() < 0)
                .map(MetadataPartition::id)
                .collect(),
            config: self.config(&ResourceSpecifier::Topic(name))?,
        }))
    }

    fn config(&self, of: &ResourceSpecifier<'_>) -> Result<BTreeMap<String, String>, CommandError> {
        let right = match of {
            ResourceSpecifier::Topic(name) => Right::on_topic(Operation::DescribeConfigs, name),
            _ => Right::on_cluster(Operation::DescribeConfigs),
        };
        let options = options();
        let asked = self.client.describe_configs([of], &options);
        let answers =
            self.runtime.block_on(asked).map_err(|error| CommandError::of(&right, &error))?;
        let mut entries = Vec::new();
        for answer in answers {
            let resource: ConfigResource =
                answer.map_err(|code| CommandError::from_code(&right, code))?;
            entries.extend(resource.entries);
        }
        if entries.is_empty() {
            // The wrapper hides the refusal behind an empty answer.
            return Err(CommandError::NotAllowed(right));
        }
        let entries = entries.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Makes the topics that are missing; leaves the others as they are.
    pub fn create(&self, plan: &Plan) -> Result<Vec<Made>, CommandError> {
        let brokers = self.reader.metadata(self.names()[0])?.brokers().len();
        let (replicas, in_sync) = plan.replicas(brokers);
        if replicas > brokers {
            return Err(CommandError::TooFewBrokers { wanted: replicas, brokers });
        }
        let limits = &self.settings.limits;
        let sizes = [limits.request_bytes, limits.result_bytes, limits.result_bytes]
            .map(|bytes| (bytes + MARGIN).to_string());
        let retentions = [plan.retention, plan.retention, plan.failures_retention]
            .map(|retention| retention.as_millis().to_string());
        let mut made = Vec::new();
        for ((name, size), retention) in self.names().into_iter().zip(&sizes).zip(&retentions) {
            let is_new = self.make(
                &NewTopic::new(
                    name,
                    plan.partitions,
                    TopicReplication::Fixed(replica_count(replicas)),
                )
                .set("max.message.bytes", size)
                .set("retention.ms", retention)
                .set("min.insync.replicas", in_sync)
                .set("cleanup.policy", DELETED)
                // The program's producers compress; brokers keep what they are given.
                .set("compression.type", "producer")
                .set("message.timestamp.type", "CreateTime"),
            )?;
            made.push(Made { topic: name.to_owned(), replicas: is_new.then_some(replicas) });
        }
        self.wait();
        Ok(made)
    }

    /// Makes one topic; `false` if it was there.
    fn make(&self, topic: &NewTopic<'_>) -> Result<bool, CommandError> {
        let name = topic.name;
        if self.reader.partitions(name, Operation::Describe).is_ok() {
            return Ok(false);
        }
        let right = Right::on_topic(Operation::Create, name);
        let options = options().operation_timeout(Some(PATIENCE));
        let asked = self.client.create_topics([topic], &options);
        let answers =
            self.runtime.block_on(asked).map_err(|error| CommandError::of(&right, &error))?;
        for answer in answers {
            match answer {
                Err((_, Code::TopicAlreadyExists)) => return Ok(false),
                Err((_, code)) => return Err(CommandError::from_code(&right, code)),
                Ok(_) => {}
            }
        }
        Ok(true)
    }

    /// Waits until every broker's metadata may know the topics: they learn of them in their own time.
    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        let is_there = |name: &str| {
            let topic = self.topic(name).ok().flatten();
            topic.is_some_and(|topic| topic.partitions > 0 && topic.without_leader.is_empty())
        };
        while !self.names().into_iter().all(is_there) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn replica_count(replicas: usize) -> i32 {
    i32::try_from(replicas).unwrap_or(i32::MAX)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_replicas_are_enough_and_from_three_on_two_must_be_in_sync() {
        let replicas = |replicas, brokers| {
            let retention = Duration::ZERO;
            let plan = Plan { partitions: 6, replicas, retention, failures_retention: retention };
            plan.replicas(brokers)
        };
        assert_eq!(replicas(None, 1), (1, "1"));
        assert_eq!(replicas(None, 2), (2, "1"));
        assert_eq!(replicas(None, 3), (3, "2"));
        assert_eq!(replicas(None, 7), (3, "2"));
        assert_eq!(replicas(Some(1), 7), (1, "1"));
        assert_eq!(replicas(Some(5), 7), (5, "2"));
    }
}
