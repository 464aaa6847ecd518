//! A consumer that fetches records in batches, and names the partition and offset of every error.
//! The safety argument is that of [`super`]; librdkafka calls the callbacks only on the thread that
//! polls or closes the consumer.
//!
//! rust-rdkafka's own consumer fetches one record at a time, answers rebalances inside of its poll,
//! and reports a batch that cannot be read without its partition and offset.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::types::RDKafkaType;

use super::callbacks::{self, text};
use super::offsets::Offsets;
use super::{NO_ERROR, NativeMessage, bytes, elements, millis};
use crate::pipeline::Position;

/// The longest wait of one poll while the consumer closes.
const CLOSE_POLL: Duration = Duration::from_millis(100);

/// How many messages one call of librdkafka returns at most.
const CALL_MESSAGES: usize = 32;
/// Approximate limits of what is fetched at once. Larger ones would only delay the answer to a
/// rebalance.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// A rebalance event that the worker has yet to answer.
#[derive(Debug)]
pub enum Rebalance {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
}

/// The callbacks of a consumer in a group.
pub trait ConsumerCallbacks: ClientContext {
    /// Notes a rebalance, which may be answered later, between two polls.
    fn note_rebalance(&self, rebalance: Rebalance);
}

/// What the consumer reports instead of a record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text} ({code:?})")]
pub struct ConsumeError {
    pub code: Code,
    /// The partition and offset, if the error concerns one partition.
    pub at: Option<Position>,
    /// The client instance is unusable.
    pub fatal: bool,
    /// librdkafka's text.
    pub text: String,
}

/// Whether the code means that librdkafka cannot read a batch. It reports the batch once each time
/// that it reaches it.
pub fn is_unreadable(code: Code) -> bool {
    matches!(
        code,
        Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::MessageSizeTooLarge
    )
}

/// A message that is destroyed once.
struct Owned(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a message may be read and destroyed on any thread; nothing shares this one.
unsafe impl Send for Owned {}

impl Owned {
    fn message(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the message is owned by this value until its drop.
        unsafe { self.0.as_ref() }
    }

    /// Whether it arrives again after a seek: a record, an error in place of records, or the end of
    /// a partition.
    fn is_data(&self) -> bool {
        let error = self.message().err;
        error == NO_ERROR || is_unreadable(error.into()) || Code::from(error) == Code::PartitionEOF
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// A record, or what was reported in place of records, that was fetched and not handed out.
pub struct Dropped {
    pub position: Position,
    /// False for a batch that cannot be read, and for the end of the partition.
    pub is_record: bool,
}

/// A consumed record.
pub struct Record<'consumer> {
    message: Owned,
    consumer: PhantomData<&'consumer ()>,
}

impl Record<'_> {
    fn message(&self) -> &sys::rd_kafka_message_t {
        self.message.message()
    }

    pub fn topic(&self) -> &str {
        // SAFETY: a record has a topic, whose name lives as long as it.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.message().rkt)) };
        name.to_str().unwrap_or_default() // Kafka's topic names are ASCII
    }

    pub fn partition(&self) -> i32 {
        self.message().partition
    }

    pub fn offset(&self) -> i64 {
        self.message().offset
    }

    pub fn position(&self) -> Position {
        Position { partition: self.partition(), offset: self.offset() }
    }

    /// The epoch of the leader that the record was written under, if it is known.
    pub fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive and only read.
        let epoch = unsafe { sys::rd_kafka_message_leader_epoch(self.message.0.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// In milliseconds since 1970.
    pub fn timestamp(&self) -> Option<i64> {
        let timestamp = self.timestamp_and_kind().0;
        (timestamp >= 0).then_some(timestamp)
    }

    /// Whether the broker wrote its own time into the record.
    pub fn has_brokers_time(&self) -> bool {
        self.timestamp_and_kind().1
            == sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME
    }

    fn timestamp_and_kind(&self) -> (i64, sys::rd_kafka_timestamp_type_t) {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive and only read; `kind` outlives the call.
        let timestamp =
            unsafe { sys::rd_kafka_message_timestamp(self.message.0.as_ptr(), &raw mut kind) };
        (timestamp, kind)
    }

    pub fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: key and length describe bytes that live as long as the message.
        unsafe { bytes(message.key, message.key_len) }
    }

    pub fn payload(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: payload and length describe bytes that live as long as the message.
        unsafe { bytes(message.payload, message.len) }
    }
}

// SAFETY: the record owns its message.
unsafe impl NativeMessage for Record<'_> {
    fn native(&self) -> *mut sys::rd_kafka_message_t {
        self.message.0.as_ptr()
    }
}

/// librdkafka's queue of a consumer.
struct Queue(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A consumer in a group. Its messages and its queue are dropped before the client.
pub struct GroupClient<C: ConsumerCallbacks> {
    /// Fetched, and not handed out yet; in the order of their arrival.
    fetched: RefCell<VecDeque<Owned>>,
    queue: Queue,
    client: Client<C>,
}

impl<C: ConsumerCallbacks> GroupClient<C> {
    pub fn new(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let native = config.create_native_config()?;
        // SAFETY: the configuration is alive; the callbacks are functions of this program.
        unsafe {
            sys::rd_kafka_conf_set_rebalance_cb(native.ptr(), Some(on_rebalance::<C>));
            callbacks::register::<C>(native.ptr());
        }
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, context)?;
        // SAFETY: see the module's argument. From here on the consumer's poll serves its events.
        let queue = unsafe {
            sys::rd_kafka_poll_set_consumer(client.native_ptr());
            sys::rd_kafka_queue_get_consumer(client.native_ptr())
        };
        let queue = NonNull::new(queue)
            .ok_or_else(|| KafkaError::ClientCreation("a consumer needs a group.id".to_owned()))?;
        Ok(Self { fetched: RefCell::default(), queue: Queue(queue), client })
    }

    pub fn client(&self) -> &Client<C> {
        &self.client
    }

    pub fn context(&self) -> &C {
        self.client.context()
    }

    fn poll(&self, timeout: Duration) -> Option<Owned> {
        // SAFETY: see the module's argument; the message is ours from here on.
        let message =
            unsafe { sys::rd_kafka_consumer_poll(self.client.native_ptr(), millis(timeout)) };
        NonNull::new(message).map(Owned)
    }

    fn record_or_error(&self, message: Owned) -> Result<Record<'_>, ConsumeError> {
        let record = Record { message, consumer: PhantomData };
        let message = record.message();
        if message.err == NO_ERROR {
            return Ok(record);
        }
        // SAFETY: the message is alive, and so is its text as long as it is.
        let text = unsafe { text(sys::rd_kafka_message_errstr(message)) };
        let mut code = Code::from(message.err);
        let fatal = code == Code::Fatal;
        if fatal && let Some((cause, _)) = self.client.fatal_error() {
            code = cause;
        }
        let at = (!message.rkt.is_null() && message.partition >= 0)
            .then_some(Position { partition: message.partition, offset: message.offset });
        Err(ConsumeError { code, at, fatal, text })
    }

    /// Waits up to `timeout` for a record or an error, and keeps it for [`Self::next`]. Callbacks
    /// run inside this call.
    pub fn fetch(&self, timeout: Duration) -> bool {
        let message = self.poll(timeout);
        let is_found = message.is_some();
        self.fetched.borrow_mut().extend(message);
        is_found
    }

    /// Adds what arrived meanwhile, without waiting. Callbacks run inside this call.
    pub fn fetch_more(&self) {
        let size = |owned: &Owned| owned.message().len + owned.message().key_len;
        let mut fetched = self.fetched.borrow_mut();
        let mut bytes: usize = fetched.iter().map(size).sum();
        while bytes < BATCH_BYTES && fetched.len() < BATCH_MESSAGES {
            let mut found = [ptr::null_mut(); CALL_MESSAGES];
            let room = found.len().min(BATCH_MESSAGES - fetched.len());
            // SAFETY: see the module's argument; there is room for so many pointers, and the
            // messages are ours from here on.
            let count = unsafe {
                sys::rd_kafka_consume_batch_queue(
                    self.queue.0.as_ptr(),
                    0,
                    found.as_mut_ptr(),
                    room,
                )
            };
            let found = &found[..usize::try_from(count).unwrap_or(0)];
            let before = fetched.len();
            fetched.extend(found.iter().filter_map(|it| NonNull::new(*it)).map(Owned));
            if found.len() < room {
                return;
            }
            bytes += fetched.range(before..).map(size).sum::<usize>();
        }
    }

    /// The next record or error of those fetched.
    pub fn next(&self) -> Option<Result<Record<'_>, ConsumeError>> {
        let message = self.fetched.borrow_mut().pop_front()?;
        Some(self.record_or_error(message))
    }

    /// Drops the records that were fetched, the batches that cannot be read and the ends of
    /// partitions; returns them in their order. Other errors remain, because librdkafka may report
    /// them only once.
    pub fn drop_fetched(&self) -> Vec<Dropped> {
        let mut dropped = Vec::new();
        self.fetched.borrow_mut().retain(|it| {
            let is_data = it.is_data();
            if is_data {
                let message = it.message();
                let position = Position { partition: message.partition, offset: message.offset };
                dropped.push(Dropped { position, is_record: message.err == NO_ERROR });
            }
            !is_data
        });
        dropped
    }

    pub fn subscribe(&self, topics: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; the list is only read.
        let code = unsafe { sys::rd_kafka_subscribe(self.client.native_ptr(), topics.as_ptr()) };
        checked(code).map_err(|code| KafkaError::Subscription(code.to_string()))
    }

    /// Whether partitions are added to the assignment and removed from it one by one; otherwise
    /// each assignment replaces the one before.
    pub fn is_incremental(&self) -> bool {
        // SAFETY: see the module's argument; the result is null or a static text.
        unsafe { text(sys::rd_kafka_rebalance_protocol(self.client.native_ptr())) == "COOPERATIVE" }
    }

    /// Whether the assignment was lost without a rebalance, because the session timed out.
    pub fn assignment_lost(&self) -> bool {
        // SAFETY: see the module's argument.
        unsafe { sys::rd_kafka_assignment_lost(self.client.native_ptr()) == 1 }
    }

    /// The current assignment.
    pub fn assignment(&self) -> Option<Offsets> {
        let mut list = ptr::null_mut();
        // SAFETY: see the module's argument; on success the list is ours.
        unsafe {
            let code = sys::rd_kafka_assignment(self.client.native_ptr(), &raw mut list);
            checked(code).ok().and_then(|()| Offsets::from_raw(list))
        }
    }

    /// Replaces the assignment; `None` empties it.
    pub fn replace_assignment(&self, partitions: Option<&Offsets>) -> Result<(), KafkaError> {
        let list = partitions.map_or(ptr::null(), |list| list.as_ptr().cast_const());
        // SAFETY: see the module's argument; the list is only read.
        checked(unsafe { sys::rd_kafka_assign(self.client.native_ptr(), list) })
            .map_err(|code| KafkaError::Subscription(code.to_string()))
    }

    pub fn add_to_assignment(&self, partitions: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; the list is only read; the error is ours.
        unsafe {
            checked_error(sys::rd_kafka_incremental_assign(
                self.client.native_ptr(),
                partitions.as_ptr(),
            ))
        }
        .map_err(|code| KafkaError::Subscription(code.to_string()))
    }

    pub fn remove_from_assignment(&self, partitions: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; the list is only read; the error is ours.
        unsafe {
            checked_error(sys::rd_kafka_incremental_unassign(
                self.client.native_ptr(),
                partitions.as_ptr(),
            ))
        }
        .map_err(|code| KafkaError::Subscription(code.to_string()))
    }

    pub fn pause(&self, partitions: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; results are written into the list, which outlives the
        // call.
        let code = unsafe {
            sys::rd_kafka_pause_partitions(self.client.native_ptr(), partitions.as_ptr())
        };
        checked(code).map_err(|code| KafkaError::PauseResume(code.to_string()))
    }

    pub fn resume(&self, partitions: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; results are written into the list, which outlives the
        // call.
        let code = unsafe {
            sys::rd_kafka_resume_partitions(self.client.native_ptr(), partitions.as_ptr())
        };
        checked(code).map_err(|code| KafkaError::PauseResume(code.to_string()))
    }

    /// Seeks to the offsets of the list.
    pub fn seek(&self, partitions: &Offsets, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; results are written into the list, which outlives the
        // call; the error is ours.
        let done = unsafe {
            checked_error(sys::rd_kafka_seek_partitions(
                self.client.native_ptr(),
                partitions.as_ptr(),
                millis(timeout),
            ))
        };
        // If one seek failed, that partition would skip records.
        match done.err().or_else(|| partitions.error()) {
            None => Ok(()),
            Some(code) => Err(KafkaError::Seek(code.to_string())),
        }
    }

    /// The group's committed offsets of these partitions.
    pub fn committed(
        &self,
        partitions: &Offsets,
        timeout: Duration,
    ) -> Result<Offsets, KafkaError> {
        let answer = partitions.with_all_at(super::offsets::NO_OFFSET);
        // SAFETY: see the module's argument; results are written into the list, which outlives the
        // call.
        let code = unsafe {
            sys::rd_kafka_committed(self.client.native_ptr(), answer.as_ptr(), millis(timeout))
        };
        match checked(code).err().or_else(|| answer.error()) {
            None => Ok(answer),
            Some(code) => Err(KafkaError::OffsetFetch(code)),
        }
    }

    /// Commits the offsets of the list for the group and waits for the answer.
    pub fn commit(&self, offsets: &Offsets) -> Result<(), KafkaError> {
        // SAFETY: see the module's argument; the list is only read.
        let code = unsafe { sys::rd_kafka_commit(self.client.native_ptr(), offsets.as_ptr(), 0) };
        checked(code).map_err(KafkaError::ConsumerCommit)
    }

    /// Leaves the group. `answer` is called between polls, for rebalance events.
    pub fn close(&self, answer: impl Fn(&Self)) {
        let native = self.client.native_ptr();
        self.fetched.borrow_mut().clear();
        // SAFETY: see the module's argument; the error is ours.
        unsafe {
            if checked_error(sys::rd_kafka_consumer_close_queue(native, self.queue.0.as_ptr()))
                .is_ok()
            {
                while sys::rd_kafka_consumer_closed(native) == 0 {
                    drop(self.poll(CLOSE_POLL));
                    answer(self);
                }
            }
        }
    }
}

fn checked(code: sys::rd_kafka_resp_err_t) -> Result<(), Code> {
    if code == NO_ERROR { Ok(()) } else { Err(code.into()) }
}

/// Converts the result of a call, which it owns.
///
/// # Safety
/// `error` is null or ours.
unsafe fn checked_error(error: *mut sys::rd_kafka_error_t) -> Result<(), Code> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: non-null, owned by us, not used after its destruction.
    unsafe {
        let code = sys::rd_kafka_error_code(error).into();
        sys::rd_kafka_error_destroy(error);
        Err(code)
    }
}

unsafe extern "C" fn on_rebalance<C: ConsumerCallbacks>(
    _: *mut sys::rd_kafka_t,
    code: sys::rd_kafka_resp_err_t,
    list: *mut sys::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: see the module's argument; the list is alive during the call.
    let (context, elements) =
        unsafe { (&*opaque.cast::<C>(), elements((*list).elems, (*list).cnt)) };
    let partitions = elements.iter().map(|element| element.partition).collect();
    context.note_rebalance(match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
            Rebalance::Assigned(partitions)
        }
        _ => Rebalance::Revoked(partitions),
    });
}
