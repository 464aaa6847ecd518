//! A scanner for commands: it reads the records of one topic, whole partitions or single ones. It
//! joins no group and sees committed records only.

use std::ffi::CString;
use std::ops::Range;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::client::callbacks::{ClientState, client_callbacks};
use crate::kafka::client::config::Clients;
use crate::kafka::client::error::CommandError;
use crate::kafka::client::native::Offsets;
use crate::kafka::client::native::consumer::{
    ConsumeError, ConsumerCallbacks, GroupClient, Rebalance, Record, is_unreadable,
};
use crate::kafka::security::acl::{Operation, Right};
use crate::pipeline::Position;

/// How long the next record may take to arrive; a change of the partition's leader fits in.
const RECORD_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// A record at most this far ahead is reached by reading on, which is faster than a seek.
const READ_AHEAD: i64 = 1000;

/// The context of a client that is in no group.
struct Callbacks {
    client: ClientState,
}

impl ClientContext for Callbacks {
    client_callbacks!();
}

impl ConsumerCallbacks for Callbacks {
    fn note_rebalance(&self, _: Rebalance) {} // without a subscription there is none
}

/// Reads ranges of offsets of a topic's partitions, one after the other.
pub struct Scanner {
    client: GroupClient<Callbacks>,
    topic: String,
    topic_c: CString,
    /// What is left to read of the current partition.
    partition: i32,
    offsets: Range<i64>,
    /// Where the client reads on without a seek.
    next: Option<Position>,
}

impl Scanner {
    /// With the properties of [`Clients::scanner`] for whole partitions, of [`Clients::reader`] for
    /// single records.
    pub fn connect(
        clients: &Clients,
        config: &ClientConfig,
        topic: &str,
    ) -> Result<Self, CommandError> {
        let context = Callbacks { client: ClientState::new(&clients.access) };
        let client = GroupClient::new(config, context);
        Ok(Self {
            client: client.map_err(|error| CommandError::no_client(&error))?,
            topic: topic.to_owned(),
            // No topic has a NUL in its name, so an empty one is as unknown to the brokers.
            topic_c: CString::new(topic).unwrap_or_default(),
            partition: 0,
            offsets: 0..0,
            next: None,
        })
    }

    /// Reads these offsets of a partition from here on. The last one must be below the last stable
    /// offset.
    pub fn start(&mut self, partition: i32, offsets: Range<i64>) -> Result<(), CommandError> {
        let is_near = self.next.is_some_and(|next| {
            next.partition == partition && (0..READ_AHEAD).contains(&(offsets.start - next.offset))
        });
        (self.partition, self.offsets) = (partition, offsets);
        if self.offsets.is_empty() || is_near {
            return Ok(());
        }
        // What was fetched before may be of the same partition, such as its end.
        self.client.drop_fetched();
        let from = Position { partition, offset: self.offsets.start };
        self.next = Some(from);
        let target = Offsets::new(&self.topic_c, [from].into_iter());
        let assigned = self.client.replace_assignment(Some(&target));
        assigned.map_err(|error| CommandError::new(&self.right(), &error))
    }

    /// Discards what was fetched, so that the next [`Self::start`] asks the brokers.
    pub fn forget_fetched(&mut self) {
        self.next = None;
    }

    /// The next committed record, or `None` after the last one.
    pub fn next(&mut self) -> Result<Option<Record<'_>>, CommandError> {
        let mut deadline = None;
        while !self.offsets.is_empty() {
            match self.client.next() {
                // A record of the partition before may still be in the queue.
                Some(Ok(record)) if record.partition() == self.partition => {
                    let offset = record.offset();
                    self.next = Some(Position { partition: self.partition, offset: offset + 1 });
                    if offset >= self.offsets.end {
                        break;
                    }
                    if offset >= self.offsets.start {
                        self.offsets.start = offset + 1;
                        return Ok(Some(record));
                    }
                }
                // The end of the partition, after transactions that were aborted.
                Some(Err(ConsumeError { code: Code::PartitionEOF, at: Some(at), .. })) => {
                    if at.partition == self.partition && at.offset >= self.offsets.end {
                        self.next = None; // it is reported once
                        break;
                    }
                }
                Some(Err(error)) => self.check(&error)?,
                Some(Ok(_)) => {}
                None => {
                    let at_most = || Instant::now() + RECORD_TIMEOUT;
                    self.fetch(*deadline.get_or_insert_with(at_most))?;
                }
            }
        }
        self.offsets = 0..0;
        Ok(None)
    }

    /// Waits for records or errors.
    fn fetch(&self, deadline: Instant) -> Result<(), CommandError> {
        if Instant::now() > deadline {
            return Err(self.failed(format!("no record for {} s", RECORD_TIMEOUT.as_secs())));
        }
        if self.client.fetch(POLL) {
            self.client.fetch_more();
        }
        Ok(())
    }

    /// Passes on an error that librdkafka does not mend by itself.
    fn check(&self, error: &ConsumeError) -> Result<(), CommandError> {
        match error {
            ConsumeError { code: Code::TopicAuthorizationFailed, .. } => {
                Err(CommandError::NotAllowed(self.right()))
            }
            // A batch that cannot be read.
            ConsumeError { at: Some(at), code, .. } if is_unreadable(*code) => {
                Err(self.failed(format!("the batch at {at} cannot be read: {error}")))
            }
            ConsumeError { fatal: true, .. } => Err(self.failed(error.to_string())),
            // The right on the group, which librdkafka checks, is not needed to read.
            ConsumeError { .. } => Ok(()),
        }
    }

    fn right(&self) -> Right {
        Right::on_topic(Operation::Read, &self.topic)
    }

    fn failed(&self, why: String) -> CommandError {
        let action = format!("read partition {} of topic {}", self.partition, self.topic);
        CommandError::Brokers { action, why }
    }
}
