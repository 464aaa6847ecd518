//! What of a partition was replayed: a mark, and above it rules, as filters leave gaps.
//!
//! The mark is the group's committed offset: below it nothing is left to replay. The rules are the note that the offset carries.

use serde::{Deserialize, Serialize};

use crate::kafka::dlq::letter::{Choice, DeadLetter};

/// What a note may hold. By default the brokers let a position carry 4096 bytes (`offset.metadata.max.bytes`), and the numbers in it
/// may grow on the way.
pub const NOTE_LIMIT: usize = 4000;

/// The failures in `from..to` that `choice` means were replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    from: i64,
    to: i64,
    choice: Choice,
}

/// What of one partition was replayed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Below it nothing is left to replay.
    pub mark: i64,
    rules: Vec<Rule>,
}

impl Progress {
    /// A committed position and its note; `None` if that is not one of ours.
    pub fn read(mark: i64, note: &str) -> Option<Self> {
        let rules = if note.is_empty() { Vec::new() } else { serde_json::from_str(note).ok()? };
        Some(Self { mark, rules })
    }

    /// The note that goes with the mark.
    pub fn note(&self) -> String {
        if self.rules.is_empty() {
            return String::new();
        }
        serde_json::to_string(&self.rules).expect("numbers and texts are JSON")
    }

    /// Whether this failure was replayed before.
    pub fn has(&self, letter: &DeadLetter) -> bool {
        self.has_at(letter.place.offset, &letter.reason, letter.timestamp)
    }

    fn has_at(&self, offset: i64, reason: &str, timestamp: Option<i64>) -> bool {
        offset < self.mark
            || self.rules.iter().any(|rule| {
                (rule.from..rule.to).contains(&offset) && rule.choice.holds(reason, timestamp)
            })
    }

    /// What is known once a run with `choice` has come to `cursor`.
    pub fn after(&self, cursor: Cursor, choice: &Choice) -> Self {
        let mut next = Self { mark: cursor.mark, rules: self.rules.clone() };
        if cursor.next > cursor.mark {
            next.rules.push(Rule { from: cursor.mark, to: cursor.next, choice: choice.clone() });
        }
        next.tidy();
        next
    }

    /// What is known after a run with `choice` up to `end` that leaves the first failure.
    pub fn after_gaps(&self, end: i64, choice: &Choice) -> Self {
        let (mark, next) = (self.mark, end);
        self.after(Cursor { mark, next }, choice)
    }

    /// Lets go of what the mark or another rule covers; joins what touches.
    fn tidy(&mut self) {
        let mut kept: Vec<Rule> = Vec::new();
        let mut rules = std::mem::take(&mut self.rules);
        for rule in &mut rules {
            rule.from = rule.from.max(self.mark);
        }
        rules.retain(|rule| rule.to > rule.from);
        rules.sort_by_key(|rule| rule.from);
        for rule in rules {
            match kept.iter_mut().find(|it| it.choice == rule.choice && it.to >= rule.from) {
                Some(joined) => joined.to = joined.to.max(rule.to),
                None => kept.push(rule),
            }
        }
        let covered = |rule: &Rule| {
            kept.iter().any(|it| {
                it.choice != rule.choice
                    && it.choice.covers(&rule.choice)
                    && it.from <= rule.from
                    && it.to >= rule.to
            })
        };
        self.rules = kept.iter().filter(|rule| !covered(rule)).cloned().collect();
    }
}

/// How far a run has come in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The first failure that is left, or `next`.
    mark: i64,
    /// What comes next.
    next: i64,
}

impl Cursor {
    /// At the beginning of a run.
    pub fn at(offset: i64) -> Self {
        Self { mark: offset, next: offset }
    }

    /// The record at `offset` is done: sent, sent before, or nothing that could ever be sent.
    pub fn pass(&mut self, offset: i64) {
        if self.mark == self.next {
            self.mark = offset + 1;
        }
        self.next = offset + 1;
    }

    /// The failure at `offset` is left to another run.
    pub fn leave(&mut self, offset: i64) {
        if self.mark == self.next {
            self.mark = offset;
        }
        self.next = offset + 1;
    }

    /// Nothing more stands before `end`.
    pub fn finish(&mut self, end: i64) {
        if end > self.next {
            self.pass(end - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn choice(reasons: &[&str]) -> Choice {
        Choice {
            reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
            ..Choice::default()
        }
    }

    const REASONS: [&str; 3] = ["internal", "malformed_json", "tombstone"];

    /// One run over a partition whose failure at offset n has reason n modulo 3 and time n; what it sends.
    fn run(progress: &mut Progress, end: i64, limit: usize, choice: &Choice) -> Vec<i64> {
        let mut cursor = Cursor::at(progress.mark);
        let mut sent = Vec::new();
        for offset in progress.mark..end {
            let reason = REASONS[usize::try_from(offset % 3).unwrap()];
            if progress.has_at(offset, reason, Some(offset)) {
                cursor.pass(offset);
            } else if choice.holds(reason, Some(offset)) {
                if sent.len() == limit {
                    break;
                }
                sent.push(offset);
                cursor.pass(offset);
            } else {
                cursor.leave(offset);
            }
        }
        *progress = progress.after(cursor, choice);
        // It comes back from the brokers as a text.
        *progress = Progress::read(progress.mark, &progress.note()).unwrap();
        sent
    }

    #[test]
    fn without_a_filter_the_mark_says_it_all() {
        let mut progress = Progress::default();
        assert_eq!(run(&mut progress, 9, 5, &Choice::default()).len(), 5);
        assert_eq!((progress.mark, progress.note().as_str()), (5, ""));
        run(&mut progress, 9, 99, &choice(&["tombstone"]));
        run(&mut progress, 9, 99, &Choice::default());
        assert_eq!((progress.mark, progress.note().as_str()), (9, ""));
    }

    #[test]
    fn a_filter_is_noted_and_forgotten_once_the_mark_has_passed_it() {
        let mut progress = Progress::default();
        assert_eq!(run(&mut progress, 9, 99, &choice(&["tombstone"])), [2, 5, 8]);
        let note = r#"[{"from":0,"to":9,"choice":{"reasons":["tombstone"]}}]"#;
        assert_eq!((progress.mark, progress.note().as_str()), (0, note));
        assert_eq!(run(&mut progress, 12, 99, &choice(&["tombstone"])), [11]);
        let note = r#"[{"from":0,"to":12,"choice":{"reasons":["tombstone"]}}]"#;
        assert_eq!(progress.note(), note);
        assert_eq!(run(&mut progress, 9, 99, &choice(&["internal"])), [0, 3, 6]);
        let others = choice(&["malformed_json", "internal"]);
        assert_eq!(run(&mut progress, 12, 99, &others), [1, 4, 7, 9, 10]);
        assert_eq!((progress.mark, progress.note().as_str()), (12, ""));
    }

    #[test]
    fn a_note_of_somebody_else_is_told_apart() {
        for note in ["x", "{}", r#"[{"from":0}]"#, r#"[{"from":0,"to":1,"choice":{},"new":2}]"#] {
            assert_eq!(Progress::read(3, note), None, "{note}");
        }
    }

    proptest! {
        #[test]
        fn whatever_filters_come_after_each_other_nothing_is_sent_twice_and_all_in_the_end(
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
                let choice = Choice { reasons, since, until };
                sent.extend(run(&mut progress, end, limit, &choice));
            }
            sent.extend(run(&mut progress, 40, 99, &Choice::default()));
            sent.sort_unstable();
            prop_assert_eq!(sent, (0..40).collect::<Vec<_>>());
            prop_assert_eq!(progress.note(), "");
        }
    }
}
