//! Whether all that the topics held at a moment is answered, and visible to `read_committed`
//! readers.

use crate::cluster::{Ends, KafkaCluster};
use crate::traffic::stage::wait_until;

/// What the topics of a group held at a moment.
pub struct Awaited {
    requests: Ends,
    outcomes: Ends,
    group: String,
}

impl Awaited {
    /// What they hold now, open transactions included.
    pub fn now(cluster: &KafkaCluster, topics: [&str; 3], group: &str) -> Awaited {
        let [requests, results, failures] = topics;
        Awaited {
            requests: ends(cluster, &[requests]),
            outcomes: ends(cluster, &[results, failures]),
            group: group.to_owned(),
        }
    }

    /// What is not answered or not visible yet, in words.
    pub fn open(&self, cluster: &KafkaCluster) -> Vec<String> {
        let topics = |ends: &Ends| {
            let mut topics: Vec<_> = ends.keys().map(|(topic, _)| topic.clone()).collect();
            topics.dedup();
            topics
        };
        let mut open = Vec::new();
        for topic in topics(&self.requests) {
            let committed = cluster.committed(&self.group, &topic);
            let behind = |((_, partition), end): (&(String, i32), &i64)| {
                let at = committed.get(partition).copied().unwrap_or(0);
                (at < *end).then(|| format!("{topic} {partition}: {at} of {end}"))
            };
            open.extend(self.requests.iter().filter_map(behind));
        }
        let names = topics(&self.outcomes);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let stable = cluster.stable_ends(&names).unwrap_or_default();
        let hidden = |(place, end): (&(String, i32), &i64)| {
            let at = stable.get(place).copied().unwrap_or(0);
            (at < *end).then(|| format!("{place:?}: visible to {at} of {end}"))
        };
        open.extend(self.outcomes.iter().filter_map(hidden));
        open
    }
}

/// The ends of all partitions of these topics, once every leader answers.
fn ends(cluster: &KafkaCluster, topics: &[&str]) -> Ends {
    let mut found = None;
    wait_until("every leader answers", || {
        found = cluster.ends(topics);
        found.is_some()
    });
    found.expect("waited for")
}
