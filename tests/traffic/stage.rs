//! Three topics and a group of a test's own on a cluster, and the program's settings for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::reader::Reader;
use crate::cluster::{KafkaCluster, Program, ProgramSettings, Record, unique};

/// How long anything may take that is not expected to take long: other work shares the machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What every topic of a stage has: room for the largest result, and no end to old timestamps.
pub const TOPIC: [(&str, &str); 3] = [
    ("max.message.bytes", "6000000"),
    ("retention.ms", "-1"),
    ("segment.ms", "1000000000000000"), // else timestamps that lie years apart begin a segment each
];

/// Tells a thread to end, when dropped at the latest: a test that fails waits for none.
#[derive(Default)]
pub struct End(Arc<AtomicBool>);

impl End {
    /// What the thread looks at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A test's topics and group.
pub struct Stage {
    pub requests: String,
    pub results: String,
    pub failures: String,
    pub group: String,
    settings: ProgramSettings,
}

impl Stage {
    /// The names; the topics are yet to be made.
    pub fn named(cluster: &KafkaCluster, name: &str) -> Stage {
        let name = unique(name);
        let [requests, results, failures] =
            ["requests", "results", "failures"].map(|topic| format!("{name}.{topic}"));
        let settings = ProgramSettings::new(cluster)
            .set("topics.requests", &requests)
            .set("topics.results", &results)
            .set("topics.failures", &failures)
            .set("kafka.group_id", &name)
            .set("kafka.workers", "2")
            .set("kafka.producer.transaction_timeout_ms", "10000")
            // Most tests have more dead letters than a sound stream.
            .set("delivery.max_failure_ratio", "1");
        Stage { requests, results, failures, group: name, settings }
    }

    /// A stage whose three topics have this many partitions each.
    pub fn new(cluster: &KafkaCluster, name: &str, partitions: usize) -> Stage {
        Self::with(cluster, name, [partitions; 3])
    }

    /// A stage whose requests, results and failures have these numbers of partitions.
    pub fn with(cluster: &KafkaCluster, name: &str, partitions: [usize; 3]) -> Stage {
        let stage = Self::named(cluster, name);
        for (topic, partitions) in stage.topics().into_iter().zip(partitions) {
            cluster.create_topic(topic, partitions, &TOPIC);
        }
        stage
    }

    pub fn topics(&self) -> [&str; 3] {
        [&self.requests, &self.results, &self.failures]
    }

    /// Settings for an instance: two workers, a dynamic member unless the test says otherwise.
    pub fn settings(&self) -> ProgramSettings {
        self.settings.clone().set("kafka.session_timeout_ms", "6000")
    }

    /// Settings without a session: the group protocol "consumer" leaves it to the brokers.
    pub fn settings_without_session(&self) -> ProgramSettings {
        self.settings.clone()
    }

    /// Starts an instance and waits until it has its partitions.
    pub fn run(&self) -> Program {
        ready(&self.settings())
    }

    /// What a `read_committed` reader sees of results and failures once no transaction is open.
    pub fn outcomes(&self, cluster: &KafkaCluster) -> (Vec<Record>, Vec<Record>) {
        wait_until("open transactions end", || {
            cluster.is_settled(&[&self.results, &self.failures])
        });
        self.committed(cluster)
    }

    fn committed(&self, cluster: &KafkaCluster) -> (Vec<Record>, Vec<Record>) {
        (cluster.read_committed(&self.results), cluster.read_committed(&self.failures))
    }

    /// Waits until the outcomes are exactly `count`, and reads them.
    pub fn wait_for_outcomes(
        &self,
        cluster: &KafkaCluster,
        count: usize,
    ) -> (Vec<Record>, Vec<Record>) {
        // Counted as they come: to read all of them again and again would be most of a test's work.
        Reader::start(cluster, self).wait_for(count);
        let (results, failures) = self.committed(cluster);
        assert_eq!(results.len() + failures.len(), count, "outcomes");
        (results, failures)
    }
}

/// Starts an instance and waits until it has its partitions.
pub fn ready(settings: &ProgramSettings) -> Program {
    let mut program = settings.run();
    program.wait_ready(PATIENCE);
    program
}

/// The number of partitions that an instance says are its own.
pub fn assigned(program: &Program) -> usize {
    let metrics = program.metrics();
    let is_assigned =
        |(name, value): &(&String, &f64)| name.starts_with("nik_stream_assigned{") && **value > 0.0;
    metrics.iter().filter(is_assigned).count()
}

/// Waits until `holds`, for as long as [`PATIENCE`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// SIGTERM: the program ends well, within the time that a stop may take.
pub fn stop(mut program: Program) {
    let code = program.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0), "{}", program.stderr());
}
