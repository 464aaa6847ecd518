//! Faults of the brokers: one at a time, so that a cluster of three keeps working.

use std::time::{Duration, Instant};

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::RECOVERY_TIMEOUT;
use super::fleet::Counts;
use crate::cluster::KafkaCluster;

/// The cluster and its current fault.
pub struct Brokers {
    pub cluster: KafkaCluster,
    count: usize,
    fault: Fault,
    pub counts: Counts,
}

enum Fault {
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
            fault: Fault::None,
            counts: Counts::new(),
        }
    }

    /// Whether all brokers work.
    pub fn healthy(&self) -> bool {
        matches!(self.fault, Fault::None)
    }

    /// kill -9.
    pub fn kill(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.apply("broker kill -9", random, |cluster, node, until| {
            cluster.kill(node);
            Fault::Down(node, until)
        })
    }

    /// A clean stop, if the broker hands over its partitions in time.
    pub fn stop(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.apply("broker stopped", random, |cluster, node, until| {
            if !cluster.stop(node) {
                println!("broker {node} did not stop and was killed");
            }
            Fault::Down(node, until)
        })
    }

    /// SIGSTOP for longer than the controller waits for a broker.
    pub fn freeze(&mut self, random: &mut ChaCha8Rng) -> bool {
        self.apply("broker frozen", random, |cluster, node, until| {
            cluster.pause(node);
            Fault::Frozen(node, until + Duration::from_secs(4))
        })
    }

    fn apply(
        &mut self,
        what: &'static str,
        random: &mut ChaCha8Rng,
        event: impl FnOnce(&mut KafkaCluster, usize, Instant) -> Fault,
    ) -> bool {
        if !self.healthy() {
            return false;
        }
        let node = random.random_range(1..=self.count);
        let until = Instant::now() + Duration::from_millis(random.random_range(0..6_000));
        self.fault = event(&mut self.cluster, node, until);
        *self.counts.entry(what).or_default() += 1;
        true
    }

    /// Adds partitions to a group's topics, the outputs first.
    pub fn grow(&mut self, topics: &[&str; 3], most: i32) -> bool {
        if !self.healthy() {
            return false;
        }
        let partitions = self.cluster.partitions(topics[0]);
        if partitions >= most {
            return false;
        }
        for topic in topics.iter().rev() {
            self.cluster.grow_topic(topic, usize::try_from(partitions).expect("not negative") + 2);
        }
        *self.counts.entry("partitions added").or_default() += 1;
        true
    }

    /// Does what is due.
    pub fn tick(&mut self) {
        let now = Instant::now();
        match self.fault {
            Fault::Down(node, until) if now >= until => {
                self.cluster.launch(node);
                self.fault = Fault::Recovering;
            }
            Fault::Frozen(node, until) if now >= until => {
                self.cluster.resume(node);
                self.fault = Fault::Recovering;
            }
            Fault::Recovering if self.cluster.is_ready() => self.fault = Fault::None,
            _ => {}
        }
    }

    /// Waits until all brokers work.
    pub fn recover(&mut self) {
        let begun = Instant::now();
        while !self.healthy() {
            assert!(begun.elapsed() < RECOVERY_TIMEOUT, "a broker does not come back");
            self.tick();
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
