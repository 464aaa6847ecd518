//! The direct librdkafka calls: the only module with `unsafe`.
//!
//! Why the wrapper is not enough: its `commit_transaction` and `flush` poll in steps of 100 ms, it refuses header
//! names that are not UTF-8 with a panic, and it hides the generation of a group's membership.
//!
//! The safety argument, once for all calls here:
//! - A `*mut rd_kafka_t` comes from a `&Client`, which keeps the handle alive for the call; librdkafka's handles may be
//!   used from any thread.
//! - What librdkafka allocates for us is owned by one wrapper type each ([`Headers`], [`GroupMetadata`], [`Offsets`],
//!   [`CallError`] by value) and destroyed exactly once, in its `Drop` or where it is handed over.
//! - Slices handed in are read during the call only (`RD_KAFKA_MSG_F_COPY`); slices handed out borrow the message.
#![allow(unsafe_code)]

mod token;
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::PARTITION_UA;
use rdkafka::topic_partition_list::TopicPartitionList;
use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;
pub use token::set_token;

/// The error of a transactional call, with librdkafka's own sorting.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}: {text} ({code:?})")]
pub struct CallError {
    /// Which call failed.
    pub call: &'static str,
    /// librdkafka's or the broker's code.
    pub code: RDKafkaErrorCode,
    /// The client instance is of no more use.
    pub fatal: bool,
    /// The same call may be made again.
    pub retriable: bool,
    /// The transaction must be aborted; then a new one may begin.
    pub requires_abort: bool,
    /// librdkafka's text.
    pub text: String,
}

/// Takes ownership of what a transactional call returned.
fn checked(call: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), CallError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: `error` is non-null, owned by us, and not used after its destruction.
    unsafe {
        let described = CallError {
            call,
            code: sys::rd_kafka_error_code(error).into(),
            fatal: sys::rd_kafka_error_is_fatal(error) != 0,
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

/// Tells a client of `brokers` that it has forgotten.
///
/// A broker that has just come back may name no broker at all in its metadata. librdkafka then drops all it knows, those of
/// `bootstrap.servers` included, and never connects again (2.12.1; its issue 5301).
pub fn remind_of<C: ClientContext>(client: &Client<C>, brokers: &CStr) {
    // SAFETY: see the module's argument; the text is copied.
    let added = unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
    tracing::warn!(added, "librdkafka knew no broker any more");
}

/// Ends an earlier transaction of this transactional id and fences its other producers.
pub fn init_transactions<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("init_transactions", unsafe {
        sys::rd_kafka_init_transactions(producer.native_ptr(), millis(timeout))
    })
}

/// Begins a transaction (local: no request is sent).
pub fn begin_transaction<C: ClientContext>(producer: &Client<C>) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("begin_transaction", unsafe { sys::rd_kafka_begin_transaction(producer.native_ptr()) })
}

/// Adds consumed offsets to the transaction, fenced by the group's membership.
pub fn send_offsets<C: ClientContext>(
    producer: &Client<C>,
    offsets: &Offsets,
    membership: &GroupMetadata,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument; both lists are only read.
    checked("send_offsets_to_transaction", unsafe {
        sys::rd_kafka_send_offsets_to_transaction(
            producer.native_ptr(),
            offsets.0.as_ptr(),
            membership.0.as_ptr(),
            millis(timeout),
        )
    })
}

/// Commits the transaction: its records and offsets become visible together.
pub fn commit_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("commit_transaction", unsafe {
        sys::rd_kafka_commit_transaction(producer.native_ptr(), millis(timeout))
    })
}

/// Aborts the transaction: no `read_committed` reader will ever see its records.
pub fn abort_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("abort_transaction", unsafe {
        sys::rd_kafka_abort_transaction(producer.native_ptr(), millis(timeout))
    })
}

/// Waits until no record is queued or in flight; `false` when `timeout` ended first.
///
/// Delivery reports must be served by another thread meanwhile (the `ThreadedProducer`'s).
pub fn flush<C: ClientContext>(producer: &Client<C>, timeout: Duration) -> bool {
    // SAFETY: see the module's argument.
    unsafe { sys::rd_kafka_flush(producer.native_ptr(), millis(timeout)) == NO_ERROR }
}

/// A consumer's membership of its group at one moment: what lets the broker refuse a zombie's offsets.
pub struct GroupMetadata(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: a self-contained heap object, only read once made.
unsafe impl Send for GroupMetadata {}
// SAFETY: the same.
unsafe impl Sync for GroupMetadata {}

impl GroupMetadata {
    /// The membership now; `None` without one. A metadata without generation would pass the broker's fencing
    /// unchecked (it stands for "no group management"), so it is never handed out.
    pub fn of<C: ClientContext>(consumer: &Client<C>) -> Option<Self> {
        // SAFETY: see the module's argument; the result is owned by us.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.native_ptr()) };
        let metadata = GroupMetadata(NonNull::new(metadata)?);
        (metadata.generation() >= 0).then_some(metadata)
    }

    /// A group without members: only the transactional id fences what is committed for it.
    pub fn without_members(group: &CStr) -> Self {
        // SAFETY: the name is copied during the call; the result is owned by us.
        let metadata = unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) };
        GroupMetadata(NonNull::new(metadata).expect("librdkafka aborts when out of memory"))
    }

    /// Whether the group knows this member; a session that is over ends that at once.
    pub fn is_known(&self) -> bool {
        // SAFETY: the metadata is alive, and so is its text as long as it is.
        let member = unsafe {
            CStr::from_ptr(sys::rd_kafka_consumer_group_metadata_member_id(self.0.as_ptr()))
        };
        !member.is_empty()
    }

    /// The generation of the group; 0 while joining by the protocol "consumer".
    pub fn generation(&self) -> i32 {
        // SAFETY: the metadata is alive, and only read.
        unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(self.0.as_ptr()) }
    }
}

impl Drop for GroupMetadata {
    fn drop(&mut self) {
        // SAFETY: owned by us, destroyed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0.as_ptr()) }
    }
}

/// Positions to commit: (partition, next offset) of one topic.
pub struct Offsets(NonNull<sys::rd_kafka_topic_partition_list_t>);

// SAFETY: a self-contained heap object, only read once made.
unsafe impl Send for Offsets {}
// SAFETY: the same.
unsafe impl Sync for Offsets {}

impl Offsets {
    /// A list of `positions` in `topic`.
    pub fn new(topic: &CStr, positions: impl Iterator<Item = (i32, i64)>) -> Self {
        // SAFETY: the list is owned by us; `add` copies the name and returns an element that lives until the next add.
        unsafe {
            let list = NonNull::new(sys::rd_kafka_topic_partition_list_new(8))
                .expect("librdkafka aborts when out of memory");
            for (partition, offset) in positions {
                (*sys::rd_kafka_topic_partition_list_add(
                    list.as_ptr(),
                    topic.as_ptr(),
                    partition,
                ))
                .offset = offset;
            }
            Offsets(list)
        }
    }

    /// A copy of `list`, with the notes that its positions carry.
    pub fn copy_of(list: &TopicPartitionList) -> Self {
        // SAFETY: the source is alive and only read; the copy is owned by us.
        let copy = unsafe { sys::rd_kafka_topic_partition_list_copy(list.ptr()) };
        Offsets(NonNull::new(copy).expect("librdkafka aborts when out of memory"))
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        // SAFETY: owned by us, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) }
    }
}

/// Record headers, names and values as bytes.
pub struct Headers(NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    /// An empty list with room for `capacity` headers.
    pub fn with_capacity(capacity: usize) -> Self {
        // SAFETY: no arguments to keep alive; owned by us.
        Headers(
            NonNull::new(unsafe { sys::rd_kafka_headers_new(capacity) })
                .expect("librdkafka aborts when out of memory"),
        )
    }

    /// An untouched copy of a message's headers, `None` when it has none.
    pub fn copy_of(message: &BorrowedMessage<'_>) -> Option<Self> {
        // SAFETY: the source is borrowed from the message for the call; the copy is owned by us.
        NonNull::new(unsafe { sys::rd_kafka_headers_copy(borrowed(message)?.as_ptr()) })
            .map(Headers)
    }

    /// Appends one header.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (value, length) = raw(value);
        // SAFETY: name and value are copied during the call, with their lengths given. The one error of `header_add`
        // is a read-only list, which a list of our own is not.
        unsafe {
            sys::rd_kafka_header_add(
                self.0.as_ptr(),
                name.as_ptr().cast::<c_char>(),
                name.len().cast_signed(),
                value,
                length.cast_signed(),
            );
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: owned by us; `produce` forgets the wrapper when librdkafka took the list over.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

fn borrowed(message: &BorrowedMessage<'_>) -> Option<NonNull<sys::rd_kafka_headers_t>> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive; on success `headers` points into it.
    let found = unsafe { sys::rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    if found == NO_ERROR { NonNull::new(headers) } else { None }
}

/// Calls `visit` with each header of `message`, in order.
pub fn each_header(message: &BorrowedMessage<'_>, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
    let Some(headers) = borrowed(message) else {
        return;
    };
    for index in 0.. {
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` lives as long as the message; past the last index an error is returned.
        let found = unsafe {
            sys::rd_kafka_header_get_all(
                headers.as_ptr(),
                index,
                &raw mut name,
                &raw mut value,
                &raw mut length,
            )
        };
        if found != NO_ERROR {
            return;
        }
        // SAFETY: name is NUL-terminated, value has `length` bytes; both live as long as the message.
        unsafe {
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length));
            visit(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}

fn raw(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast::<c_void>(), bytes.len()))
}

/// A record to be produced.
pub struct Outgoing<'a> {
    pub topic: &'a CStr,
    /// `None`: by murmur2 of the key, as Kafka's own clients do.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; `None`: the clock. (librdkafka reads 0 as the clock, too.)
    pub timestamp: Option<i64>,
    pub headers: Option<Headers>,
    /// Comes back with the delivery report.
    pub tag: usize,
}

/// Queues one record; the error hands it back.
pub fn produce<'a, C: ClientContext>(
    producer: &Client<C>,
    record: Outgoing<'a>,
) -> Result<(), (RDKafkaErrorCode, Outgoing<'a>)> {
    let (key, key_length) = raw(record.key);
    let (value, value_length) = raw(record.value);
    let headers = record.headers.as_ref().map_or(ptr::null_mut(), |headers| headers.0.as_ptr());
    // SAFETY: the variadic list pairs each tag with the arguments rdkafka.h lists for it and ends with VTYPE_END; key
    // and value are copied (MSG_F_COPY); on success librdkafka owns `headers`, on failure we still do.
    let code = unsafe {
        sys::rd_kafka_producev(
            producer.native_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            record.topic.as_ptr(),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            record.partition.unwrap_or(PARTITION_UA),
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
