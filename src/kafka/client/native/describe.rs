//! The id of a topic, and the cached end of a partition. The safety argument is that of [`super`].
//!
//! rust-rdkafka 0.39 has neither call.

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{NO_ERROR, millis};

/// The id that Kafka gave the topic when it was created, in its usual text form: two topics of one
/// name differ in it. `None` from brokers without topic ids.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    timeout: Duration,
) -> Result<Option<String>, Code> {
    let native = client.native_ptr();
    let mut names = [topic.as_ptr()];
    // SAFETY: see the module's argument; the names are copied. Each object that is created here is
    // ours and destroyed below, after the last use of what it owns.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let options = sys::rd_kafka_AdminOptions_new(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        // A timeout out of range keeps the default; the poll below ends in time all the same.
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        let queue = sys::rd_kafka_queue_new(native);
        sys::rd_kafka_DescribeTopics(native, topics, options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        let id = NonNull::new(event).map_or(Err(Code::OperationTimedOut), |event| {
            let id = described_id(event);
            sys::rd_kafka_event_destroy(event.as_ptr());
            id
        });
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// The id in the result of a `DescribeTopics` call for one topic.
///
/// # Safety
/// `event` is alive.
unsafe fn described_id(event: NonNull<sys::rd_kafka_event_t>) -> Result<Option<String>, Code> {
    // SAFETY: the event is alive and owns all that is read from it; null results are checked.
    unsafe {
        let code = sys::rd_kafka_event_error(event.as_ptr());
        if code != NO_ERROR {
            return Err(code.into());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event.as_ptr());
        let mut count = 0;
        let topics = NonNull::new(result.cast_mut()).map_or(ptr::null_mut(), |result| {
            sys::rd_kafka_DescribeTopics_result_topics(result.as_ptr(), &raw mut count)
        });
        if topics.is_null() || count == 0 {
            return Err(Code::UnknownTopicOrPartition);
        }
        let topic = *topics;
        let error = sys::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && sys::rd_kafka_error_code(error) != NO_ERROR {
            return Err(sys::rd_kafka_error_code(error).into());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let is_zero = |id| {
            sys::rd_kafka_Uuid_most_significant_bits(id) == 0
                && sys::rd_kafka_Uuid_least_significant_bits(id) == 0
        };
        if id.is_null() || is_zero(id) {
            return Ok(None);
        }
        // Kafka's tools write ids in the alphabet for URLs, librdkafka does not.
        let text = CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy();
        Ok(Some(text.replace('+', "-").replace('/', "_")))
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
