//! The assignment of a group. The safety argument is that of [`super`].
//!
//! librdkafka's `DescribeConsumerGroups` ends the process if the connection to the coordinator is
//! lost at the wrong moment ("Assertion eonce->refcnt > 0", 2.15.1), and rust-rdkafka's list of
//! groups leaks what the other brokers answered if one is down.

use std::ffi::CStr;
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTIAL as PARTIAL;

use super::callbacks::text;
use super::{NO_ERROR, bytes, elements, millis};

/// What the brokers say about a group.
pub enum Group {
    /// No broker that answers knows it, or it has no members.
    NoMembers,
    Rebalances,
    /// The assignments of its members, as their protocol encodes them.
    Stable(Vec<Vec<u8>>),
}

/// The assignments of the members of `group`.
pub fn assignments<C: ClientContext>(
    client: &Client<C>,
    group: &CStr,
    timeout: Duration,
) -> Result<Group, Code> {
    let mut list = ptr::null();
    // SAFETY: see the module's argument; the name is copied. If it is not null afterwards, the list
    // is ours.
    let code = unsafe {
        sys::rd_kafka_list_groups(
            client.native_ptr(),
            group.as_ptr(),
            &raw mut list,
            millis(timeout),
        )
    };
    // Some brokers have not answered, but they are not the coordinator if the group was found.
    if code != NO_ERROR && code != PARTIAL {
        return Err(code.into());
    }
    // SAFETY: the list is alive and owns all that is read from it, until it is destroyed once.
    unsafe {
        let found = members(list).unwrap_or(Group::NoMembers);
        sys::rd_kafka_group_list_destroy(list);
        Ok(found)
    }
}

/// What the members of the first group in the list have.
///
/// # Safety
/// `list` is alive or null.
unsafe fn members(list: *const sys::rd_kafka_group_list) -> Option<Group> {
    // SAFETY: see the contract; arrays have the lengths beside them.
    unsafe {
        let list = list.as_ref()?;
        let groups = elements(list.groups, list.group_cnt);
        let group = groups.first().filter(|it| it.err == NO_ERROR)?;
        let assignment = |it: &sys::rd_kafka_group_member_info| {
            let length = usize::try_from(it.member_assignment_size).unwrap_or(0);
            bytes(it.member_assignment, length).unwrap_or_default().to_vec()
        };
        match &*text(group.state) {
            "Stable" => {
                let members = elements(group.members, group.member_cnt);
                Some(Group::Stable(members.iter().map(assignment).collect()))
            }
            "PreparingRebalance" | "CompletingRebalance" => Some(Group::Rebalances),
            _ => None,
        }
    }
}
