//! The watermarks of partitions. The safety argument is that of [`super`].
//!
//! rust-rdkafka 0.39 asks for one partition at a time, gets the last stable offset instead of the
//! end in a `read_committed` client, and does not show what librdkafka has cached.

use std::ffi::CStr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use sys::rd_kafka_OffsetSpec_t as Spec;

use super::admin::ask;
use super::offsets::{Offsets, PartitionOffset, entry};
use super::{NO_ERROR, elements};

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
) -> Result<Vec<PartitionOffset>, Code> {
    let wanted = of.with_all_at(spec as i64);
    let native = client.native_ptr();
    // SAFETY: see the module's argument; the list is copied.
    unsafe {
        ask(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            timeout,
            |options, queue| sys::rd_kafka_ListOffsets(native, wanted.as_ptr(), options, queue),
            |event| listed(event),
        )
    }
}

/// The offsets in the result of a `ListOffsets` request.
///
/// # Safety
/// `event` is alive.
unsafe fn listed(event: *mut sys::rd_kafka_event_t) -> Result<Vec<PartitionOffset>, Code> {
    // SAFETY: the event is alive and owns all that is read from it; null results are checked.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event);
        if result.is_null() {
            return Err(Code::Fail);
        }
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let entries = elements(infos, count).iter().map(|&info| {
            let entry = entry(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info));
            entry.error.map_or(Ok(entry), Err)
        });
        entries.collect()
    }
}

/// The high watermark of a partition as of the last fetch, which counts records of open
/// transactions; `None` before the first fetch.
pub fn fetched_high_watermark<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    partition: i32,
) -> Option<i64> {
    let (mut low, mut high) = (-1, -1);
    // SAFETY: see the module's argument; both results outlive the call.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == NO_ERROR && high >= 0).then_some(high)
}
