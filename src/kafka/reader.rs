//! Reads topics for the commands: outside of any group, up to the end as it is, what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::access::Access;
use super::client::Clients;
use super::context::{EVENTS, Ear, listen};
use super::progress::Progress;
use super::right::{Operation, Right};
use super::trouble::Trouble;

/// How long the brokers may take to answer one question: who sits before a terminal waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long no record may come before the end: a leader may change meanwhile.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a replay that crashed may hold the positions back: its transaction's timeout, and the brokers' look at it.
const STABLE: Duration = Duration::from_secs(40);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(3);

/// A reader of one partition at a time.
pub(super) struct Reader {
    client: BaseConsumer<Ear>,
    access: Arc<Access>,
    servers: String,
    group: String,
}

impl Reader {
    pub(super) fn connect(clients: &Clients) -> Result<Self, Trouble> {
        let config = clients.reader();
        let client: BaseConsumer<Ear> = config
            .create_with_context(Ear::new(&clients.access))
            .map_err(|error| Trouble::no_client(&error))?;
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
    pub(super) fn metadata(&self, topic: &str) -> Result<Metadata, Trouble> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = None;
        loop {
            let error = match self.client.fetch_metadata(Some(topic), TRY) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            listen(&self.client);
            heard = self.access.take_complaint().or(heard);
            match &heard {
                // A second look would find the same.
                Some(complaint) if complaint.refusal => {
                    return Err(Trouble::Refusal(complaint.line.clone()));
                }
                heard if Instant::now() >= deadline => {
                    return Err(Trouble::Unreachable {
                        servers: self.servers.clone(),
                        why: heard.as_ref().map_or_else(|| error.to_string(), |it| it.line.clone()),
                    });
                }
                _ => {}
            }
        }
    }

    /// How many partitions `topic` has; `need` is what the caller is about to do with it.
    pub(super) fn partitions(&self, topic: &str, need: Operation) -> Result<i32, Trouble> {
        let metadata = self.metadata(topic)?;
        let found = metadata.topics().first();
        let error = found.and_then(MetadataTopic::error).map(Code::from);
        match error {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(Trouble::NoTopic(topic.to_owned()))
            }
            Some(code) => {
                let right = Right::on_topic(need, topic);
                Err(Trouble::from_code(&right, code))
            }
            None => Ok(found.map_or(0, |it| i32::try_from(it.partitions().len()).unwrap_or(0))),
        }
    }

    /// The first offset of a partition, and the one behind its last that is committed.
    pub(super) fn bounds(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaError> {
        self.client.fetch_watermarks(topic, partition, PATIENCE)
    }

    /// Goes to `offset`: what comes next is the first record from there on.
    pub(super) fn go_to(&self, topic: &str, partition: i32, offset: i64) -> Result<(), Trouble> {
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .and_then(|()| self.client.assign(&place))
            .map_err(|error| Trouble::of(&Right::on_topic(Operation::Read, topic), &error))
    }

    /// The next record of the partition gone to; `None` at its end.
    pub(super) fn next(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Option<BorrowedMessage<'_>>, Trouble> {
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
                    return Err(Trouble::NotAllowed(right));
                }
                // It goes on by itself; and the right on the group, which librdkafka asks for, is not needed here.
                Some(_) | None => {}
            }
            if Instant::now() > deadline {
                return Err(Trouble::Brokers {
                    doing: format!("read topic {topic}"),
                    why: format!("no record for {} s", SILENCE.as_secs()),
                });
            }
        }
    }

    /// What was replayed of these partitions. It waits for the transaction of a replay that crashed.
    pub(super) fn progress(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, Progress>, Trouble> {
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
                        if let refused @ Trouble::NotAllowed(_) = Trouble::of(&right, &error) {
                            return Err(refused);
                        }
                    }
                    if Instant::now() > deadline {
                        return Err(Trouble::of(&right, &error));
                    }
                }
            }
        };
        let mut found = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(|error| Trouble::of(&right, &error))?;
            let mark = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            let partition = element.partition();
            let group = || self.group.clone();
            let progress = Progress::read(mark, element.metadata())
                .ok_or_else(|| Trouble::Notes { group: group(), partition })?;
            found.insert(partition, progress);
        }
        Ok(found)
    }
}
