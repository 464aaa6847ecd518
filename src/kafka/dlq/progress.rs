//! What was replayed of a partition of the failures topic.
//!
//! The replay group's committed offset is the offset below which nothing is left to replay. Filters
//! leave gaps above it: its metadata lists, as rules, what was replayed there.

use std::collections::BTreeMap;

use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};

use crate::kafka::client::reader::Reader;
use crate::kafka::dlq::dead_letter::{DeadLetter, Filter};
use crate::kafka::dlq::error::DlqError;

/// The longest metadata that is committed, in bytes. The brokers accept 4096 by default
/// (`offset.metadata.max.bytes`); the rest is a reserve, as the offsets in it grow while a replay
/// runs.
pub const METADATA_LIMIT: usize = 4000;

/// The dead letters in `from..to` that match the filter were replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    from: i64,
    to: i64,
    #[serde(rename = "choice")]
    filter: Filter,
}

/// What was replayed of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Below this offset nothing is left to replay.
    pub committed: i64,
    rules: Vec<Rule>,
}

/// Reads the progress of these partitions, with the reader's group. Waits for the transaction of a
/// replay that crashed.
pub fn load(
    reader: &Reader,
    topic: &str,
    partitions: &[i32],
) -> Result<BTreeMap<i32, Progress>, DlqError> {
    let committed = reader.committed(topic, partitions)?;
    let mut all = BTreeMap::new();
    for element in committed.elements() {
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => 0, // nothing is committed
        };
        let partition = element.partition();
        let progress = Progress::parse(offset, element.metadata()).ok_or_else(|| {
            DlqError::UnknownMetadata { group: reader.group().to_owned(), partition }
        })?;
        all.insert(partition, progress);
    }
    Ok(all)
}

impl Progress {
    /// From a committed offset and its metadata; `None` if another program wrote the metadata.
    fn parse(committed: i64, metadata: &str) -> Option<Self> {
        let rules = match metadata {
            "" => Vec::new(),
            metadata => serde_json::from_str(metadata).ok()?,
        };
        Some(Self { committed, rules })
    }

    /// The metadata to commit with the offset.
    pub fn metadata(&self) -> String {
        if self.rules.is_empty() {
            return String::new();
        }
        serde_json::to_string(&self.rules).expect("numbers and strings are valid JSON")
    }

    pub fn is_replayed(&self, dead_letter: &DeadLetter) -> bool {
        self.is_replayed_at(dead_letter.position.offset, &dead_letter.reason, dead_letter.timestamp)
    }

    fn is_replayed_at(&self, offset: i64, reason: &str, timestamp: Option<i64>) -> bool {
        offset < self.committed
            || self.rules.iter().any(|rule| {
                (rule.from..rule.to).contains(&offset) && rule.filter.matches(reason, timestamp)
            })
    }

    /// The progress once a run with this filter has reached `cursor`.
    pub fn advanced(&self, cursor: Cursor, filter: &Filter) -> Self {
        let mut next = Self { committed: cursor.done_below, rules: self.rules.clone() };
        if cursor.next > cursor.done_below {
            let (from, to, filter) = (cursor.done_below, cursor.next, filter.clone());
            next.rules.push(Rule { from, to, filter });
        }
        next.compact();
        next
    }

    /// The progress after a run up to `end` whose filter leaves out the first dead letter. No other
    /// run with this filter needs longer metadata.
    pub fn with_gaps_until(&self, end: i64, filter: &Filter) -> Self {
        self.advanced(Cursor { done_below: self.committed, next: end }, filter)
    }

    /// Removes rules that the committed offset or another rule covers, and joins adjacent ones.
    fn compact(&mut self) {
        let mut joined: Vec<Rule> = Vec::new();
        let mut rules = std::mem::take(&mut self.rules);
        for rule in &mut rules {
            rule.from = rule.from.max(self.committed);
        }
        rules.retain(|rule| rule.to > rule.from);
        rules.sort_by_key(|rule| rule.from);
        for rule in rules {
            match joined.iter_mut().find(|it| it.filter == rule.filter && it.to >= rule.from) {
                Some(adjacent) => adjacent.to = adjacent.to.max(rule.to),
                None => joined.push(rule),
            }
        }
        let is_covered = |rule: &Rule| {
            joined.iter().any(|it| {
                it.filter != rule.filter
                    && it.filter.covers(&rule.filter)
                    && it.from <= rule.from
                    && it.to >= rule.to
            })
        };
        self.rules = joined.iter().filter(|rule| !is_covered(rule)).cloned().collect();
    }
}

/// How far a run has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The first dead letter that was left out, or `next` if there is none.
    done_below: i64,
    next: i64,
}

impl Cursor {
    /// At the start of a run.
    pub fn at(offset: i64) -> Self {
        Self { done_below: offset, next: offset }
    }

    /// Records that the record at `offset` is done: it was sent, now or before, or can never be
    /// sent.
    pub fn mark_done(&mut self, offset: i64) {
        if self.done_below == self.next {
            self.done_below = offset + 1;
        }
        self.next = offset + 1;
    }

    /// Records that the dead letter at `offset` is left to another run.
    pub fn leave_out(&mut self, offset: i64) {
        if self.done_below == self.next {
            self.done_below = offset;
        }
        self.next = offset + 1;
    }

    /// Records that everything before `end` was read.
    pub fn finish(&mut self, end: i64) {
        if end > self.next {
            self.mark_done(end - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(reasons: &[&str]) -> Filter {
        Filter {
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            ..Filter::default()
        }
    }

    const REASONS: [&str; 3] = ["internal", "malformed_json", "tombstone"];

    /// Replays a partition whose dead letter at offset n has reason n modulo 3 and timestamp n;
    /// returns what it sends.
    fn run(progress: &mut Progress, end: i64, limit: usize, filter: &Filter) -> Vec<i64> {
        let mut cursor = Cursor::at(progress.committed);
        let mut sent = Vec::new();
        for offset in progress.committed..end {
            let reason = REASONS[usize::try_from(offset % 3).unwrap()];
            if progress.is_replayed_at(offset, reason, Some(offset)) {
                cursor.mark_done(offset);
            } else if filter.matches(reason, Some(offset)) {
                if sent.len() == limit {
                    break;
                }
                sent.push(offset);
                cursor.mark_done(offset);
            } else {
                cursor.leave_out(offset);
            }
        }
        *progress = progress.advanced(cursor, filter);
        // The brokers store it as a string.
        *progress = Progress::parse(progress.committed, &progress.metadata()).unwrap();
        sent
    }

    #[test]
    fn without_a_filter_the_committed_offset_is_enough() {
        let mut progress = Progress::default();
        assert_eq!(run(&mut progress, 9, 5, &Filter::default()).len(), 5);
        assert_eq!((progress.committed, progress.metadata().as_str()), (5, ""));
        run(&mut progress, 9, 99, &filter(&["tombstone"]));
        run(&mut progress, 9, 99, &Filter::default());
        assert_eq!((progress.committed, progress.metadata().as_str()), (9, ""));
    }

    #[test]
    fn a_rule_is_dropped_once_the_committed_offset_has_passed_it() {
        let mut progress = Progress::default();
        assert_eq!(run(&mut progress, 9, 99, &filter(&["tombstone"])), [2, 5, 8]);
        let metadata = r#"[{"from":0,"to":9,"choice":{"reasons":["tombstone"]}}]"#;
        assert_eq!((progress.committed, progress.metadata().as_str()), (0, metadata));
        assert_eq!(run(&mut progress, 12, 99, &filter(&["tombstone"])), [11]);
        let metadata = r#"[{"from":0,"to":12,"choice":{"reasons":["tombstone"]}}]"#;
        assert_eq!(progress.metadata(), metadata);
        assert_eq!(run(&mut progress, 9, 99, &filter(&["internal"])), [0, 3, 6]);
        let others = filter(&["malformed_json", "internal"]);
        assert_eq!(run(&mut progress, 12, 99, &others), [1, 4, 7, 9, 10]);
        assert_eq!((progress.committed, progress.metadata().as_str()), (12, ""));
    }

    #[test]
    fn metadata_of_another_program_is_recognized() {
        for metadata in ["x", "{}", r#"[{"from":0}]"#, r#"[{"from":0,"to":1,"choice":{},"new":2}]"#]
        {
            assert_eq!(Progress::parse(3, metadata), None, "{metadata}");
        }
    }

    proptest! {
        #[test]
        fn any_sequence_of_filters_sends_everything_once(
            runs in prop::collection::vec(
                (1..40_i64, 0..12_usize, 0..8_usize, prop::option::of(0..40_i64), prop::option::of(0..40_i64)),
                0..12,
            )
        ) {
            let mut progress = Progress::default();
            let mut sent = Vec::new();
            for (end, limit, mask, since, until) in runs {
                let reasons = (0..3).filter(|bit| mask & (1 << bit) != 0);
                let reasons = reasons.map(|bit| REASONS[bit].to_owned()).collect();
                let filter = Filter { reasons, since, until };
                sent.extend(run(&mut progress, end, limit, &filter));
            }
            sent.extend(run(&mut progress, 40, 99, &Filter::default()));
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..40).collect::<Vec<_>>());
            prop_assert_eq!(progress.metadata(), "");
        }
    }
}
