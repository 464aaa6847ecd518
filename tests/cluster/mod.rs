//! A real Apache Kafka for tests, which may kill and pause its brokers; it is removed with the
//! test.
//!
//! `script/kafka` fetches the jars and lays out the nodes; the brokers themselves are children of
//! the test process. Tests that only need a running Kafka use [`shared`] with [`unique`] names.

#![allow(dead_code, unused_imports)] // tests and benches each use a part of it

mod acls;
mod child;
mod groups;
pub mod ports;
mod program;
pub mod proxy;
mod raw;
mod records;
mod tools;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tempfile::TempDir;

pub use acls::Grant;
pub use child::ChildProcess;
pub use program::{Program, ProgramSettings};
pub use raw::{Header, add_brokers};
pub use records::{Ends, NewRecord, Producer, Record};
pub use tools::need;

/// A small heap; with the first JIT compiler alone, a start takes half the CPU.
pub const JVM: &str = "-Xmx512m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC";
const BROKER_TIMEOUT: Duration = Duration::from_mins(2);

/// One broker or more; they are killed and their directory is removed when this is dropped or the
/// test process ends.
pub struct KafkaCluster {
    brokers: Vec<Broker>,
    dir: TempDir,
}

struct Broker {
    port: u16,
    dir: PathBuf,
    process: Option<ChildProcess>,
}

/// The cluster of one broker that tests share; a shared reference, so that no test can kill the
/// broker.
pub fn shared() -> &'static KafkaCluster {
    static SHARED: OnceLock<KafkaCluster> = OnceLock::new();
    SHARED.get_or_init(|| KafkaCluster::start(1))
}

/// A name that no other test uses, for topics and groups on the shared cluster.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl KafkaCluster {
    /// Starts 1 broker, or 3 (replication factor 3, `min.insync.replicas` 2), and waits until all
    /// have joined.
    pub fn start(brokers: usize) -> KafkaCluster {
        Self::start_with(brokers, "", &[])
    }

    /// Starts one broker with other JVM options.
    pub fn start_on(jvm: &str) -> KafkaCluster {
        Self::set_up(1, jvm, "", &[])
    }

    /// Like [`Self::start`] with further server properties (`@PORT@` and the like as in
    /// `tests/broker/server.properties`), and users in the format of `StorageTool --add-scram`.
    pub fn start_with(brokers: usize, properties: &str, scram: &[String]) -> KafkaCluster {
        Self::set_up(brokers, JVM, properties, scram)
    }

    /// Like [`Self::start_with`], with other JVM options.
    pub fn set_up(brokers: usize, jvm: &str, properties: &str, scram: &[String]) -> KafkaCluster {
        let mut cluster = Self::prepare(brokers, jvm, properties, scram);
        for node in 1..=cluster.brokers.len() {
            cluster.launch(node);
        }
        cluster.wait_ready();
        cluster
    }

    /// One broker that the caller has laid out: `java @<dir>/1/java.args` starts it. It is not
    /// started yet.
    pub fn laid_out(dir: TempDir, port: u16) -> KafkaCluster {
        let broker = Broker { port, dir: dir.path().join("1"), process: None };
        KafkaCluster { brokers: vec![broker], dir }
    }

    fn prepare(brokers: usize, jvm: &str, properties: &str, scram: &[String]) -> KafkaCluster {
        let dir = tempfile::Builder::new()
            .prefix("nik-stream-kafka-")
            .tempdir()
            .expect("a temporary directory");
        let first = ports::free(2 * u16::try_from(brokers).expect("a few brokers"));
        let further = dir.path().join("further.properties");
        std::fs::write(&further, properties).expect("written");
        let prepared = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/script/kafka"))
            .args([
                "prepare",
                "--brokers",
                &brokers.to_string(),
                "--port",
                &first.to_string(),
                "--dir",
            ])
            .arg(dir.path())
            .arg("--properties")
            .arg(&further)
            .args(scram.iter().flat_map(|user| ["--scram", user]))
            .env("KAFKA_JVM", jvm)
            .output()
            .expect("script/kafka runs");
        assert!(
            prepared.status.success(),
            "script/kafka prepare: {}",
            String::from_utf8_lossy(&prepared.stderr)
        );
        let brokers = (1..=brokers)
            .zip((first..).step_by(2))
            .map(|(node, port)| Broker {
                port,
                dir: dir.path().join(node.to_string()),
                process: None,
            })
            .collect();
        KafkaCluster { brokers, dir }
    }

    /// Addresses of all brokers, running or not.
    pub fn bootstrap(&self) -> String {
        self.brokers
            .iter()
            .map(|broker| format!("127.0.0.1:{}", broker.port))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The directory of all nodes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process ids of the running brokers.
    pub fn pids(&self) -> Vec<u32> {
        self.brokers
            .iter()
            .filter_map(|broker| broker.process.as_ref())
            .map(ChildProcess::pid)
            .collect()
    }

    /// Settings for a client of this cluster that reconnects quickly.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("reconnect.backoff.max.ms", "200");
        config
    }

    /// Kills broker `node` (from 1) by SIGKILL.
    pub fn kill(&mut self, node: usize) {
        self.broker(node).process = None;
    }

    /// Stops broker `node` by SIGTERM. Kills it after 20 s, since without enough other brokers it
    /// cannot hand over its partitions; returns whether it stopped before.
    #[must_use]
    pub fn stop(&mut self, node: usize) -> bool {
        let mut process = self.broker(node).process.take().expect("runs");
        process.signal("TERM");
        process.wait(Duration::from_secs(20)).is_some()
    }

    /// Starts broker `node` with its data, and waits until it has joined and every replica is in
    /// sync.
    pub fn restart(&mut self, node: usize) {
        self.launch(node);
        self.wait_ready();
    }

    /// Freezes broker `node` until [`Self::resume`].
    pub fn pause(&self, node: usize) {
        self.signal(node, "STOP");
    }

    pub fn resume(&self, node: usize) {
        self.signal(node, "CONT");
    }

    fn signal(&self, node: usize, name: &str) {
        let process = self.brokers[node - 1].process.as_ref();
        process.expect("runs").signal(name);
    }

    /// Waits until [`Self::is_ready`].
    pub fn wait_ready(&self) {
        self.wait_for("the brokers and their partitions", || self.is_ready());
    }

    /// Whether every running broker sees all others, and every partition has a leader (and all
    /// replicas in sync, unless a broker is down).
    pub fn is_ready(&self) -> bool {
        let running = self.pids().len();
        let complete = running == self.brokers.len();
        self.all_brokers(|metadata| {
            let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            metadata.brokers().len() == running
                && partitions.all(|partition| {
                    partition.leader() >= 0
                        && (!complete || partition.isr().len() == partition.replicas().len())
                })
        })
    }

    /// Creates a topic, replicated to at most three brokers.
    pub fn create_topic(&self, name: &str, partitions: usize, settings: &[(&str, &str)]) {
        let replication = i32::try_from(self.brokers.len().min(3)).expect("at most 3");
        self.create(name, partitions, TopicReplication::Fixed(replication), settings);
    }

    fn create(
        &self,
        name: &str,
        partitions: usize,
        replication: TopicReplication<'_>,
        settings: &[(&str, &str)],
    ) {
        let count = i32::try_from(partitions).expect("a few partitions");
        let topic = NewTopic::new(name, count, replication);
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        for made in block_on(self.admin().create_topics(&[topic], &admin_options()))
            .expect("the controller answers")
        {
            // The client repeats a request whose answer takes a minute, on a very busy machine.
            if let Err((topic, error)) = made
                && error != Code::TopicAlreadyExists
            {
                panic!("could not create {topic}: {error}");
            }
        }
        self.wait_for_partitions(name, partitions);
    }

    /// Creates a topic whose partitions have one replica each, on these brokers.
    pub fn place_topic(&self, name: &str, brokers: &[i32], settings: &[(&str, &str)]) {
        let replicas: Vec<_> = brokers.chunks(1).collect();
        self.create(name, brokers.len(), TopicReplication::Variable(&replicas), settings);
    }

    /// Adds partitions to a topic: `partitions` in all.
    pub fn grow_topic(&self, name: &str, partitions: usize) {
        let growth = NewPartitions::new(name, partitions);
        for grown in block_on(self.admin().create_partitions(&[growth], &admin_options()))
            .expect("the controller answers")
        {
            // The same as for `create`.
            if let Err((topic, error)) = grown
                && error != Code::InvalidPartitions
            {
                panic!("could not grow {topic}: {error}");
            }
        }
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes a topic and waits until its name is free.
    pub fn delete_topic(&self, name: &str) {
        let deleted = block_on(self.admin().delete_topics(&[name], &admin_options()));
        let deleted = deleted.expect("the controller answers");
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        self.wait_for("a topic to go", || {
            self.all_brokers(|metadata| metadata.topics().iter().all(|it| it.name() != name))
        });
    }

    /// Deletes the records of these partitions before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partitions: &[i32], before: Offset) {
        let mut offsets = TopicPartitionList::new();
        for &partition in partitions {
            offsets.add_partition_offset(topic, partition, before).expect("an offset");
        }
        let admin = self.admin(); // it must outlive the request, or the answer is lost
        block_on(admin.delete_records(&offsets, &admin_options())).expect("deleted");
    }

    /// Whether any broker knows the topic.
    pub fn topic_exists(&self, name: &str) -> bool {
        let mut known = self.brokers.iter().filter_map(Broker::metadata);
        known.any(|metadata| metadata.topics().iter().any(|it| it.name() == name))
    }

    /// The offset after the last record of each partition.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let end = |partition| {
            probe.fetch_watermarks(topic, partition, BROKER_TIMEOUT).expect("a leader answers").1
        };
        (0..self.partitions(topic)).map(|partition| (partition, end(partition))).collect()
    }

    /// The number of partitions of a topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let metadata = probe.fetch_metadata(Some(topic), BROKER_TIMEOUT).expect("a broker answers");
        i32::try_from(metadata.topics()[0].partitions().len()).expect("a few partitions")
    }

    /// The broker that leads a partition; below 0 if none does.
    pub fn leader(&self, topic: &str, partition: usize) -> i32 {
        let probe: BaseConsumer = self.client().create().expect("a consumer");
        let metadata = probe.fetch_metadata(Some(topic), BROKER_TIMEOUT).expect("a broker answers");
        metadata.topics()[0].partitions()[partition].leader()
    }

    fn wait_for_partitions(&self, topic: &str, partitions: usize) {
        self.wait_for(topic, || {
            self.all_brokers(|metadata| {
                let found = metadata.topics().iter().find(|it| it.name() == topic);
                let found = found.map_or(&[][..], MetadataTopic::partitions);
                found.len() == partitions && found.iter().all(|it| it.leader() >= 0)
            })
        });
    }

    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + BROKER_TIMEOUT;
        while !holds() {
            let logs = || self.brokers.iter().map(Broker::log_tail).collect::<Vec<_>>().join("\n");
            assert!(
                Instant::now() < deadline,
                "timed out waiting for {what}; the ends of the brokers' logs:\n{}",
                logs()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    // Asks each broker, since each learns of a change in its own time.
    fn all_brokers(&self, holds: impl Fn(&Metadata) -> bool) -> bool {
        let mut running = self.brokers.iter().filter(|broker| broker.process.is_some());
        running.all(|broker| broker.metadata().is_some_and(|metadata| holds(&metadata)))
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn broker(&mut self, node: usize) -> &mut Broker {
        &mut self.brokers[node - 1]
    }

    /// Starts broker `node`; does not wait for it.
    pub fn launch(&mut self, node: usize) {
        let root = self.dir.path().to_owned();
        let broker = self.broker(node);
        assert!(broker.process.is_none(), "broker {node} runs");
        let arguments = format!("@{}", broker.dir.join("java.args").display());
        broker.process =
            Some(ChildProcess::start("java", &[&arguments], &[], &broker.dir, "log", "log", &root));
    }
}

impl Broker {
    // The client knows only this broker; otherwise it would ask any of them.
    fn metadata(&self) -> Option<Metadata> {
        std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let mut config = ClientConfig::new();
        let probe: BaseConsumer =
            config.set("bootstrap.servers", format!("127.0.0.1:{}", self.port)).create().ok()?;
        probe.fetch_metadata(None, Duration::from_secs(2)).ok()
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

fn admin_options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(BROKER_TIMEOUT))
        .operation_timeout(Some(BROKER_TIMEOUT))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
