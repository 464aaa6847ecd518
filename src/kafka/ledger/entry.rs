//! An entry of the ledger: its value is one line of JSON.

use serde::{Deserialize, Serialize};

/// How far a group has read one partition of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The next offset to read.
    pub next: i64,
    /// The id of the topic that the offset belongs to; `None` from brokers without topic ids.
    pub topic_id: Option<String>,
    /// The leader epoch of the last record before `next`, if it is known.
    pub leader_epoch: Option<i32>,
    /// When an operator last set this partition's position, in milliseconds since 1970, or 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reset_ms: i64,
    /// The transactional id of the producer that wrote the entry, by which a transaction that it
    /// left open can be ended; empty with `at_least_once`.
    pub transactional_id: String,
    /// When the entry was written, in milliseconds since 1970.
    pub time: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Entry {
    /// Replaces the content of `value` by this entry.
    pub fn write(&self, value: &mut Vec<u8>) {
        value.clear();
        // Neither the type nor the buffer can fail.
        let _ = serde_json::to_writer(value, self);
    }

    /// The entry in a record's value; `None` if this program did not write it.
    pub fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            next: 42,
            topic_id: Some("kZ3xTn0hQ9e1rVYQbXv0Jg".to_owned()),
            leader_epoch: Some(7),
            reset_ms: 0,
            transactional_id: "nik-stream-a-0".to_owned(),
            time: 1_700_000_000_000,
        }
    }

    #[test]
    fn an_entry_is_compact_json_with_documented_names() {
        let mut value = b"left over".to_vec();
        entry().write(&mut value);
        let expected = concat!(
            r#"{"next":42,"topic_id":"kZ3xTn0hQ9e1rVYQbXv0Jg","leader_epoch":7,"#,
            r#""transactional_id":"nik-stream-a-0","time":1700000000000}"#
        );
        assert_eq!(std::str::from_utf8(&value), Ok(expected));
        assert_eq!(Entry::read(&value), Some(entry()));
    }

    #[test]
    fn what_a_later_version_adds_is_ignored_and_other_content_is_not_an_entry() {
        let later = br#"{"next":1,"topic_id":null,"leader_epoch":null,"reset_ms":5,"transactional_id":"","time":2,"more":[]}"#;
        let read = Entry::read(later).unwrap();
        assert_eq!((read.next, read.reset_ms, read.topic_id), (1, 5, None));
        for value in [&b""[..], b"aborted", b"{}", br#"{"next":"1"}"#, b"\xff"] {
            assert_eq!(Entry::read(value), None);
        }
    }
}
