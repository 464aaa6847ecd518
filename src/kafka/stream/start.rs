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
    /// The leader epoch of the last record before it, if it is known: by it a truncated log is
    /// noticed.
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
    pub watermarks: Watermarks,
    /// The topic that has the name now.
    pub topic_id: Option<TopicId>,
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
    /// The group's position is older than what this process committed; it continues from its own.
    GroupBehind { group: Option<i64>, own: i64 },
    /// The position belongs to a deleted topic of the same name; the new one is read from its
    /// beginning.
    OtherTopic { committed: i64 },
    /// Retention deleted the records from `from` up to `to` before they were read.
    LostToRetention { from: i64, to: i64 },
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
            Some(group) => (group.reset_ms, group.offset) < (own.reset_ms, own.offset),
        }
    }

    fn is_of_this_topic(&self, position: &Committed) -> bool {
        match (&position.topic_id, &self.topic_id) {
            (Some(then), Some(now)) => then == now,
            // Without ids there is nothing to tell topics apart by.
            _ => true,
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
    let mut position = match latest {
        Some(position) if known.is_of_this_topic(&position) => position,
        other => {
            notices.extend(other.map(|it| Notice::OtherTopic { committed: it.offset }));
            Committed { offset: low, leader_epoch: None, topic_id: None, reset_ms: 0 }
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
                    watermarks: Watermarks { low: LOW, high: HIGH },
                    topic_id,
                })
            })
        })
    }

    /// The position, if it belongs to the topic that has the name now.
    fn usable(known: &Known, position: &Option<Committed>) -> Option<Committed> {
        position.clone().filter(|it| {
            it.topic_id.is_none() || known.topic_id.is_none() || it.topic_id == known.topic_id
        })
    }

    #[test]
    fn a_partition_never_starts_outside_of_the_log_nor_behind_its_own_position() {
        for known in all_known() {
            let (group, own) = (usable(&known, &known.group), usable(&known, &known.own));
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
            let beyond = usable(&known, latest).filter(|it| it.offset > HIGH);
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
                    let same_topic = usable(&known, &known.group) == known.group;
                    position.offset == expected && same_topic && !known.group_is_behind()
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
                        assert_eq!((Some(committed), position.offset), (group, LOW));
                    }
                    Notice::LostToRetention { from, to } => {
                        assert!(from < to && to == position.offset && to == LOW);
                        assert_eq!(position.leader_epoch, None);
                    }
                }
            }
        }
    }

    #[test]
    fn without_a_position_the_partition_starts_at_its_beginning() {
        let watermarks = Watermarks { low: LOW, high: HIGH };
        let known = Known { group: None, own: None, watermarks, topic_id: None };
        let position = Committed { offset: LOW, leader_epoch: None, topic_id: None, reset_ms: 0 };
        assert_eq!(decide(&known), Start::At { position, notices: Vec::new() });
    }
}
