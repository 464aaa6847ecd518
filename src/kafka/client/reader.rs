//! A reader for commands: it joins no group, reads committed records, and stops at the current end
//! of a partition.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::client::callbacks::{BasicContext, MAX_EVENTS, drain_events};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::consumer::is_unreadable;
use crate::kafka::client::native::is_unknown;
use crate::kafka::security::access::Access;
use crate::kafka::security::acl::{Operation, Right};

/// How long the brokers may take to answer a request: the operator waits at a terminal.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one attempt of such a request may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the next record may take to arrive; a change of the partition's leader fits in.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long committed offsets may stay unstable: the transaction timeout of a replay that crashed,
/// and the time until the brokers notice.
const STABLE_OFFSETS_TIMEOUT: Duration = Duration::from_secs(40);
/// A record at most this far ahead is reached by reading on, which is faster than a seek.
const READ_AHEAD: i64 = 1000;

/// Reads one partition at a time.
pub struct Reader {
    client: BaseConsumer<BasicContext>,
    access: Arc<Access>,
    servers: String,
    group: String,
    /// The partition that the client reads, and the offset it delivers next.
    at: Option<(String, i32, i64)>,
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
            at: None,
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

    /// The number of partitions of `topic`; `needed` is what the caller is going to do with it.
    pub fn partitions(&self, topic: &str, needed: Operation) -> Result<i32, CommandError> {
        let metadata = self.metadata(topic)?;
        let found = metadata.topics().first();
        let error = found.and_then(MetadataTopic::error).map(Code::from);
        match error {
            Some(code) if is_unknown(code) => Err(CommandError::NoTopic(topic.to_owned())),
            Some(code) => Err(CommandError::from_code(&Right::on_topic(needed, topic), code)),
            None => Ok(found.map_or(0, |it| i32::try_from(it.partitions().len()).unwrap_or(0))),
        }
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

    /// The records of a partition in this range of offsets. An error ends the iteration.
    pub fn records(&mut self, topic: &str, partition: i32, offsets: Range<i64>) -> Records<'_> {
        let is_near = self.at.take().is_some_and(|(read, of, at)| {
            read == topic && of == partition && (0..READ_AHEAD).contains(&(offsets.start - at))
        });
        Records {
            client: &self.client,
            at: &mut self.at,
            topic: topic.to_owned(),
            partition,
            begun: (is_near.into(), offsets.start),
            offsets,
        }
    }

    /// Discards what was fetched, so that the next [`Self::records`] asks the brokers.
    pub fn forget_fetched(&mut self) {
        self.at = None;
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

/// Iterates over the committed records of a partition in a range of offsets.
pub struct Records<'a> {
    client: &'a BaseConsumer<BasicContext>,
    at: &'a mut Option<(String, i32, i64)>,
    topic: String,
    partition: i32,
    /// What is left to return.
    offsets: Range<i64>,
    /// How many times reading was started, and the offset of the last start.
    begun: (u32, i64),
}

impl<'a> Records<'a> {
    fn seek(&mut self) -> Result<(), CommandError> {
        let mut target = TopicPartitionList::new();
        target
            .add_partition_offset(&self.topic, self.partition, Offset::Offset(self.offsets.start))
            .and_then(|()| self.client.assign(&target))
            .map_err(|error| CommandError::new(&self.right(), &error))?;
        *self.at = None;
        self.begun = (self.begun.0 + 1, self.offsets.start);
        Ok(())
    }

    fn right(&self) -> Right {
        Right::on_topic(Operation::Read, &self.topic)
    }

    fn failed(&self, why: String) -> CommandError {
        let action = format!("read partition {} of topic {}", self.partition, self.topic);
        CommandError::Brokers { action, why }
    }

    /// The next record of the partition, or `None` at its end.
    fn poll(&self) -> Result<Option<BorrowedMessage<'a>>, CommandError> {
        let deadline = Instant::now() + RECORD_TIMEOUT;
        loop {
            match self.client.poll(Duration::from_millis(200)) {
                Some(Ok(message))
                    if message.topic() == self.topic && message.partition() == self.partition =>
                {
                    return Ok(Some(message));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) if partition == self.partition => {
                    return Ok(None);
                }
                Some(Err(error))
                    if error.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) =>
                {
                    return Err(CommandError::NotAllowed(self.right()));
                }
                Some(Err(error)) if error.rdkafka_error_code().is_some_and(is_unreadable) => {
                    return Err(self.failed(format!("a batch cannot be read: {error}")));
                }
                // librdkafka retries by itself; and the right on the group, which it checks, is not
                // needed to read.
                Some(_) | None => {}
            }
            if Instant::now() > deadline {
                return Err(self.failed(format!("no record for {} s", RECORD_TIMEOUT.as_secs())));
            }
        }
    }

    fn read(&mut self) -> Result<Option<BorrowedMessage<'a>>, CommandError> {
        while !self.offsets.is_empty() {
            if self.begun.0 == 0 {
                self.seek()?;
            }
            let Some(message) = self.poll()? else {
                // This event may be left over from what was read before. The end counts if it comes
                // again, without a record, after a further seek to the same offset.
                if self.begun.0 > 1 && self.begun.1 == self.offsets.start {
                    *self.at = None;
                    break;
                }
                self.seek()?;
                continue;
            };
            let offset = message.offset();
            let at = self.at.get_or_insert_with(|| (self.topic.clone(), self.partition, 0));
            at.2 = offset + 1;
            if offset >= self.offsets.end {
                break;
            }
            if offset >= self.offsets.start {
                self.offsets.start = offset + 1;
                return Ok(Some(message));
            }
        }
        self.offsets.start = self.offsets.end;
        Ok(None)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<BorrowedMessage<'a>, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if let Some(Err(_)) = next {
            *self.at = None;
            self.offsets.start = self.offsets.end;
        }
        next
    }
}
