//! A dead letter, and the filter by which operators choose some of them.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pipeline::Position;

/// The name and the value of a header.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// The position of a record, with its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPosition {
    pub topic: String,
    pub position: Position,
}

/// A record of the failures topic.
#[derive(Clone)]
pub struct DeadLetter {
    pub position: Position,
    /// Milliseconds since 1970: the timestamp of the request, which its dead letter inherits.
    pub timestamp: Option<i64>,
    pub request: TopicPosition,
    /// The consumer group that could not process the request.
    pub group: String,
    /// The reason as a code: lower-case letters and underscores.
    pub reason: String,
    /// The reason in words.
    pub message: String,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The value of the request, if it fitted into the dead letter.
    pub original: Option<Vec<u8>>,
    /// The headers of the request.
    pub headers: Vec<Header>,
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    pub reason: &'a str,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
}

impl DeadLetter {
    pub fn traits(&self) -> Traits<'_> {
        Traits { reason: &self.reason, timestamp: self.timestamp, key: self.key.as_deref() }
    }

    /// How often its request was replayed before it failed.
    pub fn replays(&self) -> u32 {
        replays(&self.headers)
    }
}

/// The header of a replayed request that says how often it was replayed, in digits.
pub const REPLAYS: &[u8] = b"nik-replays";

/// How often the request with these headers was replayed. A value that is not a number counts as
/// none: it is not ours.
pub fn replays(headers: &[Header]) -> u32 {
    let last = headers.iter().rfind(|(name, _)| name == REPLAYS);
    let value = last.and_then(|(_, value)| value.as_deref());
    value.and_then(|value| str::from_utf8(value).ok()?.parse().ok()).unwrap_or(0)
}

/// A key, as a hash: it may be a NIK, which must not be in the group's metadata.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyHash(String);

impl KeyHash {
    /// The first 128 bits of SHA-256.
    pub fn of(key: &[u8]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(&Sha256::digest(key)[..16]))
    }
}

/// Chooses dead letters by reason, key and time. It is stored in the metadata of committed offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Empty: any reason.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<String>,
    /// Empty: any key, or none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub keys: BTreeSet<KeyHash>,
    /// Inclusive; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Exclusive; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Filter {
    pub fn matches(&self, of: Traits<'_>) -> bool {
        let is_since = |since| of.timestamp.is_some_and(|at| at >= since);
        let is_before = |until| of.timestamp.is_some_and(|at| at < until);
        let has_key = || of.key.is_some_and(|key| self.keys.contains(&KeyHash::of(key)));
        (self.reasons.is_empty() || self.reasons.contains(of.reason))
            && self.since.is_none_or(is_since)
            && self.until.is_none_or(is_before)
            && (self.keys.is_empty() || has_key())
    }

    pub fn matches_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it matches every dead letter that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        includes(&self.reasons, &other.reasons)
            && includes(&self.keys, &other.keys)
            && self.since.is_none_or(|since| other.since.is_some_and(|it| it >= since))
            && self.until.is_none_or(|until| other.until.is_some_and(|it| it <= until))
    }
}

/// Whether a filter by `wide` lets everything through that one by `narrow` does. An empty set lets
/// everything through.
fn includes<T: Ord>(wide: &BTreeSet<T>, narrow: &BTreeSet<T>) -> bool {
    wide.is_empty() || !narrow.is_empty() && narrow.is_subset(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(reasons: &[&str], since: Option<i64>, until: Option<i64>) -> Filter {
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        Filter { reasons, since, until, ..Filter::default() }
    }

    fn of(reason: &str, timestamp: Option<i64>) -> Traits<'_> {
        Traits { reason, timestamp, key: None }
    }

    fn keyed(keys: &[&str]) -> Filter {
        let keys = keys.iter().map(|key| KeyHash::of(key.as_bytes())).collect();
        Filter { keys, ..Filter::default() }
    }

    #[test]
    fn a_filter_matches_its_reasons_within_its_times() {
        let some = filter(&["tombstone", "internal"], Some(10), Some(20));
        assert!(some.matches(of("internal", Some(10))) && some.matches(of("tombstone", Some(19))));
        assert!(!some.matches(of("internal", Some(9))) && !some.matches(of("internal", Some(20))));
        assert!(!some.matches(of("malformed_json", Some(15))));
        assert!(!some.matches(of("internal", None)));
        assert!(Filter::default().matches(of("anything", None)));
    }

    #[test]
    fn a_filter_of_keys_matches_each_of_them_and_stores_none() {
        let filter = keyed(&["3273010101900001", "b"]);
        let matches = |key| filter.matches(Traits { key, ..of("internal", None) });
        assert!(matches(Some(b"b")) && matches(Some(b"3273010101900001")));
        assert!(!matches(Some(b"")) && !matches(Some(b"bb")) && !matches(None));
        assert!(!serde_json::to_string(&filter).unwrap().contains("3273"));
        let one = keyed(&["b"]);
        assert!(filter.covers(&one) && !one.covers(&filter));
        assert!(Filter::default().covers(&one) && !one.covers(&Filter::default()));
    }

    #[test]
    fn replays_are_counted_by_the_last_header_that_is_a_number() {
        let header = |name: &[u8], value: Option<&[u8]>| (name.to_vec(), value.map(<[u8]>::to_vec));
        for (values, expected) in [
            (&[][..], 0),
            (&[Some(&b"1"[..])], 1),
            (&[Some(b"4"), Some(b"2")], 2),
            (&[Some(b"2"), None], 0),
            (&[Some(b"-1")], 0),
            (&[Some(b"\xff")], 0),
        ] {
            let mut headers: Vec<_> = values.iter().map(|value| header(REPLAYS, *value)).collect();
            headers.push(header(b"other", Some(b"9")));
            assert_eq!(replays(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_filter_covers_narrower_filters_only() {
        let all = Filter::default();
        let wide = filter(&["a", "b"], Some(10), Some(20));
        let narrow = filter(&["a"], Some(12), Some(20));
        assert!(all.covers(&wide) && wide.covers(&narrow) && wide.covers(&wide));
        assert!(!wide.covers(&all) && !narrow.covers(&wide));
        assert!(!wide.covers(&filter(&["a"], Some(9), Some(20))));
        assert!(!wide.covers(&filter(&["a"], Some(12), None)));
        assert!(!wide.covers(&filter(&[], Some(12), Some(20))));
    }
}
