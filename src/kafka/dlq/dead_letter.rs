//! A dead letter, and the filter by which operators choose some of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

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

/// Chooses dead letters by reason and time. It is stored in the metadata of committed offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Empty: any reason.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<String>,
    /// Inclusive; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Exclusive; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Filter {
    pub fn matches(&self, reason: &str, timestamp: Option<i64>) -> bool {
        let is_since = |since| timestamp.is_some_and(|at| at >= since);
        let is_before = |until| timestamp.is_some_and(|at| at < until);
        (self.reasons.is_empty() || self.reasons.contains(reason))
            && self.since.is_none_or(is_since)
            && self.until.is_none_or(is_before)
    }

    pub fn matches_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it matches every dead letter that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        let reasons = self.reasons.is_empty()
            || !other.reasons.is_empty() && other.reasons.is_subset(&self.reasons);
        reasons
            && self.since.is_none_or(|since| other.since.is_some_and(|it| it >= since))
            && self.until.is_none_or(|until| other.until.is_some_and(|it| it <= until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(reasons: &[&str], since: Option<i64>, until: Option<i64>) -> Filter {
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        Filter { reasons, since, until }
    }

    #[test]
    fn a_filter_matches_its_reasons_within_its_times() {
        let some = filter(&["tombstone", "internal"], Some(10), Some(20));
        assert!(some.matches("internal", Some(10)) && some.matches("tombstone", Some(19)));
        assert!(!some.matches("internal", Some(9)) && !some.matches("internal", Some(20)));
        assert!(!some.matches("malformed_json", Some(15)) && !some.matches("internal", None));
        assert!(Filter::default().matches("anything", None));
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
