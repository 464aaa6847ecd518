//! What was replayed or dismissed of a partition of the failures topic.
//!
//! The replay group's committed offset is the offset below which nothing is left to replay. Filters
//! leave gaps above it: its metadata lists, as rules, what was replayed there. It also notes what was
//! dismissed, and why.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};

use crate::kafka::client::reader::Reader;
use crate::kafka::dlq::dead_letter::{Filter, Traits};
use crate::kafka::dlq::error::DlqError;

/// The longest metadata that is committed, in bytes. The brokers accept 4096 by default
/// (`offset.metadata.max.bytes`); the rest is a reserve, as the offsets in it grow while a replay
/// runs.
pub const METADATA_LIMIT: usize = 4000;

/// The dead letters in `from..to` that match the filter were replayed or dismissed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    from: i64,
    to: i64,
    #[serde(rename = "choice")]
    filter: Filter,
    /// Why they were dismissed; `None`: they were replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Rule {
    fn holds(&self, offset: i64, of: Traits<'_>) -> bool {
        (self.from..self.to).contains(&offset) && self.filter.matches(of)
    }
}

/// Which dead letters of a partition a run deals with, and how.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    pub filter: Filter,
    /// Only those at these offsets; `None`: at any.
    pub offsets: Option<BTreeSet<i64>>,
    /// Why they are dismissed; `None`: they are replayed.
    pub why: Option<String>,
}

impl Choice {
    pub fn has(&self, offset: i64, of: Traits<'_>) -> bool {
        self.offsets.as_ref().is_none_or(|offsets| offsets.contains(&offset))
            && self.filter.matches(of)
    }

    /// The rules for what this choice has between two offsets.
    fn rules(&self, from: i64, to: i64) -> Vec<Rule> {
        let rule = |from, to| Rule { from, to, filter: self.filter.clone(), why: self.why.clone() };
        match &self.offsets {
            _ if from >= to => Vec::new(),
            None => vec![rule(from, to)],
            Some(offsets) => offsets.range(from..to).map(|&at| rule(at, at + 1)).collect(),
        }
    }
}

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Replayed,
    /// With the reason that the operator gave.
    Dismissed(String),
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

    /// Whether an earlier run has replayed or dismissed this dead letter.
    pub fn is_done(&self, offset: i64, of: Traits<'_>) -> bool {
        offset < self.committed || self.rules.iter().any(|rule| rule.holds(offset, of))
    }

    /// What became of this dead letter, as far as the rules say.
    pub fn fate(&self, offset: i64, of: Traits<'_>) -> Fate {
        let mut rules = self.rules.iter().filter(|rule| rule.holds(offset, of));
        match rules.find_map(|rule| rule.why.clone()) {
            Some(why) => Fate::Dismissed(why),
            None if self.is_done(offset, of) => Fate::Replayed,
            None => Fate::Open,
        }
    }

    /// The progress once a run with this choice has come from `start` to `cursor`.
    pub fn advanced(&self, start: i64, cursor: Cursor, choice: &Choice) -> Self {
        let mut next = Self { committed: cursor.done_below, rules: self.rules.clone() };
        // Below the committed offset only dismissals are noted, for their reason.
        let from = if choice.why.is_some() { start } else { cursor.done_below };
        next.rules.extend(choice.rules(from, cursor.next));
        next.compact();
        next
    }

    /// The progress with the longest metadata that a run with this choice up to `end` can need:
    /// that of a run that leaves out the first dead letter.
    pub fn with_gaps_until(&self, end: i64, choice: &Choice) -> Self {
        let start = self.committed;
        self.advanced(start, Cursor { done_below: start, next: end }, choice)
    }

    /// Removes rules for dead letters before `start`, which retention has deleted.
    pub fn forget_before(&mut self, start: i64) {
        self.rules.retain(|rule| rule.to > start);
    }

    /// Removes rules that the committed offset or another rule covers, and joins adjacent ones.
    /// What was dismissed stays noted below the committed offset as long as there is room.
    fn compact(&mut self) {
        let mut joined: Vec<Rule> = Vec::new();
        let mut rules = std::mem::take(&mut self.rules);
        for rule in rules.iter_mut().filter(|rule| rule.why.is_none()) {
            rule.from = rule.from.max(self.committed);
        }
        rules.retain(|rule| rule.to > rule.from);
        rules.sort_by_key(|rule| rule.from);
        for rule in rules {
            let is_same = |it: &&mut Rule| it.filter == rule.filter && it.why == rule.why;
            match joined.iter_mut().filter(is_same).find(|it| it.to >= rule.from) {
                Some(adjacent) => adjacent.to = adjacent.to.max(rule.to),
                None => joined.push(rule),
            }
        }
        let is_covered = |rule: &Rule| {
            joined.iter().any(|it| {
                it.filter != rule.filter
                    && it.why == rule.why
                    && it.filter.covers(&rule.filter)
                    && it.from <= rule.from
                    && it.to >= rule.to
            })
        };
        self.rules = joined.iter().filter(|rule| !is_covered(rule)).cloned().collect();
        while self.metadata().len() > METADATA_LIMIT
            && let Some(oldest) = self.rules.iter().position(|rule| rule.to <= self.committed)
        {
            self.rules.remove(oldest);
        }
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
    use crate::kafka::dlq::dead_letter::KeyHash;

    fn filter(reasons: &[&str]) -> Choice {
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        Choice { filter: Filter { reasons, ..Filter::default() }, ..Choice::default() }
    }

    fn all() -> Choice {
        Choice::default()
    }

    const REASONS: [&str; 3] = ["internal", "malformed_json", "tombstone"];

    /// The dead letter at offset n has reason n modulo 3, timestamp n and key n modulo 4.
    fn of(offset: i64) -> (&'static str, [u8; 1]) {
        let index = |modulus| usize::try_from(offset % modulus).unwrap();
        (REASONS[index(3)], [u8::try_from(index(4)).unwrap()])
    }

    /// Replays or dismisses a partition; returns the offsets that it deals with.
    fn run(progress: &mut Progress, end: i64, limit: usize, choice: &Choice) -> Vec<i64> {
        let start = progress.committed;
        let mut cursor = Cursor::at(start);
        let mut sent = Vec::new();
        for offset in start..end {
            let (reason, key) = of(offset);
            let traits = Traits { reason, timestamp: Some(offset), key: Some(&key) };
            if progress.is_done(offset, traits) {
                cursor.mark_done(offset);
            } else if choice.has(offset, traits) {
                if sent.len() == limit {
                    break;
                }
                sent.push(offset);
                cursor.mark_done(offset);
            } else {
                cursor.leave_out(offset);
            }
        }
        *progress = progress.advanced(start, cursor, choice);
        // The brokers store it as a string.
        *progress = Progress::parse(progress.committed, &progress.metadata()).unwrap();
        sent
    }

    fn dismissed(why: &str) -> Fate {
        Fate::Dismissed(why.to_owned())
    }

    fn fate(progress: &Progress, offset: i64) -> Fate {
        let (reason, key) = of(offset);
        progress.fate(offset, Traits { reason, timestamp: Some(offset), key: Some(&key) })
    }

    #[test]
    fn without_a_filter_the_committed_offset_is_enough() {
        let mut progress = Progress::default();
        assert_eq!(run(&mut progress, 9, 5, &all()).len(), 5);
        assert_eq!((progress.committed, progress.metadata().as_str()), (5, ""));
        run(&mut progress, 9, 99, &filter(&["tombstone"]));
        run(&mut progress, 9, 99, &all());
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
    fn a_dismissal_stays_noted_with_its_reason_until_retention_has_deleted_what_it_is_about() {
        let mut progress = Progress::default();
        run(&mut progress, 3, 99, &all());
        let dismissal = Choice { why: Some("a test".to_owned()), ..filter(&["tombstone"]) };
        assert_eq!(run(&mut progress, 9, 99, &dismissal), [5, 8]);
        assert_eq!(fate(&progress, 5), dismissed("a test"));
        assert_eq!((fate(&progress, 4), fate(&progress, 2)), (Fate::Open, Fate::Replayed));
        assert_eq!(run(&mut progress, 9, 99, &all()), [3, 4, 6, 7]);
        assert_eq!(progress.committed, 9);
        assert_eq!((fate(&progress, 4), fate(&progress, 5)), (Fate::Replayed, dismissed("a test")));
        let rest = Choice { why: Some("old".to_owned()), ..all() };
        assert_eq!(run(&mut progress, 11, 99, &rest), [9, 10]);
        assert_eq!(fate(&progress, 10), dismissed("old"));
        progress.forget_before(9);
        assert_eq!((fate(&progress, 5), fate(&progress, 10)), (Fate::Replayed, dismissed("old")));
    }

    #[test]
    fn notes_of_old_dismissals_make_room_for_new_rules() {
        let mut progress = Progress::default();
        for end in 1..200 {
            let why = format!("{end:050}");
            run(&mut progress, end, 1, &Choice { why: Some(why), ..all() });
            assert!(progress.metadata().len() <= METADATA_LIMIT);
        }
        assert_eq!(progress.committed, 199);
        assert_eq!(fate(&progress, 0), Fate::Replayed);
        assert!(matches!(fate(&progress, 198), Fate::Dismissed(_)));
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
        fn any_sequence_of_choices_deals_with_everything_once(
            runs in prop::collection::vec(
                (
                    (1..40_i64, 0..12_usize, 0..8_usize, prop::option::of(0..40_i64), prop::option::of(0..40_i64)),
                    prop::option::of(prop::collection::btree_set(0..40_i64, 0..5)),
                    prop::collection::btree_set(0..4_u8, 0..3),
                    prop::option::of(Just("why".to_owned())),
                ),
                0..12,
            )
        ) {
            let mut progress = Progress::default();
            let mut done = Vec::new();
            let mut put_aside = Vec::new();
            for ((end, limit, mask, since, until), offsets, keys, why) in runs {
                let reasons = (0..3).filter(|bit| mask & (1 << bit) != 0);
                let reasons = reasons.map(|bit| REASONS[bit].to_owned()).collect();
                let keys = keys.into_iter().map(|key| KeyHash::of(&[key])).collect();
                let choice = Choice { filter: Filter { reasons, keys, since, until }, offsets, why };
                let some = run(&mut progress, end, limit, &choice);
                if choice.why.is_some() {
                    put_aside.extend(some.clone());
                }
                done.extend(some);
            }
            for &offset in &put_aside {
                prop_assert_eq!(fate(&progress, offset), dismissed("why"));
            }
            done.extend(run(&mut progress, 40, 99, &Choice::default()));
            done.sort_unstable();
            prop_assert_eq!(done, (0..40).collect::<Vec<_>>());
            progress.forget_before(40);
            prop_assert_eq!(progress.metadata(), "");
        }
    }
}
