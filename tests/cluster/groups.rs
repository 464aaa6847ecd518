//! Consumer groups: their members and committed offsets.

use std::collections::BTreeMap;

use rdkafka::admin::AdminOptions;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{BROKER_TIMEOUT, KafkaCluster, block_on};

impl KafkaCluster {
    /// The committed offsets of a group by partition; partitions without one are left out.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", group)
            // The committed offsets as they are, even if an open transaction is about to change
            // them.
            .set("isolation.level", "read_uncommitted")
            .create()
            .expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, self.partitions(topic) - 1);
        let mut committed = TopicPartitionList::new();
        // The first group of a cluster has to wait for its coordinator.
        self.wait_for("the group's coordinator", || {
            let answer = consumer.committed_offsets(partitions.clone(), BROKER_TIMEOUT);
            answer.map(|answer| committed = answer).is_ok()
        });
        let offset = |offset| {
            if let Offset::Offset(offset) = offset { Some(offset) } else { None }
        };
        committed
            .elements()
            .iter()
            .filter_map(|element| Some((element.partition(), offset(element.offset())?)))
            .collect()
    }

    /// Commits an offset of one partition for a group, with metadata, once the group has no
    /// members.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64, metadata: &str) {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        let mut position = list.add_partition(topic, partition);
        position.set_offset(Offset::Offset(offset)).expect("an offset");
        position.set_metadata(metadata);
        self.wait_for("the group to be empty and its offset committed", || {
            consumer.commit(&list, CommitMode::Sync).is_ok()
        });
    }

    /// Deletes a group and its offsets, once it has no members.
    pub fn delete_group(&self, group: &str) {
        let admin = self.admin();
        self.wait_for("the group to be empty and deleted", || {
            let deleted = block_on(admin.delete_groups(&[group], &AdminOptions::new()));
            deleted.is_ok_and(|deleted| deleted.iter().all(Result::is_ok))
        });
    }

    /// The number of members of a group.
    pub fn members(&self, group: &str) -> usize {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let groups = probe.fetch_group_list(Some(group), BROKER_TIMEOUT).expect("brokers answer");
        groups.groups().iter().map(|group| group.members().len()).sum()
    }
}
