//! The positions that this process committed, and what it writes down with each.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::start::{Committed, TopicId};
use crate::kafka::client::native::offsets::PartitionOffset;

/// How the metadata of this program's commits begins.
const METADATA_PREFIX: &str = "nik-stream";

impl Committed {
    /// The group's answer for one partition; `None` if nothing is committed.
    pub fn of(entry: &PartitionOffset) -> Option<Self> {
        (entry.offset >= 0).then(|| {
            let mut fields = entry.metadata.split(' ');
            let is_own = fields.next() == Some(METADATA_PREFIX);
            let fields = || entry.metadata.split(' ').filter(|_| is_own);
            let field = |name| fields().find_map(|field| field.strip_prefix(name));
            Self {
                offset: entry.offset,
                leader_epoch: entry.leader_epoch,
                topic_id: field("topic=").map(|id| TopicId(id.to_owned())),
                reset_ms: field("reset=").and_then(|ms| ms.parse().ok()).unwrap_or(0),
            }
        })
    }

    /// What is committed for `partition`.
    pub fn entry(&self, partition: i32) -> PartitionOffset {
        let mut metadata = METADATA_PREFIX.to_owned();
        if let Some(TopicId(id)) = &self.topic_id {
            metadata += " topic=";
            metadata += id;
        }
        if self.reset_ms > 0 {
            metadata += " reset=";
            metadata += &self.reset_ms.to_string();
        }
        PartitionOffset {
            partition,
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata,
            error: None,
        }
    }
}

/// The highest position that this process committed in each partition. All workers share it: a
/// coordinator that has lost its latest state answers with older positions and without an error.
#[derive(Debug, Default)]
pub struct OwnPositions(Mutex<BTreeMap<i32, Committed>>);

impl OwnPositions {
    pub fn get(&self, partition: i32) -> Option<Committed> {
        self.0.lock().get(&partition).cloned()
    }

    pub fn committed(&self, positions: impl Iterator<Item = (i32, Committed)>) {
        let mut own = self.0.lock();
        for (partition, position) in positions {
            let known = own.get(&partition);
            let is_newer = known.is_none_or(|known| {
                known.topic_id != position.topic_id || known.key() < position.key()
            });
            if is_newer {
                own.insert(partition, position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(offset: i64, topic_id: Option<&str>, reset_ms: i64) -> Committed {
        let topic_id = topic_id.map(|id| TopicId(id.to_owned()));
        Committed { offset, leader_epoch: Some(3), topic_id, reset_ms }
    }

    #[test]
    fn a_position_returns_from_the_group_as_it_was_committed() {
        for topic_id in [None, Some("dGVzdA-_")] {
            for reset_ms in [0, 1_700_000_000_000] {
                let position = position(7, topic_id, reset_ms);
                assert_eq!(Committed::of(&position.entry(0)), Some(position));
            }
        }
    }

    #[test]
    fn positions_of_other_programs_have_an_offset_only() {
        for metadata in
            ["", "topic=x reset=5", "nik-streamer topic=x reset=5", "nik-stream reset=x"]
        {
            let entry =
                PartitionOffset { metadata: metadata.to_owned(), ..position(7, None, 0).entry(0) };
            assert_eq!(Committed::of(&entry), Some(position(7, None, 0)), "{metadata}");
        }
        let nothing = PartitionOffset { offset: -1001, ..position(7, None, 0).entry(0) };
        assert_eq!(Committed::of(&nothing), None);
    }

    #[test]
    fn the_own_position_rises_unless_an_operator_reset_it_or_the_topic_is_another() {
        let own = OwnPositions::default();
        let commit = |position: Committed| {
            own.committed([(0, position)].into_iter());
            own.get(0).unwrap().offset
        };
        assert_eq!(commit(position(7, Some("a"), 0)), 7);
        assert_eq!(commit(position(5, Some("a"), 0)), 7);
        assert_eq!(commit(position(9, Some("a"), 0)), 9);
        assert_eq!(commit(position(2, Some("a"), 1)), 2);
        assert_eq!(commit(position(1, Some("b"), 0)), 1);
    }
}
