//! A reader for commands: metadata, the offsets of partitions, and the committed offsets of a group
//! that it does not join.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::client::callbacks::{BasicContext, MAX_EVENTS, drain_events};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::is_unknown;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};

/// How long the brokers may take to answer a request: the operator waits at a terminal.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one attempt of such a request may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long committed offsets may stay unstable: the transaction timeout of a replay that crashed,
/// and the time until the brokers notice.
const STABLE_OFFSETS_TIMEOUT: Duration = Duration::from_secs(40);

pub struct Reader {
    client: BaseConsumer<BasicContext>,
    access: Arc<Access>,
    servers: String,
    group: String,
}

impl Reader {
    pub fn connect(clients: &Clients) -> Result<Self, CommandError> {
        Self::with(clients, &clients.reader())
    }

    /// A reader of the committed offsets of the service's group.
    pub fn of_service(clients: &Clients) -> Result<Self, CommandError> {
        Self::with(clients, &clients.service_reader())
    }

    fn with(clients: &Clients, config: &ClientConfig) -> Result<Self, CommandError> {
        let client = BasicContext::consumer(config, &clients.access)
            .map_err(|error| CommandError::no_client(&error))?;
        let setting = |key| config.get(key).unwrap_or_default().to_owned();
        Ok(Self {
            client,
            access: Arc::clone(&clients.access),
            servers: setting("bootstrap.servers"),
            group: setting("group.id"),
        })
    }

    pub fn client(&self) -> &Client<BasicContext> {
        self.client.client()
    }

    /// The metadata of the cluster and of `topic`.
    pub fn metadata(&self, topic: &str) -> Result<Metadata, CommandError> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let mut failure = None;
        loop {
            let error = match self.client.fetch_metadata(Some(topic), ATTEMPT_TIMEOUT) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            drain_events(&self.client);
            failure = self.access.take_connection_failure().or(failure);
            match &failure {
                Some(failure) if failure.permanent => {
                    return Err(CommandError::Rejected(failure.message.clone()));
                }
                failure if Instant::now() >= deadline => {
                    return Err(CommandError::Unreachable {
                        servers: self.servers.clone(),
                        why: failure
                            .as_ref()
                            .map_or_else(|| error.to_string(), |it| it.message.clone()),
                    });
                }
                _ => {}
            }
        }
    }

    /// The metadata of a topic that exists; `needed` is what the caller is going to do with it.
    pub fn existing(&self, topic: &str, needed: Operation) -> Result<Metadata, CommandError> {
        let metadata = self.metadata(topic)?;
        match metadata.topics().first().and_then(MetadataTopic::error).map(Code::from) {
            Some(code) if is_unknown(code) => Err(CommandError::NoTopic(topic.to_owned())),
            Some(code) => Err(CommandError::from_code(&Right::on_topic(needed, topic), code)),
            None => Ok(metadata),
        }
    }

    /// The number of partitions of `topic`; `needed` is what the caller is going to do with it.
    pub fn partitions(&self, topic: &str, needed: Operation) -> Result<i32, CommandError> {
        let metadata = self.existing(topic, needed)?;
        let count = metadata.topics().first().map_or(0, |it| it.partitions().len());
        Ok(i32::try_from(count).unwrap_or(0))
    }

    /// The offsets that a partition holds, up to its last committed record.
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<Range<i64>, KafkaError> {
        let (low, high) = self.client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?;
        Ok(low..high)
    }

    /// The first offset of each of `count` partitions whose record is not dated before `since`;
    /// `None` if there is none.
    pub fn offsets_since(
        &self,
        topic: &str,
        count: i32,
        since: i64,
    ) -> Result<Vec<(i32, Option<i64>)>, CommandError> {
        let failed = |error: &KafkaError| {
            CommandError::new(&Right::on_topic(Operation::Describe, topic), error)
        };
        let mut wanted = TopicPartitionList::new();
        for partition in 0..count {
            let added = wanted.add_partition_offset(topic, partition, Offset::Offset(since.max(0)));
            added.map_err(|error| failed(&error))?;
        }
        let found = self.client.offsets_for_times(wanted, REQUEST_TIMEOUT);
        let found = found.map_err(|error| failed(&error))?;
        let starts = found.elements().into_iter().map(|element| {
            element.error().map_err(|error| failed(&error))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Ok((element.partition(), offset))
        });
        starts.collect()
    }

    /// The group whose committed offsets [`Self::committed`] returns.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The committed offsets of the group, with their metadata. Waits for the transaction of a
    /// replay that crashed.
    pub fn committed(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<TopicPartitionList, CommandError> {
        let right = Right::of_group(&self.group);
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(topic, partition);
        }
        let deadline = Instant::now() + STABLE_OFFSETS_TIMEOUT;
        loop {
            let error = match self.client.committed_offsets(list.clone(), ATTEMPT_TIMEOUT) {
                Ok(committed) => {
                    for element in committed.elements() {
                        element.error().map_err(|error| CommandError::new(&right, &error))?;
                    }
                    return Ok(committed);
                }
                Err(error) => error,
            };
            // If a right is missing, the call only times out, and the denial is an event of the
            // client. A poll returns `None` for other events, which may come first.
            let events = (0..MAX_EVENTS).filter_map(|_| self.client.poll(Duration::ZERO));
            let mut errors = events.filter_map(Result::err).chain([error.clone()]);
            let denial = errors.find_map(|error| match CommandError::new(&right, &error) {
                denial @ CommandError::NotAllowed(_) => Some(denial),
                _ => None,
            });
            if let Some(denial) = denial {
                return Err(denial);
            }
            if Instant::now() > deadline {
                return Err(CommandError::new(&right, &error));
            }
        }
    }
}
