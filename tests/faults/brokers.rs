//! What is done to the brokers: one of them at a time, so that a cluster of three goes on.

use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::PATIENCE;
use super::fleet::Counts;
use crate::cluster::KafkaCluster;

/// The cluster and the one broker that is not well.
pub struct Brokers {
    pub cluster: KafkaCluster,
    count: usize,
    trouble: Trouble,
    pub counts: Counts,
}

enum Trouble {
    None,
    Down(usize, Instant),
    Frozen(usize, Instant),
    Recovering,
}

impl Brokers {
    pub fn start(count: usize) -> Brokers {
        Brokers {
            cluster: KafkaCluster::start(count),
            count,
            trouble: Trouble::None,
            counts: Counts::new(),
        }
    }

    /// Whether all are well.
    pub fn well(&self) -> bool {
        matches!(self.trouble, Trouble::None)
    }

    /// kill -9.
    pub fn kill(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.hurt("broker kill -9", random, |cluster, node, until| {
            cluster.kill(node);
            Trouble::Down(node, until)
        })
    }

    /// A clean stop.
    pub fn stop(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.hurt("broker stopped", random, |cluster, node, until| {
            cluster.stop(node);
            Trouble::Down(node, until)
        })
    }

    /// SIGSTOP, for longer than the controller waits for it.
    pub fn freeze(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.hurt("broker frozen", random, |cluster, node, until| {
            cluster.pause(node);
            Trouble::Frozen(node, until + Duration::from_secs(4))
        })
    }

    fn hurt(
        &mut self,
        what: &'static str,
        random: &mut ChaCha8Rng,
        deed: impl FnOnce(&mut KafkaCluster, usize, Instant) -> Trouble,
    ) -> bool {
        if !self.well() {
            return false;
        }
        let node = random.random_range(1..=self.count);
        let until = Instant::now() + Duration::from_millis(random.random_range(0..6_000));
        self.trouble = deed(&mut self.cluster, node, until);
        *self.counts.entry(what).or_default() += 1;
        true
    }

    /// More partitions for the topics, the outputs first.
    pub fn grow(&mut self, topics: [&str; 3], most: i32) -> bool {
        if !self.well() {
            return false;
        }
        let partitions = self.cluster.partitions(topics[0]);
        if partitions >= most {
            return false;
        }
        for topic in topics.into_iter().rev() {
            self.cluster.grow_topic(topic, usize::try_from(partitions).expect("not negative") + 2);
        }
        *self.counts.entry("partitions added").or_default() += 1;
        true
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let now = Instant::now();
        match self.trouble {
            Trouble::Down(node, until) if now >= until => {
                self.cluster.launch(node);
                self.trouble = Trouble::Recovering;
            }
            Trouble::Frozen(node, until) if now >= until => {
                self.cluster.resume(node);
                self.trouble = Trouble::Recovering;
            }
            Trouble::Recovering if self.cluster.is_ready() => self.trouble = Trouble::None,
            _ => {}
        }
    }

    /// Waits until all are well.
    pub fn heal(&mut self) {
        let begun = Instant::now();
        while !self.well() {
            assert!(begun.elapsed() < PATIENCE, "a broker does not come back");
            self.tick();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
