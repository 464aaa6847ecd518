//! A dead letter: what its record says, and which of them an operator means.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A header's name and value, as bytes.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// Where a record stands in its topic, written `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

/// A text that is no place.
#[derive(Debug, thiserror::Error)]
#[error("a place is written PARTITION:OFFSET, as `nik-stream dlq list --each` prints it: 3:42")]
pub struct NotAPlace;

impl FromStr for Place {
    type Err = NotAPlace;

    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let (partition, offset) = text.split_once(':').ok_or(NotAPlace)?;
        let place = Self {
            partition: partition.parse().map_err(|_| NotAPlace)?,
            offset: offset.parse().map_err(|_| NotAPlace)?,
        };
        (place.partition >= 0 && place.offset >= 0).then_some(place).ok_or(NotAPlace)
    }
}

/// Where a request stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its topic.
    pub topic: String,
    /// Its place there.
    pub place: Place,
}

/// A failure, as its record tells of it.
#[derive(Clone)]
pub struct DeadLetter {
    /// Where it stands in the topic of failures.
    pub place: Place,
    /// The record's, which is the request's own; milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Where the request stood.
    pub request: Source,
    /// The group that could not process it.
    pub group: String,
    /// The reason in words.
    pub sentence: String,
    /// The reason: lower-case letters and underscores.
    pub reason: String,
    /// The request's key.
    pub key: Option<Vec<u8>>,
    /// The failure's payload.
    pub data: Option<Vec<u8>>,
    /// The request's value, if the failure holds it.
    pub original: Option<Vec<u8>>,
    /// The request's own headers.
    pub headers: Vec<Header>,
}

/// Which failures are meant, beside their partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Those of these reasons; of any, if it is empty.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<String>,
    /// Those from this time on; milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Those before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Choice {
    /// Whether it means a failure of this reason and time.
    pub fn holds(&self, reason: &str, timestamp: Option<i64>) -> bool {
        let from_then_on = |since| timestamp.is_some_and(|at| at >= since);
        let before = |until| timestamp.is_some_and(|at| at < until);
        (self.reasons.is_empty() || self.reasons.contains(reason))
            && self.since.is_none_or(from_then_on)
            && self.until.is_none_or(before)
    }

    /// Whether it means every failure.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it means all that `other` means.
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

    fn choice(reasons: &[&str], since: Option<i64>, until: Option<i64>) -> Choice {
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        Choice { reasons, since, until }
    }

    #[test]
    fn a_choice_means_its_reasons_within_its_times() {
        let some = choice(&["tombstone", "internal"], Some(10), Some(20));
        assert!(some.holds("internal", Some(10)) && some.holds("tombstone", Some(19)));
        assert!(!some.holds("internal", Some(9)) && !some.holds("internal", Some(20)));
        assert!(!some.holds("malformed_json", Some(15)) && !some.holds("internal", None));
        assert!(Choice::default().holds("anything", None));
    }

    #[test]
    fn a_choice_covers_what_is_narrower_and_nothing_else() {
        let all = Choice::default();
        let wide = choice(&["a", "b"], Some(10), Some(20));
        let narrow = choice(&["a"], Some(12), Some(20));
        assert!(all.covers(&wide) && wide.covers(&narrow) && wide.covers(&wide));
        assert!(!wide.covers(&all) && !narrow.covers(&wide));
        assert!(!wide.covers(&choice(&["a"], Some(9), Some(20))));
        assert!(!wide.covers(&choice(&["a"], Some(12), None)));
        assert!(!wide.covers(&choice(&[], Some(12), Some(20))));
    }

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        let place: Place = "3:42".parse().unwrap();
        assert_eq!((place.partition, place.offset), (3, 42));
        assert_eq!(place.to_string(), "3:42");
        for text in ["", "3", "3:", ":42", "3:x", "-3:42", "3:-42", "3:42:1"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
