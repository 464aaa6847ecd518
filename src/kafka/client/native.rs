//! Direct calls of librdkafka: the only module with `unsafe`.
//!
//! The wrapper (rust-rdkafka 0.39) does not suffice: its `flush`, which `commit_transaction` calls
//! too, polls in steps of 100 ms; it panics at header names that are not UTF-8; it neither shows
//! the generation of a group's membership nor creates metadata of a group without members, which
//! `send_offsets` needs. All transactional calls are here, so that they have one type of error,
//! [`CallError`]: the wrapper's cannot be created outside of the wrapper.
//!
//! The safety argument for all calls of this module:
//! - A `*mut rd_kafka_t` comes from a `&Client`, which keeps the handle alive during the call;
//!   librdkafka's handles may be used from any thread.
//! - Each object that librdkafka allocates for us is owned by one wrapper type ([`Headers`],
//!   [`GroupMetadata`], [`Offsets`]; errors are copied into [`CallError`]) and destroyed exactly
//!   once: in its `Drop`, or by librdkafka after ownership passed to it.
//! - Slices passed in are only read during the call (`RD_KAFKA_MSG_F_COPY`); slices passed out
//!   borrow from the message.
#![allow(unsafe_code)]

mod admin;
mod callbacks;
pub mod consumer;
pub mod groups;
mod headers;
pub mod offsets;
pub mod producer;
mod token;
pub mod transactions;
mod watermarks;

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

pub use admin::topic_id;
pub use headers::{Headers, NativeMessage, each_header};
pub use offsets::Offsets;
use producer::{ProducerCallbacks, Topic};
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;
pub use token::set_token;
pub use watermarks::{fetched_high_watermark, watermarks};

/// The error of a transactional call, with the flags that librdkafka sets.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {text} ({code:?})")]
pub struct CallError {
    /// The name of the call.
    pub call: &'static str,
    /// librdkafka's or the broker's code.
    pub code: RDKafkaErrorCode,
    /// The same call may be repeated.
    pub retriable: bool,
    /// The transaction must be aborted; then a new one may begin.
    pub requires_abort: bool,
    /// librdkafka's text.
    pub text: String,
}

/// Whether a topic or its partition does not exist.
pub fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition)
}

/// Converts the result of a transactional call, which it owns.
fn checked(call: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), CallError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: `error` is non-null, owned by us, and not used after its destruction.
    unsafe {
        let described = CallError {
            call,
            code: sys::rd_kafka_error_code(error).into(),
            retriable: sys::rd_kafka_error_is_retriable(error) != 0,
            requires_abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            text: CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
        };
        sys::rd_kafka_error_destroy(error);
        Err(described)
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}

/// Adds brokers to those that the client knows; returns how many.
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &CStr) -> i32 {
    // SAFETY: see the module's argument; the text is copied.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) }
}

/// Ends an open transaction of this transactional id and fences its other producers.
pub(super) fn init_transactions<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("init_transactions", unsafe {
        sys::rd_kafka_init_transactions(producer.native_ptr(), millis(timeout))
    })
}

/// Begins a transaction. This sends no request.
///
/// `losses` is an earlier result of [`transactions::coordinator_losses`]. If the connection to the
/// coordinator is lost again before the transaction reaches it, no request is sent, and the
/// transaction can only be aborted. `None`: any connection will do.
pub(super) fn begin_transaction<C: ClientContext>(
    producer: &Client<C>,
    losses: Option<i32>,
) -> Result<(), CallError> {
    transactions::require_connection(producer, losses);
    // SAFETY: see the module's argument.
    checked("begin_transaction", unsafe { sys::rd_kafka_begin_transaction(producer.native_ptr()) })
}

/// Adds consumed offsets to the transaction. The group rejects those of an outdated `membership`.
pub(super) fn send_offsets<C: ClientContext>(
    producer: &Client<C>,
    offsets: &Offsets,
    membership: &GroupMetadata,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument; both lists are only read.
    checked("send_offsets_to_transaction", unsafe {
        sys::rd_kafka_send_offsets_to_transaction(
            producer.native_ptr(),
            offsets.as_ptr(),
            membership.0.as_ptr(),
            millis(timeout),
        )
    })
}

/// Commits the transaction: its records and offsets become visible together.
pub(super) fn commit_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("commit_transaction", unsafe {
        sys::rd_kafka_commit_transaction(producer.native_ptr(), millis(timeout))
    })
}

/// Aborts the transaction: `read_committed` readers never see its records.
pub(super) fn abort_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("abort_transaction", unsafe {
        sys::rd_kafka_abort_transaction(producer.native_ptr(), millis(timeout))
    })
}

/// Waits until no record is queued or in flight; `false` if `timeout` ends first.
///
/// Another thread (that of `ProducerClient`) must serve the delivery reports meanwhile.
pub(super) fn flush<C: ClientContext>(producer: &Client<C>, timeout: Duration) -> bool {
    // SAFETY: see the module's argument.
    unsafe { sys::rd_kafka_flush(producer.native_ptr(), millis(timeout)) == NO_ERROR }
}

/// A consumer's membership of its group at one moment. With it the brokers recognize a zombie and
/// reject its offsets.
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a self-contained heap object, never modified after its creation.
unsafe impl Send for GroupMetadata {}
// SAFETY: as for `Send`.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// The current membership, `None` while the consumer is not a member or its session is over.
    /// Metadata without a generation (which means "no group management") would bypass the brokers'
    /// fencing, so it is never returned.
    pub fn of<C: ClientContext>(consumer: &Client<C>) -> Option<Self> {
        // SAFETY: see the module's argument; the result is owned by us.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.native_ptr()) };
        let metadata = GroupMetadata(NonNull::new(metadata)?);
        (metadata.generation() >= 0 && metadata.has_member_id()).then_some(metadata)
    }

    /// Metadata of a group without members, whose offsets only the transactional id fences.
    pub fn without_members(group: &CStr) -> Self {
        // SAFETY: the name is copied during the call; the result is owned by us.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) };
        GroupMetadata(NonNull::new(metadata).expect("librdkafka aborts when out of memory"))
    }

    /// The end of the session clears the id at once.
    fn has_member_id(&self) -> bool {
        // SAFETY: the metadata is alive and owns the text.
        let member = unsafe {
            CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr()))
        };
        !member.is_empty()
    }

    /// The generation of the group; 0 while joining with the protocol "consumer".
    pub fn generation(&self) -> i32 {
        // SAFETY: the metadata is alive and only read.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: owned by us, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

fn raw(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast::<c_void>(), bytes.len()))
}

/// # Safety
/// There are `count` elements at `start`, unless it is null, for as long as `'a`.
unsafe fn elements<'a, T>(start: *const T, count: impl TryInto<usize>) -> &'a [T] {
    match count.try_into() {
        // SAFETY: see the contract.
        Ok(count) if !start.is_null() => unsafe { slice::from_raw_parts(start, count) },
        _ => &[],
    }
}

/// # Safety
/// There are `length` bytes at `start`, unless it is null, for as long as `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: see the contract.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// The partition of a key among `count`, by its murmur2 hash as in Kafka's own clients.
pub fn partition_of_key(key: &[u8], count: i32) -> i32 {
    let (topic, opaque) = (ptr::null(), ptr::null_mut());
    // SAFETY: only the key is read, which is alive; topic and opaque pointers are not used.
    unsafe {
        sys::rd_kafka_msg_partitioner_murmur2(
            topic,
            key.as_ptr().cast(),
            key.len(),
            count.max(1),
            opaque,
            opaque,
        )
    }
}

/// A record to be produced.
pub struct Outgoing<'a> {
    pub topic: &'a CStr,
    pub partition: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970. `None` means the current time, as does 0 in librdkafka.
    pub timestamp: Option<i64>,
    pub headers: Option<Headers>,
    /// Returned with the delivery report.
    pub tag: usize,
}

/// Queues one record for a topic; the error returns it.
pub(super) fn produce<'a, C: ProducerCallbacks>(
    topic: &Topic<C>,
    record: Outgoing<'a>,
) -> Result<(), (RDKafkaErrorCode, Outgoing<'a>)> {
    let (key, key_length) = raw(record.key);
    let (value, value_length) = raw(record.value);
    let headers = record.headers.as_ref().map_or(ptr::null_mut(), |headers| headers.0.as_ptr());
    // SAFETY: the variadic list pairs each tag with the arguments that rdkafka.h requires and ends
    // with VTYPE_END; key and value are copied (MSG_F_COPY); librdkafka owns `headers` on success,
    // and we own it on failure.
    let code = unsafe {
        sys::rd_kafka_producev(
            topic.client(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
            topic.handle(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            record.partition,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            value,
            value_length,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
            key,
            key_length,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
            ptr::without_provenance_mut::<c_void>(record.tag),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
            record.timestamp.unwrap_or(0),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            headers,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        )
    };
    if code == NO_ERROR {
        std::mem::forget(record.headers);
        Ok(())
    } else {
        Err((code.into(), record))
    }
}
