//! Which partition an outcome goes to.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::time::Duration;

/// The topics' partition counts, as last seen; 0 before.
#[derive(Debug, Default)]
pub struct Counts {
    pub requests: AtomicI32,
    pub results: AtomicI32,
    pub failures: AtomicI32,
    /// Of the topics that a request may name; 0 where there is none.
    pub replies: Box<[AtomicI32]>,
    /// A worker wants the next look soon.
    pub wanted: AtomicBool,
    /// How often no broker answered.
    pub outages: AtomicU64,
}

/// An output topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Results,
    Failures,
    /// The topic of this place in `topics.reply_allowed`.
    Reply(usize),
}

impl Counts {
    /// Counts yet to be seen, of so many topics for replies beside the three.
    pub fn of_replies(replies: usize) -> Self {
        Self { replies: (0..replies).map(|_| AtomicI32::new(0)).collect(), ..Self::default() }
    }

    /// All outputs.
    pub fn outputs(&self) -> impl Iterator<Item = Output> {
        let replies = (0..self.replies.len()).map(Output::Reply);
        [Output::Results, Output::Failures].into_iter().chain(replies)
    }

    /// The partition for the outcome of a record of `partition`: the same one where the counts agree; else the key's
    /// (`None`: librdkafka's murmur2, the same as Kafka's own clients); without a key the input's modulo the count.
    pub fn route(&self, output: Output, partition: i32, has_key: bool) -> Option<i32> {
        let requests = self.requests.load(Ordering::Relaxed);
        let count = self.of(output);
        if count == requests || count == 0 {
            Some(partition)
        } else if has_key {
            None
        } else {
            Some(partition % count)
        }
    }

    /// The partitions that outcomes of records of `partition` can be in.
    pub fn reach(&self, output: Output, partition: i32) -> Range<i32> {
        if let Output::Reply(_) = output {
            return 0..self.of(output); // the request may have named any
        }
        match self.route(output, partition, true) {
            Some(partition) => partition..partition + 1,
            None => 0..self.of(output),
        }
    }

    /// How many partitions an output has.
    pub fn of(&self, output: Output) -> i32 {
        match output {
            Output::Results => self.results.load(Ordering::Relaxed),
            Output::Failures => self.failures.load(Ordering::Relaxed),
            Output::Reply(place) => self.replies[place].load(Ordering::Relaxed),
        }
    }

    /// Whether requests, results and failures have as many partitions each.
    pub fn agree(&self) -> bool {
        let requests = self.requests.load(Ordering::Relaxed);
        self.of(Output::Results) == requests && self.of(Output::Failures) == requests
    }

    /// How often no broker answered.
    pub fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// Asks for a look at the cluster now.
    pub fn look_soon(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Waits until `partition`, of which there is a record, is known; `false` when `stopped` comes first.
    pub fn wait_for(&self, partition: i32, stopped: impl Fn() -> bool) -> bool {
        while partition >= self.requests.load(Ordering::Relaxed) {
            if stopped() {
                return false;
            }
            self.look_soon();
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: i32, results: i32, failures: i32) -> Counts {
        let count = AtomicI32::new;
        Counts {
            requests: count(requests),
            results: count(results),
            failures: count(failures),
            ..Counts::default()
        }
    }

    #[test]
    fn an_outcome_keeps_its_partition_where_the_counts_agree() {
        let counts = counts(6, 6, 4);
        assert_eq!(counts.route(Output::Results, 5, true), Some(5));
        assert_eq!(counts.route(Output::Results, 5, false), Some(5));
        assert_eq!(counts.reach(Output::Results, 5), 5..6);
    }

    #[test]
    fn where_the_counts_differ_it_goes_by_its_key_or_else_by_its_partition_modulo_the_count() {
        let counts = counts(6, 6, 4);
        assert_eq!(counts.route(Output::Failures, 5, true), None);
        assert_eq!(counts.route(Output::Failures, 5, false), Some(1));
        assert_eq!(counts.reach(Output::Failures, 5), 0..4);
    }

    #[test]
    fn a_worker_waits_for_a_partition_that_was_just_added_or_for_the_stop() {
        assert!(counts(6, 6, 6).wait_for(5, || false));
        assert!(!counts(6, 6, 6).wait_for(6, || true));
    }
}
