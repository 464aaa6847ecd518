//! Requests of librdkafka's admin interface, and the id of a topic, which rust-rdkafka 0.39 cannot
//! ask for. The safety argument is that of [`super`].

use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{NO_ERROR, millis};

/// Sends a request and reads its result.
///
/// # Safety
/// `client` is alive. `send` sends one request of this kind with the options and to the queue that
/// it gets; `read` reads its result from an event that is alive.
pub(super) unsafe fn ask<T>(
    client: *mut sys::rd_kafka_t,
    kind: sys::rd_kafka_admin_op_t,
    timeout: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    read: unsafe fn(*mut sys::rd_kafka_event_t) -> Result<T, Code>,
) -> Result<T, Code> {
    // SAFETY: see the contract. Each object that is created here is ours and destroyed once, after
    // the last use of what it owns.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client, kind);
        // A timeout out of range keeps the default; the poll below ends in time all the same.
        sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(timeout),
            ptr::null_mut(),
            0,
        );
        let queue = sys::rd_kafka_queue_new(client);
        send(options, queue);
        let event = sys::rd_kafka_queue_poll(queue, millis(timeout));
        let result = if event.is_null() {
            Err(Code::OperationTimedOut)
        } else {
            let code = sys::rd_kafka_event_error(event);
            let result = if code == NO_ERROR { read(event) } else { Err(code.into()) };
            sys::rd_kafka_event_destroy(event);
            result
        };
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        result
    }
}

/// The id that Kafka gave the topic when it was created, in its usual text form: two topics of one
/// name differ in it. `None` from brokers without topic ids.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &CStr,
    timeout: Duration,
) -> Result<Option<String>, Code> {
    let native = client.native_ptr();
    let mut names = [topic.as_ptr()];
    // SAFETY: see the module's argument; the names are copied, and the collection of them is ours
    // and destroyed after its last use.
    unsafe {
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let id = ask(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            timeout,
            |options, queue| sys::rd_kafka_DescribeTopics(native, topics, options, queue),
            described_id,
        );
        sys::rd_kafka_TopicCollection_destroy(topics);
        id
    }
}

/// The id in the result of a `DescribeTopics` request for one topic.
///
/// # Safety
/// `event` is alive.
unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> Result<Option<String>, Code> {
    // SAFETY: the event is alive and owns all that is read from it; null results are checked.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
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
