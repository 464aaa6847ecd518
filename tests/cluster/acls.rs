//! Grants ACLs on a cluster with an authorizer, for which the wrapper has no call.
#![allow(unsafe_code)] // direct calls into librdkafka, each with its reason

use std::ffi::CString;
use std::ptr::{null, null_mut};

use rdkafka::bindings as sys;
use rdkafka::producer::{BaseProducer, Producer as _};
use sys::rd_kafka_AclOperation_t as Operation;
use sys::rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW as ALLOW;
use sys::rd_kafka_ResourcePatternType_t as Pattern;
use sys::rd_kafka_ResourceType_t as Kind;

use super::{BROKER_TIMEOUT, KafkaCluster};

/// One operation that a user may perform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub user: String,
    /// As Kafka names it: `Read`, `DescribeConfigs`, ...
    pub operation: String,
    /// `topic`, `group` or `transactional id`.
    pub kind: String,
    pub name: String,
    /// Whether `name` is a prefix.
    pub prefixed: bool,
}

impl Grant {
    fn binding(&self) -> *mut sys::rd_kafka_AclBinding_t {
        let text = |text: &str| CString::new(text).expect("a name");
        let operation = match self.operation.as_str() {
            "Read" => Operation::RD_KAFKA_ACL_OPERATION_READ,
            "Write" => Operation::RD_KAFKA_ACL_OPERATION_WRITE,
            "Create" => Operation::RD_KAFKA_ACL_OPERATION_CREATE,
            "Describe" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE,
            "DescribeConfigs" => Operation::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS,
            other => panic!("no operation {other}"),
        };
        let kind = match self.kind.as_str() {
            "topic" => Kind::RD_KAFKA_RESOURCE_TOPIC,
            "group" => Kind::RD_KAFKA_RESOURCE_GROUP,
            "transactional id" => Kind::RD_KAFKA_RESOURCE_TRANSACTIONAL_ID,
            other => panic!("no kind {other}"),
        };
        let pattern = if self.prefixed {
            Pattern::RD_KAFKA_RESOURCE_PATTERN_PREFIXED
        } else {
            Pattern::RD_KAFKA_RESOURCE_PATTERN_LITERAL
        };
        let (name, user, host) =
            (text(&self.name), text(&format!("User:{}", self.user)), text("*"));
        // SAFETY: the strings live until the call returns, which copies them; no buffer for an
        // error message is given.
        let binding = unsafe {
            sys::rd_kafka_AclBinding_new(
                kind,
                name.as_ptr(),
                pattern,
                user.as_ptr(),
                host.as_ptr(),
                operation,
                ALLOW,
                null_mut(),
                0,
            )
        };
        assert!(!binding.is_null(), "{self:?}");
        binding
    }
}

impl KafkaCluster {
    /// Creates these ACLs.
    pub fn grant(&self, grants: &[Grant]) {
        let client: BaseProducer = self.client().create().expect("a client");
        let mut bindings: Vec<_> = grants.iter().map(Grant::binding).collect();
        let timeout_ms = i32::try_from(BROKER_TIMEOUT.as_millis()).expect("a minute");
        // SAFETY: the client lives to the end of this function; queue, event and bindings are made
        // here and destroyed once each, after their last use; the result belongs to the event.
        unsafe {
            let rk = client.client().native_ptr();
            let queue = sys::rd_kafka_queue_new(rk);
            sys::rd_kafka_CreateAcls(rk, bindings.as_mut_ptr(), bindings.len(), null(), queue);
            let event = sys::rd_kafka_queue_poll(queue, timeout_ms);
            assert!(!event.is_null(), "the controller answers");
            let result = sys::rd_kafka_event_CreateAcls_result(event);
            assert!(!result.is_null(), "the event has a result");
            let mut count = 0;
            let made = sys::rd_kafka_CreateAcls_result_acls(result, &raw mut count);
            assert_eq!(count, grants.len(), "a result for each ACL");
            for (index, grant) in grants.iter().enumerate() {
                let error = sys::rd_kafka_acl_result_error(*made.add(index));
                assert!(error.is_null(), "{grant:?} is not granted");
            }
            sys::rd_kafka_event_destroy(event);
            sys::rd_kafka_queue_destroy(queue);
            for binding in bindings {
                sys::rd_kafka_AclBinding_destroy(binding);
            }
        }
    }
}
