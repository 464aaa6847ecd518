//! Reads topics for the commands: outside of any group, up to the end as it is, what is committed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::Clients;
use super::context::{log, report};
use super::progress::Progress;
use super::trouble::Trouble;

/// How long the brokers may take to answer one question: who sits before a terminal waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long no record may come before the end: a leader may change meanwhile.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a replay that crashed may hold the positions back: its transaction's timeout, and the brokers' look at it.
const STABLE: Duration = Duration::from_secs(40);

const TRY: Duration = Duration::from_secs(3);
/// More complaints than wait at a time.
const EVENTS: usize = 100;

/// Keeps librdkafka's last complaint: it says why no broker answers.
#[derive(Default)]
pub(super) struct Ear {
    complaint: Mutex<Option<String>>,
}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        report(&error, reason);
        if error.rdkafka_error_code() != Some(Code::AllBrokersDown)
            && let Ok(mut complaint) = self.complaint.lock()
        {
            *complaint = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Ear {}

/// A reader of one partition at a time.
pub(super) struct Reader {
    client: BaseConsumer<Ear>,
    servers: String,
    group: String,
}

impl Reader {
    pub(super) fn connect(clients: &Clients) -> Result<Self, Trouble> {
        let config = clients.reader();
        let client = config
            .create_with_context(Ear::default())
            .map_err(|error| Trouble::of("make a Kafka client", &error))?;
        let setting = |key| config.get(key).unwrap_or_default().to_owned();
        Ok(Self {
            client,
            servers: setting("bootstrap.servers"),
            group: setting("group.id"),
        })
    }

    /// What the cluster says of itself, and of `topic`.
    pub(super) fn metadata(&self, topic: &str) -> Result<Metadata, Trouble> {
        self.client
            .fetch_metadata(Some(topic), PATIENCE)
            .map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &KafkaError) -> Trouble {
        // The complaints wait to be fetched; no record can come.
        for _ in 0..EVENTS {
            let _ = self.client.poll(Duration::ZERO);
        }
        let complaint = self.client.context().complaint.lock();
        let complaint = complaint.ok().and_then(|mut it| it.take());
        Trouble::Unreachable {
            servers: self.servers.clone(),
            why: complaint.unwrap_or_else(|| error.to_string()),
        }
    }

    /// How many partitions `topic` has.
    pub(super) fn partitions(&self, topic: &str) -> Result<i32, Trouble> {
        let metadata = self.metadata(topic)?;
        let found = metadata.topics().first();
        let error = found.and_then(MetadataTopic::error).map(Code::from);
        match error {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(Trouble::NoTopic(topic.to_owned()))
            }
            Some(code) => Err(Trouble::from_code(&format!("describe topic {topic}"), code)),
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
            .map_err(|error| Trouble::of(&format!("read topic {topic}"), &error))
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
                Some(Err(error)) => {
                    let refused = Trouble::of(&format!("read topic {topic}"), &error);
                    if matches!(refused, Trouble::NotAllowed(_)) {
                        return Err(refused);
                    }
                    // Else it goes on by itself.
                }
                Some(Ok(_)) | None => {}
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
        let doing = format!("read the positions of group {}", self.group);
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
                        if let refused @ Trouble::NotAllowed(_) = Trouble::of(&doing, &error) {
                            return Err(refused);
                        }
                    }
                    if Instant::now() > deadline {
                        return Err(Trouble::of(&doing, &error));
                    }
                }
            }
        };
        let mut found = BTreeMap::new();
        for element in committed.elements() {
            element
                .error()
                .map_err(|error| Trouble::of(&doing, &error))?;
            let mark = match element.offset() {
                Offset::Offset(offset) => offset,
                _ => 0,
            };
            let partition = element.partition();
            let group = || self.group.clone();
            let progress =
                Progress::read(mark, element.metadata()).ok_or_else(|| Trouble::Notes {
                    group: group(),
                    partition,
                })?;
            found.insert(partition, progress);
        }
        Ok(found)
    }
}
