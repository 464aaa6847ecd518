//! The three topics and the consumer group of one test, and the program's settings for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::reader::Reader;
use crate::cluster::proxy::Proxy;
use crate::cluster::{KafkaCluster, Program, ProgramSettings, Record, unique};
use nik_stream::telemetry::obstacle::Obstacle;

/// How long a test waits for something that normally takes a moment; other work shares the machine.
pub const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// The settings of every topic of a stage: the largest result fits, and records with old timestamps
/// are kept.
pub const TOPIC: [(&str, &str); 3] = [
    ("max.message.bytes", "6000000"),
    ("retention.ms", "-1"),
    // Otherwise each timestamp that is years from the one before begins a segment.
    ("segment.ms", "1000000000000000"),
];

/// The settings of a ledger of positions.
pub const LEDGER: [(&str, &str); 1] = [("cleanup.policy", "compact")];

/// A dynamic member that is killed keeps its partitions for this long: short, as tests wait for it.
const SESSION_TIMEOUT_MS: &str = "3000";
/// The broker aborts a transaction after this time; until then, one that a crash left open hides
/// what follows it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(4);

/// Ends a thread when it is dropped, so that a test that fails leaves none behind.
#[derive(Default)]
pub struct End(Arc<AtomicBool>);

impl End {
    /// True once the thread has to end.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The topics and the group of one test.
pub struct Stage {
    pub requests: String,
    pub results: String,
    pub failures: String,
    pub group: String,
    settings: ProgramSettings,
}

impl Stage {
    /// The names only: the test creates the topics.
    pub fn named(cluster: &KafkaCluster, name: &str) -> Stage {
        Self::at(&cluster.bootstrap(), name)
    }

    /// The names only, on these brokers.
    pub fn at(bootstrap: &str, name: &str) -> Stage {
        let name = unique(name);
        let [requests, results, failures] =
            ["requests", "results", "failures"].map(|topic| format!("{name}.{topic}"));
        let settings = ProgramSettings::at(bootstrap)
            .set("topics.requests", &requests)
            .set("topics.results", &results)
            .set("topics.failures", &failures)
            .set("kafka.group_id", &name);
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

    /// A stage whose instances connect through the proxy.
    pub fn behind(proxy: &Proxy, cluster: &KafkaCluster, name: &str, partitions: usize) -> Stage {
        let stage = Self::new(cluster, name, partitions);
        let settings = stage.settings.clone().set("kafka.bootstrap_servers", &proxy.bootstrap());
        Stage { settings, ..stage }
    }

    /// Creates a ledger of positions, which the instances keep from now on.
    pub fn with_ledger(self, cluster: &KafkaCluster) -> Stage {
        let partitions = cluster.end_offsets(&self.requests).len();
        cluster.create_topic(&self.ledger(), partitions, &LEDGER);
        let settings = self.settings.clone().set("topics.positions", &self.ledger());
        Stage { settings, ..self }
    }

    /// The name of the ledger of positions.
    pub fn ledger(&self) -> String {
        format!("{}.positions", self.group)
    }

    pub fn topics(&self) -> [&str; 3] {
        [&self.requests, &self.results, &self.failures]
    }

    /// Settings for an instance: two workers, a dynamic member unless the test says otherwise, and
    /// timeouts that suit a test.
    pub fn settings(&self) -> ProgramSettings {
        self.settings_without_session().set("kafka.session_timeout_ms", SESSION_TIMEOUT_MS)
    }

    /// The same without a session timeout, which the brokers set in the group protocol "consumer".
    pub fn settings_without_session(&self) -> ProgramSettings {
        let transaction_timeout_ms = TRANSACTION_TIMEOUT.as_millis().to_string();
        self.default_settings()
            .set("kafka.workers", "2")
            .set("kafka.producer.transaction_timeout_ms", &transaction_timeout_ms)
            .set("kafka.consumer.statistics_interval_ms", "500")
            .set("kafka.librdkafka.topic_metadata_refresh_interval_ms", "1000")
            // Most tests have a larger share of dead letters than a healthy stream.
            .set("delivery.max_failure_ratio", "1")
    }

    /// The names of topics and group; everything else is the default.
    pub fn default_settings(&self) -> ProgramSettings {
        self.settings.clone()
    }

    /// Starts an instance and waits until it has its partitions.
    pub fn run(&self) -> Program {
        ready(&self.settings())
    }

    /// The committed results and failures, once no transaction is open.
    pub fn outcomes(&self, cluster: &KafkaCluster) -> (Vec<Record>, Vec<Record>) {
        wait_until("open transactions end", || {
            cluster.is_settled(&[&self.results, &self.failures])
        });
        (cluster.read_committed(&self.results), cluster.read_committed(&self.failures))
    }

    /// Waits until every request has been answered, by `count` outcomes in all, and reads them.
    pub fn wait_for_outcomes(
        &self,
        cluster: &KafkaCluster,
        count: usize,
    ) -> (Vec<Record>, Vec<Record>) {
        // The reader counts them as they arrive: polling by reading all of them again would be most
        // of a test's work.
        Reader::start(cluster, self).wait_for(count);
        let (results, failures) = self.all_outcomes(cluster);
        assert_eq!(results.len() + failures.len(), count, "outcomes");
        (results, failures)
    }

    /// The outcomes once the group has committed every request: no further one can follow.
    pub fn all_outcomes(&self, cluster: &KafkaCluster) -> (Vec<Record>, Vec<Record>) {
        let ends = cluster.end_offsets(&self.requests);
        wait_until("every request is committed", || {
            let committed = cluster.committed(&self.group, &self.requests);
            ends.iter().all(|(partition, end)| committed.get(partition).unwrap_or(&0) >= end)
        });
        self.outcomes(cluster)
    }
}

/// Starts an instance and waits until it has its partitions.
pub fn ready(settings: &ProgramSettings) -> Program {
    let mut program = settings.run();
    program.wait_ready(WAIT_TIMEOUT);
    program
}

/// Whether both instances have partitions, and together all of them.
pub fn share(instances: [&Program; 2], partitions: usize) -> bool {
    let shares = instances.map(assigned);
    !shares.contains(&0) && shares.iter().sum::<usize>() == partitions
}

/// The number of partitions assigned to an instance, by its metrics.
pub fn assigned(program: &Program) -> usize {
    let metrics = program.metrics();
    let is_assigned =
        |(name, value): &(&String, &f64)| name.starts_with("nik_stream_assigned{") && **value > 0.0;
    metrics.iter().filter(is_assigned).count()
}

/// Waits until `holds`, at most [`WAIT_TIMEOUT`].
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until readiness, the metric and the log report the obstacle; the metric has no sentence.
pub fn wait_for_obstacle(program: &Program, obstacle: Obstacle, sentence: &str) {
    wait_until(sentence, || program.is_held_up_by(sentence));
    let label = obstacle.label();
    let metric = format!("nik_stream_obstacles{{cause=\"{label}\"}}");
    // Waited for, since an obstacle that comes and goes may be absent at one scrape.
    wait_until(&metric, || program.metrics()[&metric] > 0.5);
    let is_logged = || {
        let reason = format!("\"reason\":\"{label}\"");
        program.stderr().lines().any(|line| line.contains(sentence) && line.contains(&reason))
    };
    wait_until(&format!("{label} is logged"), is_logged);
}

/// Stops the program by SIGTERM; asserts that it exits with 0 in time.
pub fn stop(mut program: Program) {
    let code = program.stop(Duration::from_secs(15));
    assert_eq!(code, Some(0), "{}", program.stderr());
}
