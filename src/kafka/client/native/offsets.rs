//! Lists of partitions with their offsets. The safety argument is that of [`super`].

use std::ffi::CStr;
use std::ptr::NonNull;
use std::slice;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::NO_ERROR;
use crate::pipeline::Position;

/// The offset of a partition that has none.
pub const NO_OFFSET: i64 = sys::RD_KAFKA_OFFSET_INVALID as i64;

/// One partition of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionOffset {
    pub partition: i32,
    pub offset: i64,
    /// The leader epoch of the record before the offset, if it is known.
    pub leader_epoch: Option<i32>,
    /// What is committed together with the offset.
    pub metadata: String,
    /// The error of this partition in the answer to a request.
    pub error: Option<Code>,
}

impl From<Position> for PartitionOffset {
    fn from(Position { partition, offset }: Position) -> Self {
        Self { partition, offset, leader_epoch: None, metadata: String::new(), error: None }
    }
}

/// Partitions of one topic with their offsets.
pub struct Offsets(NonNull<sys::rd_kafka_topic_partition_list_t>);

// SAFETY: a self-contained heap object; only one thread makes calls that write into it.
unsafe impl Send for Offsets {}
// SAFETY: as for `Send`.
unsafe impl Sync for Offsets {}

impl Offsets {
    /// A list of `entries` in `topic`.
    pub fn new(topic: &CStr, entries: impl Iterator<Item = impl Into<PartitionOffset>>) -> Self {
        // SAFETY: the list is owned by us.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(8) };
        let list = Self(NonNull::new(list).expect("librdkafka aborts when out of memory"));
        for entry in entries {
            list.push(topic, &entry.into());
        }
        list
    }

    fn push(&self, topic: &CStr, entry: &PartitionOffset) {
        // SAFETY: the list is owned by us; `add` copies the name and returns an element that lives
        // until the next `add`. The list frees the metadata, which librdkafka's allocator made.
        unsafe {
            let added = sys::rd_kafka_topic_partition_list_add(
                self.0.as_ptr(),
                topic.as_ptr(),
                entry.partition,
            );
            (*added).offset = entry.offset;
            if let Some(epoch) = entry.leader_epoch {
                sys::rd_kafka_topic_partition_set_leader_epoch(added, epoch);
            }
            let length = entry.metadata.len();
            if length > 0 {
                let bytes = sys::rd_kafka_mem_malloc(std::ptr::null_mut(), length);
                bytes.cast::<u8>().copy_from_nonoverlapping(entry.metadata.as_ptr(), length);
                (*added).metadata = bytes;
                (*added).metadata_size = length;
            }
        }
    }

    /// A copy of `list`, including the metadata of its offsets.
    pub fn copy_of(list: &TopicPartitionList) -> Self {
        // SAFETY: the source is alive and only read; the copy is owned by us.
        unsafe { Self::copy(list.ptr()) }
    }

    /// # Safety
    /// `list` is alive.
    unsafe fn copy(list: *const sys::rd_kafka_topic_partition_list_t) -> Self {
        // SAFETY: see the contract; the copy is owned by us.
        let copy = unsafe { sys::rd_kafka_topic_partition_list_copy(list) };
        Self(NonNull::new(copy).expect("librdkafka aborts when out of memory"))
    }

    /// The same partitions, all with this offset.
    pub fn with_all_at(&self, offset: i64) -> Self {
        // SAFETY: the list is alive and only read; the copy is owned by us and not shared yet.
        unsafe {
            let copy = Self::copy(self.as_ptr());
            for element in elements_mut(copy.0) {
                element.offset = offset;
            }
            copy
        }
    }

    /// Takes ownership of a list that librdkafka allocated for us.
    ///
    /// # Safety
    /// `list` is ours.
    pub(super) unsafe fn from_raw(list: *mut sys::rd_kafka_topic_partition_list_t) -> Option<Self> {
        NonNull::new(list).map(Self)
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    pub fn entries(&self) -> impl Iterator<Item = PartitionOffset> {
        // SAFETY: the list is alive, and only read while the slice is.
        let elements: &[_] = unsafe { elements_mut(self.0) };
        // SAFETY: the element is alive.
        elements.iter().map(|element| unsafe { entry(element) })
    }

    /// The first error of a partition.
    pub fn error(&self) -> Option<Code> {
        self.entries().find_map(|entry| entry.error)
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        // SAFETY: owned by us, destroyed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// The list is alive and borrowed nowhere else.
unsafe fn elements_mut<'a>(
    list: NonNull<sys::rd_kafka_topic_partition_list_t>,
) -> &'a mut [sys::rd_kafka_topic_partition_t] {
    // SAFETY: see the contract; `elems` has `cnt` elements.
    unsafe {
        let list = list.as_ref();
        match usize::try_from(list.cnt) {
            Ok(count) if count > 0 => slice::from_raw_parts_mut(list.elems, count),
            _ => &mut [],
        }
    }
}

/// A copy of an element of a list.
///
/// # Safety
/// The element's metadata is alive.
pub(super) unsafe fn entry(element: &sys::rd_kafka_topic_partition_t) -> PartitionOffset {
    // SAFETY: the element is alive; the metadata has that many bytes.
    let (epoch, metadata) = unsafe {
        let metadata = (!element.metadata.is_null())
            .then(|| slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size));
        (sys::rd_kafka_topic_partition_get_leader_epoch(element), metadata)
    };
    PartitionOffset {
        partition: element.partition,
        offset: element.offset,
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata: String::from_utf8_lossy(metadata.unwrap_or_default()).into_owned(),
        error: (element.err != NO_ERROR).then(|| element.err.into()),
    }
}
