//! Reads topics for the commands: outside of any group, up to the end as it is, what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::client::callbacks::{EVENTS, UnpolledContext, drain_events};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::dlq::progress::Progress;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};

/// How long the brokers may take to answer one question: who sits before a terminal waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long no record may come before the end: a leader may change meanwhile.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a replay that crashed may hold the positions back: its transaction's timeout, and the brokers' look at it.
const STABLE: Duration = Duration::from_secs(40);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(3);

/// A reader of one partition at a time.
pub struct Reader {
    client: BaseConsumer<UnpolledContext>,
    access: Arc<Access>,
    servers: String,
    group: String,
}

impl Reader {
    pub fn connect(clients: &Clients) -> Result<Self, CommandError> {
        let config = clients.reader();
        let client: BaseConsumer<UnpolledContext> = config
            .create_with_context(UnpolledContext::new(&clients.access))
            .map_err(|error| CommandError::no_client(&error))?;
        // The token, where there is one: what follows waits without listening.
        let _ = client.poll(Duration::ZERO);
        let setting = |key| config.get(key).unwrap_or_default().to_owned();
        Ok(Self {
            client,
            access: Arc::clone(&clients.access),
            servers: setting("bootstrap.servers"),
            group: setting("group.id"),
        })
    }

    /// What the cluster says of itself, and of `topic`.
    pub fn metadata(&self, topic: &str) -> Result<Metadata, CommandError> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = None;
        loop {
            let error = match self.client.fetch_metadata(Some(topic), TRY) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            drain_events(&self.client);
            heard = self.access.take_connection_failure().or(heard);
            match &heard {
                // A second look would find the same.
                Some(complaint) if complaint.refusal => {
                    return Err(CommandError::Refusal(complaint.line.clone()));
                }
                heard if Instant::now() >= deadline => {
                    return Err(CommandError::Unreachable {
                        servers: self.servers.clone(),
                        why: heard.as_ref().map_or_else(|| error.to_string(), |it| it.line.clone()),
                    });
                }
                _ => {}
            }
        }
    }

    /// How many partitions `topic` has; `need` is what the caller is about to do with it.
    pub fn partitions(&self, topic: &str, need: Operation) -> Result<i32, CommandError> {
        let metadata = self.metadata(topic)?;
        let found = metadata.topics().first();
        let error = found.and_then(MetadataTopic::error).map(Code::from);
        match error {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(CommandError::NoTopic(topic.to_owned()))
            }
            Some(code) => {
                let right = Right::on_topic(need, topic);
                Err(CommandError::from_code(&right, code))
            }
            None => Ok(found.map_or(0, |it| i32::try_from(it.partitions().len()).unwrap_or(0))),
        }
    }

    /// The first offset of a partition, and the one behind its last that is committed.
    pub fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.client.fetch_watermarks(topic, partition, PATIENCE)
    }

    /// Goes to `offset`: what comes next is the first record from there on.
    pub fn go_to(&self, topic: &str, partition: i32, offset: i64) -> Result<(), CommandError> {
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .and_then(|()| self.client.assign(&place))
            .map_err(|error| CommandError::of(&Right::on_topic(Operation::Read, topic), &error))
    }

    /// The next record of the partition gone to; `None` at its end.
    pub fn next(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Option<BorrowedMessage<'_>>, CommandError> {
        let deadline = Instant::now() + SILENCE;
        loop {
            match self.client.poll(Duration::from_millis(200)) {
                Some(Ok(message))
                    if message.topic() == topic && message.partition() == partition =>
                {
                    return Ok(Some(message));
                }
                Some(Err(KafkaError::PartitionEOF(at))) if at == partition => return Ok(None),
                Some(Err(error))
                    if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) =>
                {
                    let right = Right::on_topic(Operation::Read, topic);
                    return Err(CommandError::NotAllowed(right));
                }
                // It goes on by itself; and the right on the group, which librdkafka asks for, is not needed here.
                Some(_) | None => {}
            }
            if Instant::now() > deadline {
                return Err(CommandError::Brokers {
                    doing: format!("read topic {topic}"),
                    why: format!("no record for {} s", SILENCE.as_secs()),
                });
            }
        }
    }

    /// What was replayed of these partitions. It waits for the transaction of a replay that crashed.
    pub fn progress(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Progress>, CommandError> {
        let right = Right::of_group(&self.group);
        let mut list = TopicPartitionList::new();
        for &partition in partitions {
            list.add_partition(topic, partition);
        }
        let deadline = Instant::now() + STABLE;
        let committed = loop {
            match self.client.committed_offsets(list.clone(), TRY) {
                Ok(committed) => break committed,
                Err(error) => {
                    // A right that is missing is told beside the call, which only waits.
                    let told = std::iter::from_fn(|| self.client.poll(Duration::ZERO));
                    let told = told.take(EVENTS).filter_map(Result::err);
                    for error in told.chain([error.clone()]) {
                        if let refused @ CommandError::NotAllowed(_) =
                            CommandError::of(&right, &error)
                        {
                            return Err(refused);
                        }
                    }
                    if Instant::now() > deadline {
                        return Err(CommandError::of(&right, &error));
                    }
                }
            }
        };
        let mut found = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(|error| CommandError::of(&right, &error))?;
            let mark = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            let partition = element.partition();
            let group = || self.group.clone();
            let progress = Progress::read(mark, element.metadata())
                .ok_or_else(|| CommandError::Notes { group: group(), partition })?;
            found.insert(partition, progress);
        }
        Ok(found)
    }
}
