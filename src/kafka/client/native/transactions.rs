//! Steps of a transaction that librdkafka's public interface lacks: `transactions.c` beside this
//! file. The safety argument is that of [`super`]; the C functions copy the texts that they get, or
//! do not use them after they return.

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};

use super::{CallError, checked, millis};

unsafe extern "C" {
    fn nik_describe_transaction(
        client: *mut sys::rd_kafka_t,
        state: *mut c_char,
        size: usize,
        timeout_ms: c_int,
    ) -> *mut sys::rd_kafka_error_t;
    fn nik_add_partition(
        client: *mut sys::rd_kafka_t,
        topic: *const c_char,
        partition: i32,
        timeout_ms: c_int,
    ) -> *mut sys::rd_kafka_error_t;
    fn nik_awaits_partitions(client: *mut sys::rd_kafka_t) -> c_int;
    fn nik_transaction_error(client: *mut sys::rd_kafka_t) -> *mut sys::rd_kafka_error_t;
    fn nik_add_group(
        client: *mut sys::rd_kafka_t,
        group: *const c_char,
        timeout_ms: c_int,
    ) -> *mut sys::rd_kafka_error_t;
    fn nik_renumber(client: *mut sys::rd_kafka_t);
    fn nik_require_connection(client: *mut sys::rd_kafka_t, losses: c_int);
    fn nik_coordinator_is_up(client: *mut sys::rd_kafka_t) -> c_int;
    fn nik_coordinator_losses(client: *mut sys::rd_kafka_t) -> c_int;
}

/// The state of the client's transactional id, by the name that Kafka gives it.
pub fn describe_transaction<C: ClientContext>(
    producer: &Client<C>,
    timeout: Duration,
) -> Result<String, CallError> {
    let mut state = [0_u8; 32];
    let (text, size) = (state.as_mut_ptr().cast::<c_char>(), state.len());
    // SAFETY: see the module's argument; at most `size` bytes are written, with a NUL.
    checked("describe_transaction", unsafe {
        nik_describe_transaction(producer.native_ptr(), text, size, millis(timeout))
    })?;
    let state = CStr::from_bytes_until_nul(&state).unwrap_or_default();
    Ok(state.to_string_lossy().into_owned())
}

/// Adds a partition to the open transaction without a record. [`awaits_partitions`] becomes false
/// when the coordinator has it.
pub fn add_partition<C: ClientContext>(
    producer: &Client<C>,
    topic: &CStr,
    partition: i32,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("add_partition", unsafe {
        nik_add_partition(producer.native_ptr(), topic.as_ptr(), partition, millis(timeout))
    })
}

/// Whether the coordinator has not yet confirmed all partitions of the open transaction.
pub fn awaits_partitions<C: ClientContext>(producer: &Client<C>) -> bool {
    // SAFETY: see the module's argument.
    unsafe { nik_awaits_partitions(producer.native_ptr()) != 0 }
}

/// Fails if the open transaction cannot be committed any more, for example because the brokers
/// refuse a partition.
pub fn check_transaction<C: ClientContext>(producer: &Client<C>) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("add_partition", unsafe { nik_transaction_error(producer.native_ptr()) })
}

/// Adds the partition of the group's offsets to the open transaction, without offsets.
pub fn add_group<C: ClientContext>(
    producer: &Client<C>,
    group: &CStr,
    timeout: Duration,
) -> Result<(), CallError> {
    // SAFETY: see the module's argument.
    checked("add_group", unsafe {
        nik_add_group(producer.native_ptr(), group.as_ptr(), millis(timeout))
    })
}

/// Sets the `losses` of the next transaction, see [`super::begin_transaction`].
pub(super) fn require_connection<C: ClientContext>(producer: &Client<C>, losses: Option<i32>) {
    // SAFETY: see the module's argument.
    unsafe { nik_require_connection(producer.native_ptr(), losses.unwrap_or(-1)) }
}

/// Makes the abort of the open transaction raise the producer epoch: a broker refused some of its
/// records, so the sequence numbers have a gap.
pub fn renumber<C: ClientContext>(producer: &Client<C>) {
    // SAFETY: see the module's argument.
    unsafe { nik_renumber(producer.native_ptr()) }
}

/// Whether the transaction coordinator can be reached.
pub fn coordinator_is_up<C: ClientContext>(producer: &Client<C>) -> bool {
    // SAFETY: see the module's argument.
    unsafe { nik_coordinator_is_up(producer.native_ptr()) != 0 }
}

/// How often the connection to the transaction coordinator was lost.
pub fn coordinator_losses<C: ClientContext>(producer: &Client<C>) -> i32 {
    // SAFETY: see the module's argument.
    unsafe { nik_coordinator_losses(producer.native_ptr()) }
}
