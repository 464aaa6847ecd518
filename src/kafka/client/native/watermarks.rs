//! The watermarks of partitions. The safety argument is that of [`super`].
//!
//! rust-rdkafka asks for one partition at a time, and with `read_committed` for the last stable
//! offset instead of the end.

use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use sys::rd_kafka_OffsetSpec_t as Spec;

use super::offsets::{Entry, Offsets, entry};
use super::{NO_ERROR, millis};

/// The first offset of each partition of `of`, and the one after its last record.
pub fn watermarks<C: ClientContext>(
    client: &Client<C>,
    of: &Offsets,
    timeout: Duration,
) -> Result<Vec<(i32, i64, i64)>, Code> {
    let low = list_offsets(client, of, Spec::RD_KAFKA_OFFSET_SPEC_EARLIEST, timeout)?;
    let high = list_offsets(client, of, Spec::RD_KAFKA_OFFSET_SPEC_LATEST, timeout)?;
    let both = low.iter().map(|low| {
        let high = high.iter().find(|high| high.partition == low.partition);
        high.map(|high| (low.partition, low.offset, high.offset)).ok_or(Code::UnknownPartition)
    });
    both.collect()
}

fn list_offsets<C: ClientContext>(
    client: &Client<C>,
    of: &Offsets,
    spec: Spec,
    timeout: Duration,
) -> Result<Vec<Entry>, Code> {
    let wanted = of.with_all_at(spec as i64);
    let native = client.native_ptr();
    // SAFETY: see the module's argument; the list is copied. Each object that is created here is
    // ours and destroyed below, after the last use of what it owns.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
        );
        // A timeout out of range keeps the default; the poll below ends in time all the same.
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        let queue = sys::rd_kafka_queue_new(native);
        sys::rd_kafka_ListOffsets(native, wanted.as_ptr(), options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        let listed = NonNull::new(event).map_or(Err(Code::OperationTimedOut), |event| {
            let listed = listed(event);
            sys::rd_kafka_event_destroy(event.as_ptr());
            listed
        });
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        listed
    }
}

/// The offsets in the result of a `ListOffsets` call.
///
/// # Safety
/// `event` is alive.
unsafe fn listed(event: NonNull<sys::rd_kafka_event_t>) -> Result<Vec<Entry>, Code> {
    // SAFETY: the event is alive and owns all that is read from it; null results are checked.
    unsafe {
        let code = sys::rd_kafka_event_error(event.as_ptr());
        if code != NO_ERROR {
            return Err(code.into());
        }
        let result = sys::rd_kafka_event_ListOffsets_result(event.as_ptr());
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let infos = if count == 0 { &[][..] } else { slice::from_raw_parts(infos, count) };
        let entries = infos.iter().map(|&info| {
            let entry = entry(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info));
            entry.error.map_or(Ok(entry), Err)
        });
        entries.collect()
    }
}
