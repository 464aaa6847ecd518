//! Requests of librdkafka's admin interface that rust-rdkafka 0.39 cannot make: the id of a topic
//! and the assignment of a group. The safety argument is that of [`super`].

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::ptr::{self, NonNull};
use std::slice;
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
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Result<T, Code>,
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
            |event| described_id(event),
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

/// The partitions of `topic` that the members of `group` have; `None` while the group rebalances,
/// and if it has no members.
pub fn assigned_partitions<C: ClientContext>(
    client: &Client<C>,
    group: &CStr,
    topic: &CStr,
    timeout: Duration,
) -> Result<Option<BTreeSet<i32>>, Code> {
    let native = client.native_ptr();
    let mut groups = [group.as_ptr()];
    let (groups, count) = (groups.as_mut_ptr(), groups.len());
    // SAFETY: see the module's argument; the names are copied.
    unsafe {
        ask(
            native,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
            timeout,
            |options, queue| {
                sys::rd_kafka_DescribeConsumerGroups(native, groups, count, options, queue);
            },
            |event| described_assignment(event, topic),
        )
    }
}

/// What the members have of `topic` in the result of a `DescribeConsumerGroups` request for one
/// group, if the group is stable.
///
/// # Safety
/// `event` is alive.
unsafe fn described_assignment(
    event: *mut sys::rd_kafka_event_t,
    topic: &CStr,
) -> Result<Option<BTreeSet<i32>>, Code> {
    // SAFETY: the event is alive and owns all that is read from it; null results are checked.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let mut count = 0;
        let groups = NonNull::new(result.cast_mut()).map_or(ptr::null_mut(), |result| {
            sys::rd_kafka_DescribeConsumerGroups_result_groups(result.as_ptr(), &raw mut count)
        });
        if groups.is_null() || count == 0 {
            return Err(Code::InvalidGroupId);
        }
        let group = *groups;
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        if !error.is_null() && sys::rd_kafka_error_code(error) != NO_ERROR {
            return Err(sys::rd_kafka_error_code(error).into());
        }
        let state = sys::rd_kafka_ConsumerGroupDescription_state(group);
        if state != sys::rd_kafka_consumer_group_state_t::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE {
            return Ok(None);
        }
        let mut assigned = BTreeSet::new();
        for index in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let assignment = sys::rd_kafka_MemberDescription_assignment(member);
            if assignment.is_null() {
                continue;
            }
            let list = sys::rd_kafka_MemberAssignment_partitions(assignment);
            if list.is_null() || (*list).elems.is_null() {
                continue;
            }
            let count = usize::try_from((*list).cnt).unwrap_or(0);
            let partitions = slice::from_raw_parts((*list).elems, count).iter();
            let of_topic = partitions.filter(|it| CStr::from_ptr(it.topic) == topic);
            assigned.extend(of_topic.map(|it| it.partition));
        }
        Ok(Some(assigned))
    }
}
