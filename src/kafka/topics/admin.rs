//! Describes the topics, and creates those that are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::MetadataTopic;

use crate::config::Settings;
use crate::kafka::client::callbacks::BasicContext;
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::{self, is_unknown};
use crate::kafka::client::producer::unsettled::leaderless_partitions;
use crate::kafka::client::reader::Reader;
use crate::kafka::limits::RECORD_OVERHEAD;
use crate::kafka::roles::{PerTopic, Role, internal_topics};
use crate::kafka::security::acl::{Operation, Right};

/// The `cleanup.policy` that the topics need: records are deleted by retention only.
pub const CLEANUP_POLICY: &str = "delete";
/// The `cleanup.policy` that the ledger of positions needs: the latest entry of each group is kept.
pub const LEDGER_CLEANUP_POLICY: &str = "compact";
/// If the settings name no ledger, [`Admin::create`] creates this one beside the requests topic of the
/// default name.
const DEFAULT_LEDGER: &str = "nik.positions";
const DEFAULT_REQUESTS: &str = "nik.requests";
/// The segment that is being written is not compacted, so the ledger's are small: its latest
/// entries are read at each assignment.
const LEDGER_SEGMENT_BYTES: &str = "16777216";
/// How long the controller may take to answer a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How many replicas a partition gets if there are enough brokers.
const DEFAULT_REPLICAS: usize = 3;
/// With this many replicas or more, two must be in sync.
const REPLICAS_FOR_TWO_IN_SYNC: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(
        "{wanted} replicas need {wanted} brokers, but the cluster has {brokers}: see --replication"
    )]
    TooFewBrokers { wanted: usize, brokers: usize },
    #[error("could not start the runtime of the admin client: {0}")]
    Runtime(#[from] std::io::Error),
}

/// What the program relies on in the cluster.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// `None`: the topic is missing.
    pub topics: PerTopic<Option<Topic>>,
    /// The ledger of positions by name, if it is kept.
    pub ledger: Option<(String, Option<Topic>)>,
    /// The topics of `topics.reply_allowed` by name.
    pub replies: Vec<(String, Option<Topic>)>,
    pub brokers: usize,
    /// The settings of a broker; empty if reading them is not allowed.
    pub broker_config: BTreeMap<String, String>,
    /// The brokers' own topics that the program needs, by name, each with its replicas. `None`: it
    /// does not exist, as the brokers create it when they first need it.
    pub internal: Vec<(&'static str, Option<usize>)>,
}

#[derive(Clone, Debug, Default)]
pub struct Topic {
    pub partitions: usize,
    /// The number of replicas of the partition with the fewest.
    pub replicas: usize,
    /// The partitions that have no leader.
    pub without_leader: BTreeSet<i32>,
    /// The settings in force, defaults of the brokers included.
    pub config: BTreeMap<String, String>,
}

/// How missing topics are created.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub partitions: i32,
    /// `None`: three, or the number of brokers if it is smaller.
    pub replicas: Option<usize>,
    /// Of requests and of results.
    pub retention: Duration,
    pub failures_retention: Duration,
}

impl Plan {
    /// The replicas of each partition in a cluster of this many brokers, and `min.insync.replicas`.
    /// With two replicas that is 1, so that a partition survives the loss of a broker.
    fn replicas(&self, brokers: usize) -> (usize, &'static str) {
        let replicas = self.replicas.unwrap_or(brokers.clamp(1, DEFAULT_REPLICAS));
        (replicas, if replicas >= REPLICAS_FOR_TWO_IN_SYNC { "2" } else { "1" })
    }

    pub fn retention(&self, role: Role) -> Duration {
        match role {
            Role::Requests | Role::Results => self.retention,
            Role::Failures => self.failures_retention,
        }
    }
}

/// What [`Admin::create`] did with one topic.
#[derive(Debug)]
pub enum Created {
    New {
        partitions: i32,
        replicas: usize,
    },
    AlreadyExists,
    /// A topic that the settings do not name may not be created.
    NotAllowed(Right),
}

/// What [`Admin::create`] did.
#[derive(Debug)]
pub struct CreatedTopics {
    pub topics: PerTopic<Created>,
    /// The ledger of positions by name.
    pub ledger: Option<(String, Created)>,
}

/// An admin client for the topics of the settings.
pub struct Admin {
    client: AdminClient<BasicContext>,
    reader: Reader,
    runtime: tokio::runtime::Runtime,
    settings: Settings,
}

impl Admin {
    pub fn connect(settings: &Settings) -> Result<Self, AdminError> {
        let clients = Clients::new(settings);
        let client: AdminClient<BasicContext> = clients
            .watch()
            .create_with_context(BasicContext::new(&clients.access))
            .map_err(|error| CommandError::no_client(&error))?;
        // An admin client is never polled, so its callback that asks for a token is never called.
        let token = clients.access.token_if_any().map_err(|error| {
            CommandError::Rejected(format!("no token for the brokers: {error}"))
        })?;
        if let Some(token) = token
            && !native::set_token(client.inner(), token)
        {
            let text = "librdkafka does not accept the token for the brokers".to_owned();
            return Err(CommandError::Rejected(text).into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { client, reader: Reader::connect(&clients)?, runtime, settings: settings.clone() })
    }

    fn names(&self) -> PerTopic<&str> {
        PerTopic::names(&self.settings.topics)
    }

    pub fn describe(&self) -> Result<Layout, CommandError> {
        let mut layout = Layout {
            topics: self.names().try_map(|_, name| self.topic(name))?,
            ..Layout::default()
        };
        if let Some(name) = &self.settings.topics.positions {
            layout.ledger = Some((name.clone(), self.topic(name)?));
        }
        for name in self.settings.topics.replies() {
            layout.replies.push((name.to_owned(), self.topic(name)?));
        }
        let metadata = self.reader.metadata(self.names().requests)?;
        layout.brokers = metadata.brokers().len();
        if let Some(broker) = metadata.brokers().first() {
            // This needs another right, which is optional.
            let config = self.config(&ResourceSpecifier::Broker(broker.id()));
            layout.broker_config = config.unwrap_or_default();
        }
        for name in internal_topics(self.settings.delivery.guarantee) {
            let metadata = self.reader.metadata(name)?;
            let found = metadata.topics().first();
            match found.and_then(MetadataTopic::error).map(Code::from) {
                Some(code) if is_unknown(code) => {
                    layout.internal.push((name, None));
                }
                Some(_) => {} // reading this needs another right, which is optional
                None => layout.internal.push((name, found.map(fewest_replicas))),
            }
        }
        Ok(layout)
    }

    fn topic(&self, name: &str) -> Result<Option<Topic>, CommandError> {
        let metadata = match self.reader.existing(name, Operation::Describe) {
            Err(CommandError::NoTopic(_)) => return Ok(None),
            found => found?,
        };
        let topic = metadata.topics().first();
        Ok(Some(Topic {
            partitions: topic.map_or(0, |it| it.partitions().len()),
            replicas: topic.map_or(0, fewest_replicas),
            without_leader: topic.map(leaderless_partitions).unwrap_or_default(),
            config: self.config(&ResourceSpecifier::Topic(name))?,
        }))
    }

    fn config(
        &self,
        resource: &ResourceSpecifier<'_>,
    ) -> Result<BTreeMap<String, String>, CommandError> {
        let right = match resource {
            ResourceSpecifier::Topic(name) => Right::on_topic(Operation::DescribeConfigs, name),
            _ => Right::on_cluster(Operation::DescribeConfigs),
        };
        let options = options();
        let request = self.client.describe_configs([resource], &options);
        let answers =
            self.runtime.block_on(request).map_err(|error| CommandError::new(&right, &error))?;
        let mut entries = Vec::new();
        for answer in answers {
            let resource: ConfigResource =
                answer.map_err(|code| CommandError::from_code(&right, code))?;
            entries.extend(resource.entries);
        }
        if entries.is_empty() {
            // rust-rdkafka turns a denial into an empty answer.
            return Err(CommandError::NotAllowed(right));
        }
        let entries = entries.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// Creates the topics that are missing, and leaves the others unchanged.
    pub fn create(&self, plan: &Plan) -> Result<CreatedTopics, AdminError> {
        let brokers = self.reader.metadata(self.names().requests)?.brokers().len();
        let (replicas, in_sync) = plan.replicas(brokers);
        if replicas > brokers {
            return Err(AdminError::TooFewBrokers { wanted: replicas, brokers });
        }
        let limits = &self.settings.limits;
        let topics = self.names().try_map(|role, name| {
            let largest_value = match role {
                Role::Requests => limits.request_bytes,
                Role::Results | Role::Failures => limits.result_bytes,
            };
            let max_message_bytes = (largest_value + RECORD_OVERHEAD).to_string();
            let retention_ms = plan.retention(role).as_millis().to_string();
            let replication = TopicReplication::Fixed(replica_count(replicas));
            let topic = NewTopic::new(name, plan.partitions, replication)
                .set("max.message.bytes", &max_message_bytes)
                .set("retention.ms", &retention_ms)
                .set("min.insync.replicas", in_sync)
                .set("cleanup.policy", CLEANUP_POLICY)
                // The brokers keep what this program's producers have compressed.
                .set("compression.type", "producer")
                .set("message.timestamp.type", "CreateTime");
            self.create_if_missing(&topic, replicas)
        })?;
        let partitions = match topics.requests {
            Created::New { partitions, .. } => partitions,
            _ => self.reader.partitions(self.names().requests, Operation::Describe)?,
        };
        let ledger = match self.ledger_to_create() {
            Some(name) => {
                let created = self.create_ledger(name, partitions, replicas, in_sync)?;
                Some((name.to_owned(), created))
            }
            None => None,
        };
        let created = CreatedTopics { topics, ledger };
        self.wait_until_known(&created);
        Ok(created)
    }

    fn create_ledger(
        &self,
        name: &str,
        partitions: i32,
        replicas: usize,
        in_sync: &str,
    ) -> Result<Created, CommandError> {
        let replication = TopicReplication::Fixed(replica_count(replicas));
        let topic = NewTopic::new(name, partitions, replication)
            .set("min.insync.replicas", in_sync)
            .set("cleanup.policy", LEDGER_CLEANUP_POLICY)
            .set("segment.bytes", LEDGER_SEGMENT_BYTES)
            .set("min.cleanable.dirty.ratio", "0.1")
            // Each entry has a transaction marker, which is kept for this time.
            .set("delete.retention.ms", "3600000")
            .set("compression.type", "producer");
        match self.create_if_missing(&topic, replicas) {
            Err(CommandError::NotAllowed(right)) if self.settings.topics.positions.is_none() => {
                Ok(Created::NotAllowed(right))
            }
            created => created,
        }
    }

    fn ledger_to_create(&self) -> Option<&str> {
        let topics = &self.settings.topics;
        let default = (topics.requests == DEFAULT_REQUESTS).then_some(DEFAULT_LEDGER);
        topics.positions.as_deref().or(default)
    }

    fn create_if_missing(
        &self,
        topic: &NewTopic<'_>,
        replicas: usize,
    ) -> Result<Created, CommandError> {
        let name = topic.name;
        if self.reader.partitions(name, Operation::Describe).is_ok() {
            return Ok(Created::AlreadyExists);
        }
        let right = Right::on_topic(Operation::Create, name);
        let options = options().operation_timeout(Some(REQUEST_TIMEOUT));
        let request = self.client.create_topics([topic], &options);
        let answers =
            self.runtime.block_on(request).map_err(|error| CommandError::new(&right, &error))?;
        for answer in answers {
            match answer {
                Err((_, Code::TopicAlreadyExists)) => return Ok(Created::AlreadyExists),
                Err((_, code)) => return Err(CommandError::from_code(&right, code)),
                Ok(_) => {}
            }
        }
        Ok(Created::New { partitions: topic.num_partitions, replicas })
    }

    /// Waits until the topics have leaders, at most as long as for a request. The controller
    /// announces them asynchronously.
    fn wait_until_known(&self, created: &CreatedTopics) {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let is_known = |name: &str| {
            let topic = self.topic(name).ok().flatten();
            topic.is_some_and(|topic| topic.partitions > 0 && topic.without_leader.is_empty())
        };
        let ledger = created.ledger.iter();
        let ledger = ledger.filter(|(_, created)| !matches!(created, Created::NotAllowed(_)));
        let mut names: Vec<_> = self.names().iter().map(|(_, name)| *name).collect();
        names.extend(ledger.map(|(name, _)| name.as_str()));
        while !names.iter().all(|name| is_known(name)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn fewest_replicas(topic: &MetadataTopic) -> usize {
    topic.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0)
}

fn replica_count(replicas: usize) -> i32 {
    i32::try_from(replicas).unwrap_or(i32::MAX)
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_replicas_are_the_default_and_from_three_on_two_must_be_in_sync() {
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
