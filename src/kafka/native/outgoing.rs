//! Records on their way into a producer's queue. The safety argument is that of [`super`].

use std::ffi::{CStr, CString, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::PARTITION_UA;

use super::{Headers, NO_ERROR, raw};

/// Handles of the topics that a producer writes to all the time: by name, each record would look its topic up, under a lock
/// that librdkafka's own threads want as well.
///
/// To be dropped before the producer: librdkafka waits for its handles.
pub(in crate::kafka) struct Topics(Vec<(CString, NonNull<sys::rd_kafka_topic_t>)>);

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl Send for Topics {}

impl Topics {
    /// Handles of `names`; a name that librdkafka refuses gets none, and is refused when it is written to.
    pub(in crate::kafka) fn of<C: ClientContext>(producer: &Client<C>, names: &[&CStr]) -> Self {
        let handle = |&name: &&CStr| {
            // SAFETY: see the module's argument; the name is copied, and no settings are handed over.
            let handle = unsafe {
                sys::rd_kafka_topic_new(producer.native_ptr(), name.as_ptr(), ptr::null_mut())
            };
            Some((name.to_owned(), NonNull::new(handle)?))
        };
        Self(names.iter().filter_map(handle).collect())
    }

    fn find(&self, name: &CStr) -> Option<NonNull<sys::rd_kafka_topic_t>> {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        found.map(|(_, handle)| *handle)
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        for (_, handle) in self.0.drain(..) {
            // SAFETY: owned by us, destroyed once.
            unsafe { sys::rd_kafka_topic_destroy(handle.as_ptr()) }
        }
    }
}

/// A record to be produced.
pub(in crate::kafka) struct Outgoing<'a> {
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
pub(in crate::kafka) fn produce<'a, C: ClientContext>(
    producer: &Client<C>,
    topics: &Topics,
    record: Outgoing<'a>,
) -> Result<(), (RDKafkaErrorCode, Outgoing<'a>)> {
    let (key, key_length) = raw(record.key);
    let (value, value_length) = raw(record.value);
    let headers = record
        .headers
        .as_ref()
        .map_or(ptr::null_mut(), |headers| headers.0.as_ptr());
    let (kind, topic) = match topics.find(record.topic) {
        Some(handle) => (
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
            handle.as_ptr().cast_const().cast(),
        ),
        None => (
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
            record.topic.as_ptr(),
        ),
    };
    // SAFETY: the variadic list pairs each tag with the arguments rdkafka.h lists for it (a topic's handle is a
    // pointer as its name is) and ends with VTYPE_END; key and value are copied (MSG_F_COPY); on success librdkafka owns `headers`, on failure we still do.
    let code = unsafe {
        sys::rd_kafka_producev(
            producer.native_ptr(),
            kind,
            topic,
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
