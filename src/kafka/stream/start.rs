//! Where a partition starts: one pure decision from everything that is known about it.
//!
//! Neither the brokers nor librdkafka decide this. A coordinator may answer with positions of a
//! minute before and without an error (Kafka 4.3.1, an only broker killed twice), positions expire,
//! logs are truncated, and a topic may be deleted and created again under a running consumer.

use super::standing::Standing;

/// The id that Kafka gives a topic when it is created, in its usual text form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub String);

/// A position, and what was written down with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// The leader epoch of the last record before `offset`, if it is known. By it librdkafka
    /// notices that the log was truncated.
    pub leader_epoch: Option<i32>,
    /// The topic that the offset belongs to; `None` for positions that other programs committed,
    /// and from brokers without topic ids.
    pub topic_id: Option<TopicId>,
    /// When an operator last set this partition's position, in milliseconds since 1970, or 0. Each
    /// later commit repeats it, so that it tells a position set back on purpose from an old one.
    pub reset_ms: i64,
}

/// The first offset that can be read, and the one after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub low: i64,
    pub high: i64,
}

/// Everything that is known about a partition before it is read.
#[derive(Clone, Debug)]
pub struct Known {
    /// The group's committed offset.
    pub group: Option<Committed>,
    /// What this process itself committed last.
    pub own: Option<Committed>,
    pub ledger: Ledger,
    pub watermarks: Watermarks,
    /// The topic that has the name now.
    pub topic_id: Option<TopicId>,
}

/// What the ledger of positions says about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// No ledger is kept, or it has no such partition.
    NotKept,
    NoEntry,
    Entry(Committed),
}

/// What is decided about a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is read from this position on.
    At { position: Committed, notices: Vec<Notice> },
    /// It must not be read until an operator has decided or the cluster answers differently.
    Standing(Standing),
}

/// What operators must know about a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The group's position is older than what this process committed (`own`); the partition
    /// continues from that.
    GroupBehind { group: Option<i64>, own: i64 },
    /// The position belongs to a deleted topic of the same name; the new one is read from its
    /// beginning.
    OtherTopic { committed: i64 },
    /// The ledger has no entry yet; the group's position is taken over.
    Adopted { group: i64 },
    /// The group's position is older than the ledger's, or missing; the partition continues from
    /// the ledger's.
    BehindLedger { group: Option<i64>, ledger: i64 },
    /// The ledger's entry is older than what this process committed (`own`); the partition
    /// continues from that.
    LedgerBehindOwn { ledger: i64, own: i64 },
    /// The ledger's entry belongs to another topic of the same name, so it says nothing about this
    /// one.
    LedgerOtherTopic { ledger: i64 },
    /// Retention deleted the records from `from` up to `to` before they were read.
    LostToRetention { from: i64, to: i64 },
}

impl Notice {
    /// The kind under which a difference between the group and the ledger is counted.
    pub fn ledger_difference(&self) -> Option<&'static str> {
        match self {
            Self::GroupBehind { group, .. } | Self::BehindLedger { group, .. } => {
                Some(if group.is_some() { "behind" } else { "missing" })
            }
            // Relative to the ledger: what this process committed is ahead of it.
            Self::LedgerBehindOwn { .. } => Some("ahead"),
            Self::LedgerOtherTopic { .. } => Some("other_topic"),
            Self::OtherTopic { .. } | Self::Adopted { .. } | Self::LostToRetention { .. } => None,
        }
    }
}

impl Committed {
    /// A position of which only the offset is known.
    pub fn at(offset: i64) -> Self {
        Self { offset, leader_epoch: None, topic_id: None, reset_ms: 0 }
    }

    /// Of two positions in one topic, the later one has the greater key: the operator's last reset
    /// decides, and between positions since the same reset the offset.
    pub fn key(&self) -> (i64, i64) {
        (self.reset_ms, self.offset)
    }
}

impl Known {
    /// Whether the group's answer is older than what this process committed. The coordinator may
    /// not have loaded its state yet, so it is worth asking again.
    pub fn group_is_behind(&self) -> bool {
        let Some(own) = self.own.as_ref().filter(|own| self.is_of_this_topic(own)) else {
            return false;
        };
        match &self.group {
            None => true,
            Some(group) if !self.is_of_this_topic(group) => true,
            // What an operator set since then overrides.
            Some(group) => group.key() < own.key(),
        }
    }

    fn is_of_this_topic(&self, position: &Committed) -> bool {
        match (&position.topic_id, &self.topic_id) {
            (Some(then), Some(now)) => then == now,
            // Without ids there is nothing to tell topics apart by.
            _ => true,
        }
    }

    /// Compares `latest`, which is the group's position or this process's own, with the ledger;
    /// returns the position to use.
    fn compared_with_ledger(
        &self,
        latest: Option<Committed>,
        notices: &mut Vec<Notice>,
    ) -> Result<Option<Committed>, Standing> {
        let position = latest.as_ref().filter(|it| self.is_of_this_topic(it));
        let entry = match &self.ledger {
            Ledger::NotKept => return Ok(latest),
            Ledger::NoEntry => {
                notices.extend(position.map(|it| Notice::Adopted { group: it.offset }));
                return Ok(latest);
            }
            Ledger::Entry(entry) => entry,
        };
        let ledger = entry.offset;
        if !self.is_of_this_topic(entry) {
            // Without an id nothing shows to which of the topics the position belongs.
            if let Some(Committed { offset: group, topic_id: None, .. }) = position {
                return Err(Standing::LedgerOtherTopic { group: *group, ledger });
            }
            notices.push(Notice::LedgerOtherTopic { ledger });
            return Ok(latest);
        }
        match position {
            Some(position) if position.key() == entry.key() => Ok(latest),
            // The operator set the group's position after the entry was written.
            Some(position) if position.reset_ms > entry.reset_ms => Ok(latest),
            Some(position) if position.key() > entry.key() => {
                let group = position.offset;
                if !self.group_is_behind() {
                    return Err(Standing::AheadOfLedger { group, ledger });
                }
                notices.push(Notice::LedgerBehindOwn { ledger, own: group });
                Ok(latest)
            }
            _ => {
                let group = position.map(|it| it.offset);
                notices.push(Notice::BehindLedger { group, ledger });
                Ok(Some(entry.clone()))
            }
        }
    }
}

/// Decides where a partition starts.
pub fn decide(known: &Known) -> Start {
    let Watermarks { low, high } = known.watermarks;
    let mut notices = Vec::new();
    let latest = if known.group_is_behind() {
        notices.extend(known.own.as_ref().map(|own| Notice::GroupBehind {
            group: known.group.as_ref().map(|group| group.offset),
            own: own.offset,
        }));
        known.own.clone()
    } else {
        known.group.clone()
    };
    let latest = match known.compared_with_ledger(latest, &mut notices) {
        Ok(latest) => latest,
        Err(standing) => return Start::Standing(standing),
    };
    let mut position = match latest {
        Some(position) if known.is_of_this_topic(&position) => position,
        other => {
            // Kafka deletes the group's position together with the topic. Then only our own shows
            // that there was another topic.
            let other = other.or_else(|| known.own.clone());
            notices.extend(other.map(|it| Notice::OtherTopic { committed: it.offset }));
            Committed::at(low)
        }
    };
    if position.offset > high {
        return Start::Standing(Standing::BeyondEnd { committed: position.offset, end: high });
    }
    if position.offset < low {
        notices.push(Notice::LostToRetention { from: position.offset, to: low });
        // The epoch belongs to a record that is gone.
        (position.offset, position.leader_epoch) = (low, None);
    }
    position.topic_id.clone_from(&known.topic_id);
    Start::At { position, notices }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: i64 = 2;
    const HIGH: i64 = 6;

    fn positions() -> Vec<Option<Committed>> {
        let mut all = vec![None];
        for offset in [0, LOW, 3, 4, HIGH, 7] {
            for topic_id in [None, Some("now"), Some("then")] {
                for reset_ms in [0, 1] {
                    all.push(Some(Committed {
                        offset,
                        leader_epoch: Some(5),
                        topic_id: topic_id.map(|id| TopicId(id.to_owned())),
                        reset_ms,
                    }));
                }
            }
        }
        all
    }

    fn all_known() -> impl Iterator<Item = Known> {
        positions().into_iter().flat_map(|group| {
            positions().into_iter().flat_map(move |own| {
                let group = group.clone();
                [None, Some(TopicId("now".to_owned()))].map(|topic_id| Known {
                    group: group.clone(),
                    own: own.clone(),
                    ledger: Ledger::NotKept,
                    watermarks: Watermarks { low: LOW, high: HIGH },
                    topic_id,
                })
            })
        })
    }

    /// The position, if it belongs to the topic that has the name now.
    fn usable(known: &Known, position: Option<&Committed>) -> Option<Committed> {
        position.cloned().filter(|it| {
            it.topic_id.is_none() || known.topic_id.is_none() || it.topic_id == known.topic_id
        })
    }

    #[test]
    fn a_partition_never_starts_outside_of_the_log_nor_behind_its_own_position() {
        for known in all_known() {
            let (group, own) =
                (usable(&known, known.group.as_ref()), usable(&known, known.own.as_ref()));
            let Start::At { position, .. } = decide(&known) else { continue };
            let context = format!("{known:?} {position:?}");
            assert!((LOW..=HIGH).contains(&position.offset), "{context}");
            assert_eq!(position.topic_id, known.topic_id, "{context}");
            let Some(own) = own else { continue };
            // Only an operator's later word, or a topic that replaced this one, leads back.
            let word = group.filter(|group| group.reset_ms > own.reset_ms);
            let expected = word.map_or(own.offset, |group| group.offset);
            assert!(position.offset >= expected, "{context}");
        }
    }

    #[test]
    fn a_partition_stands_if_and_only_if_the_latest_position_is_beyond_the_end() {
        for known in all_known() {
            let latest = if known.group_is_behind() { &known.own } else { &known.group };
            let beyond = usable(&known, latest.as_ref()).filter(|it| it.offset > HIGH);
            let expected = beyond.map(|it| Standing::BeyondEnd { committed: it.offset, end: HIGH });
            let standing = match decide(&known) {
                Start::Standing(reason) => Some(reason),
                Start::At { .. } => None,
            };
            assert_eq!(standing, expected, "{known:?}");
        }
    }

    #[test]
    fn records_are_passed_over_or_repeated_only_with_a_notice() {
        for known in all_known() {
            let Start::At { position, notices } = decide(&known) else { continue };
            let group = known.group.as_ref().map(|it| it.offset);
            let expected = group.unwrap_or(LOW);
            assert_eq!(
                notices.is_empty(),
                {
                    let same_topic = usable(&known, known.group.as_ref()) == known.group;
                    let only_own = known.group.is_none() && known.own.is_some();
                    position.offset == expected
                        && same_topic
                        && !known.group_is_behind()
                        && !only_own
                },
                "{known:?} {notices:?}"
            );
            for notice in notices {
                match notice {
                    Notice::GroupBehind { group: told, own } => {
                        assert_eq!(
                            (told, Some(own)),
                            (group, known.own.as_ref().map(|it| it.offset))
                        );
                    }
                    Notice::OtherTopic { committed } => {
                        let own = known.own.as_ref().map(|it| it.offset);
                        assert_eq!((Some(committed), position.offset), (group.or(own), LOW));
                    }
                    Notice::LostToRetention { from, to } => {
                        assert!(from < to && to == position.offset && to == LOW);
                        assert_eq!(position.leader_epoch, None);
                    }
                    notice => panic!("{notice:?} without a ledger"),
                }
            }
        }
    }

    #[test]
    fn the_group_is_behind_only_if_it_lacks_or_precedes_what_this_process_committed() {
        let at = |offset, reset_ms| Some(Committed { reset_ms, ..Committed::at(offset) });
        for (group, own, is_behind) in [
            (None, None, false),
            (at(3, 0), None, false),
            (None, at(3, 0), true),
            (at(2, 0), at(3, 0), true),
            (at(3, 0), at(3, 0), false),
            (at(4, 0), at(3, 0), false),
            (at(2, 1), at(3, 0), false),
            (at(4, 0), at(3, 1), true),
        ] {
            let watermarks = Watermarks { low: LOW, high: HIGH };
            let known = Known { group, own, ledger: Ledger::NotKept, watermarks, topic_id: None };
            assert_eq!(known.group_is_behind(), is_behind, "{known:?}");
        }
    }

    #[test]
    fn each_difference_from_the_ledger_is_counted_under_its_kind() {
        for (notice, kind) in [
            (Notice::GroupBehind { group: Some(3), own: 5 }, Some("behind")),
            (Notice::GroupBehind { group: None, own: 5 }, Some("missing")),
            (Notice::BehindLedger { group: Some(3), ledger: 5 }, Some("behind")),
            (Notice::BehindLedger { group: None, ledger: 5 }, Some("missing")),
            (Notice::LedgerBehindOwn { ledger: 3, own: 5 }, Some("ahead")),
            (Notice::LedgerOtherTopic { ledger: 3 }, Some("other_topic")),
            (Notice::OtherTopic { committed: 3 }, None),
            (Notice::Adopted { group: 3 }, None),
            (Notice::LostToRetention { from: 3, to: 5 }, None),
        ] {
            assert_eq!(notice.ledger_difference(), kind, "{notice:?}");
        }
    }

    #[test]
    fn without_a_position_the_partition_starts_at_its_beginning() {
        let watermarks = Watermarks { low: LOW, high: HIGH };
        let ledger = Ledger::NotKept;
        let known = Known { group: None, own: None, ledger, watermarks, topic_id: None };
        let position = Committed::at(LOW);
        assert_eq!(decide(&known), Start::At { position, notices: Vec::new() });
    }

    /// Every combination of a group's position, an own one and an entry.
    fn all_with_ledger() -> impl Iterator<Item = Known> {
        all_known().flat_map(|known| {
            positions().into_iter().map(move |entry| {
                let ledger = entry.map_or(Ledger::NoEntry, Ledger::Entry);
                Known { ledger, ..known.clone() }
            })
        })
    }

    fn entry(known: &Known) -> Option<Committed> {
        match &known.ledger {
            Ledger::Entry(entry) => usable(known, Some(entry)),
            _ => None,
        }
    }

    #[test]
    fn a_partition_never_starts_behind_the_ledger_without_a_later_word_of_the_operator() {
        for known in all_with_ledger() {
            let (Some(entry), Start::At { position, .. }) = (entry(&known), decide(&known)) else {
                continue;
            };
            let later = [&known.group, &known.own].into_iter().any(|it| {
                usable(&known, it.as_ref()).is_some_and(|it| it.reset_ms > entry.reset_ms)
            });
            assert!(later || position.offset >= entry.offset, "{known:?} {position:?}");
        }
    }

    #[test]
    fn records_are_passed_over_only_if_the_ledger_this_process_or_the_operator_says_so() {
        for known in all_with_ledger() {
            let Start::At { position, .. } = decide(&known) else { continue };
            let Some(entry) = entry(&known) else { continue };
            if position.offset > entry.offset.max(LOW) {
                let own = usable(&known, known.own.as_ref())
                    .is_some_and(|own| own.offset == position.offset);
                assert!(own || position.reset_ms > entry.reset_ms, "{known:?} {position:?}");
            }
        }
    }

    #[test]
    fn a_ledger_that_agrees_or_has_no_entry_changes_nothing() {
        for known in all_known() {
            let without = decide(&known);
            let empty = decide(&Known { ledger: Ledger::NoEntry, ..known.clone() });
            match (&without, &empty) {
                (Start::At { position, .. }, Start::At { position: same, .. }) => {
                    assert_eq!(position, same);
                }
                _ => assert_eq!(without, empty),
            }
            let group = usable(&known, known.group.as_ref());
            if let Some(group) = group.filter(|_| !known.group_is_behind()) {
                let agreeing = Known { ledger: Ledger::Entry(group), ..known };
                assert_eq!(decide(&agreeing), without);
            }
        }
    }

    #[test]
    fn a_position_that_an_operator_set_after_the_entry_was_written_overrides_it() {
        for (offset, entry) in [(3, 5), (5, 3), (4, 4)] {
            let group = Committed { reset_ms: 1, ..Committed::at(offset) };
            let known = Known {
                group: Some(group.clone()),
                own: None,
                ledger: Ledger::Entry(Committed::at(entry)),
                watermarks: Watermarks { low: LOW, high: HIGH },
                topic_id: None,
            };
            assert_eq!(decide(&known), Start::At { position: group, notices: Vec::new() });
        }
    }

    #[test]
    fn each_difference_has_its_decision() {
        let id = |id: &str| Some(TopicId(id.to_owned()));
        let at = |offset, topic_id: Option<TopicId>, reset_ms| {
            Some(Committed { topic_id, reset_ms, ..Committed::at(offset) })
        };
        let start = |offset, reset_ms, notice| Start::At {
            position: at(offset, id("now"), reset_ms).unwrap(),
            notices: Vec::from([notice]),
        };
        let (group, ledger) = (3, 5);
        for (position, entry, expected) in [
            (
                at(3, id("now"), 0),
                at(5, id("now"), 0),
                start(5, 0, Notice::BehindLedger { group: Some(3), ledger: 5 }),
            ),
            // A tool of Kafka's set the position, which drops the topic's id.
            (
                at(3, None, 0),
                at(5, id("now"), 0),
                start(5, 0, Notice::BehindLedger { group: Some(3), ledger: 5 }),
            ),
            (
                None,
                at(5, id("now"), 0),
                start(5, 0, Notice::BehindLedger { group: None, ledger: 5 }),
            ),
            (
                at(5, id("now"), 0),
                at(3, id("now"), 0),
                Start::Standing(Standing::AheadOfLedger { group: 5, ledger: 3 }),
            ),
            // The operator set it back, and the group's coordinator forgot it.
            (
                at(5, id("now"), 0),
                at(3, id("now"), 1),
                start(3, 1, Notice::BehindLedger { group: Some(5), ledger: 3 }),
            ),
            (None, at(5, id("then"), 0), start(LOW, 0, Notice::LedgerOtherTopic { ledger: 5 })),
            // An entry that was copied from another cluster.
            (
                at(3, id("now"), 0),
                at(5, id("then"), 0),
                start(3, 0, Notice::LedgerOtherTopic { ledger: 5 }),
            ),
            (
                at(3, None, 0),
                at(5, id("then"), 0),
                Start::Standing(Standing::LedgerOtherTopic { group, ledger }),
            ),
        ] {
            let known = Known {
                group: position,
                own: None,
                ledger: Ledger::Entry(entry.unwrap()),
                watermarks: Watermarks { low: LOW, high: HIGH },
                topic_id: id("now"),
            };
            assert_eq!(decide(&known), expected, "{known:?}");
        }
    }
}
