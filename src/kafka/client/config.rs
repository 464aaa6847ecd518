//! The properties of librdkafka clients: ours, each with its reason, then the operator's overrides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::config::{GroupProtocol, Guarantee, Security, Settings};
use crate::kafka::limits::RECORD_OVERHEAD;
use crate::kafka::security::access::Access;
use crate::kafka::security::credentials::Credentials;

/// After this time the brokers abort a transaction.
const TRANSACTION_TIMEOUT_MS: &str = "15000";
/// How much a producer of outcomes queues, unless a single one may be larger.
const QUEUED_KIB: usize = 16 * 1024;
/// How long a worker may take to abort a transaction and to replace its producer.
const AFTER_TRANSACTION_MS: u64 = 30_000;

/// Creates the properties of all clients of this process.
pub struct Clients {
    settings: Settings,
    pub access: Arc<Access>,
    /// The contents of the files of `kafka.security`, for the clients that are created from now on.
    credentials: Mutex<Credentials>,
    /// How often `credentials` were replaced.
    generation: AtomicU64,
    /// Distinguishes the transactional ids of this instance from those of others.
    instance: String,
}

impl Clients {
    pub fn new(settings: &Settings) -> Self {
        let instance = settings.kafka.instance_id.clone().unwrap_or_else(|| {
            // A new name for each process cannot fence another instance.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{:x}-{:x}", std::process::id(), since.as_nanos())
        });
        Self {
            access: Arc::new(Access::new(&settings.kafka)),
            credentials: Mutex::new(Credentials::at_start(&settings.kafka.security)),
            generation: AtomicU64::new(0),
            settings: settings.clone(),
            instance,
        }
    }

    pub fn security(&self) -> &Security {
        &self.settings.kafka.security
    }

    /// Whether the clients depend on files that another program may replace.
    pub fn has_files(&self) -> bool {
        let security = self.security();
        let files = [
            &security.ca_file,
            &security.certificate_file,
            &security.key_file,
            &security.password_file,
        ];
        files.into_iter().any(Option::is_some)
    }

    pub fn credentials(&self) -> Credentials {
        self.credentials.lock().clone()
    }

    /// Clients that are created from now on get these credentials.
    pub fn renew(&self, credentials: Credentials) {
        *self.credentials.lock() = credentials;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// The generation of the credentials that new clients get. Read it before a client is created:
    /// if the credentials are replaced in between, the client counts as outdated, not as current.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether a worker that returns gets its former assignment without a rebalance.
    pub fn are_static_members(&self) -> bool {
        let kafka = &self.settings.kafka;
        kafka.instance_id.is_some() && kafka.group_protocol == GroupProtocol::Classic
    }

    /// Whether another instance may use the transactional ids of this one.
    pub fn may_have_rival(&self) -> bool {
        self.settings.kafka.instance_id.is_some()
    }

    /// The properties of a worker's consumer.
    pub fn consumer(&self, worker: usize) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = self.common();
        config
            .set("group.id", &kafka.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // At the end of a partition the worker moves its position past transaction markers.
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            // With the default of a second, a fast consumer reads only a third as much.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "100")
            // The prefetched records last a worker about 30 ms, longer than a fetch takes. Each
            // costs about 450 bytes on top of its size: the default of 100,000 took 120 MB more for
            // two workers and was not faster.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            // One fetch may exceed that limit by at most these: per partition, and in total.
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.max.bytes", "1048576");
        match kafka.group_protocol {
            GroupProtocol::Classic => config
                .set("partition.assignment.strategy", strategy(kafka))
                .set("session.timeout.ms", kafka.session_timeout_ms.to_string())
                .set("max.poll.interval.ms", self.rebalance_timeout_ms().to_string())
                // A member learns of a rebalance from the answer to its heartbeat.
                .set("heartbeat.interval.ms", (kafka.session_timeout_ms / 4).min(500).to_string()),
            GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
        };
        if let Some(instance) = &kafka.instance_id {
            config.set("group.instance.id", format!("{instance}-{worker}"));
        }
        let mut config = with_overrides(config, [&kafka.librdkafka, &kafka.consumer]);
        // `stream::start` decides where a partition starts, whatever the operator sets here.
        config.set("auto.offset.reset", "error");
        config
    }

    /// The properties of a worker's producer.
    pub fn producer(&self, worker: usize) -> ClientConfig {
        match self.settings.delivery.guarantee {
            Guarantee::ExactlyOnce => {
                self.producer_of(&format!("{}{worker}", self.transactional_prefix()))
            }
            Guarantee::AtLeastOnce => {
                let mut config = self.output_producer();
                config.set("message.timeout.ms", "25000");
                self.with_producer_overrides(config)
            }
        }
    }

    /// How long a worker may go without a poll, and a rebalance waits for a member: the time of a
    /// transaction, and that to abort it and to replace its producer.
    ///
    /// A longer time would delay rebalances after a restart of the brokers: a group coordinator
    /// that loads its log twice does not end the sessions of dead members (Kafka 4.3.1), and each
    /// rebalance waits for them until this time is over.
    fn rebalance_timeout_ms(&self) -> u64 {
        let producer = self.producer_of(&self.transactional_prefix());
        let transaction = producer.get("transaction.timeout.ms").and_then(|ms| ms.parse().ok());
        let timeout = transaction.unwrap_or(0_u64).saturating_add(AFTER_TRANSACTION_MS);
        // librdkafka rejects a session timeout above this one.
        timeout.min(86_400_000).max(self.settings.kafka.session_timeout_ms.into())
    }

    /// How the transactional ids of this process begin.
    pub fn transactional_prefix(&self) -> String {
        format!("{}-{}-", self.settings.kafka.group_id, self.instance)
    }

    /// The properties of a producer with this transactional id.
    pub fn producer_of(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.output_producer();
        config
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
        self.with_producer_overrides(config)
    }

    /// The properties of the replay producer, which is transactional even if the service is not.
    pub fn replay_producer(&self) -> ClientConfig {
        let mut config = self.output_producer();
        config.set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS);
        let mut config = self.with_producer_overrides(config);
        config
            .set("transactional.id", self.replay_name())
            .set("statistics.interval.ms", "0")
            // The records came from the topic that they return to, so its own limit decides.
            .set("message.max.bytes", "1000000000");
        config
    }

    /// The properties of the producer of synthetic requests, which may be as large as the limits
    /// allow.
    pub fn request_producer(&self) -> ClientConfig {
        let mut config = self.producer_base(self.settings.limits.request_bytes);
        config.set("statistics.interval.ms", "0").set("linger.ms", "5");
        self.with_producer_overrides(config)
    }

    /// The properties that all producers of outcomes share.
    fn output_producer(&self) -> ClientConfig {
        let largest = self.settings.limits.result_bytes;
        // A record that is larger than the queue would never be accepted.
        let queued_kib = (largest + RECORD_OVERHEAD).div_ceil(1024).max(QUEUED_KIB);
        let mut config = self.producer_base(largest);
        config
            // More would not be sent faster, and each takes 220 bytes on top of its size.
            .set("queue.buffering.max.messages", "20000")
            .set("queue.buffering.max.kbytes", queued_kib.to_string())
            // The flush at the end of an epoch does not wait for the linger, and a shorter linger
            // sends smaller batches. Besides, librdkafka's thread spins while a due batch waits for
            // the one in flight (2.12.1, `rd_kafka_broker_producer_serve`): with 5 ms the program
            // took a quarter more CPU on a busy machine.
            .set("linger.ms", "100")
            // After a flush, every record without an error has arrived.
            .set("delivery.report.only.error", "true")
            // After a commit the broker answers "concurrent transactions" until it has written the
            // markers.
            .set("retry.backoff.ms", "10");
        config
    }

    fn producer_base(&self, largest_value: usize) -> ClientConfig {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            // A deleted topic would come back with the brokers' default number of partitions.
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", (largest_value + RECORD_OVERHEAD).to_string())
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random");
        config
    }

    fn with_producer_overrides(&self, config: ClientConfig) -> ClientConfig {
        let kafka = &self.settings.kafka;
        with_overrides(config, [&kafka.librdkafka, &kafka.producer])
    }

    /// The properties of a command's reader: without a group, read-committed, up to the current
    /// end.
    pub fn reader(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = self.common();
        config
            // Required by librdkafka; a reader never joins it.
            .set("group.id", self.replay_name())
            // As for a worker, since librdkafka rejects a session timeout above the poll interval,
            // also if an operator sets only one of them.
            .set("session.timeout.ms", kafka.session_timeout_ms.to_string())
            .set("max.poll.interval.ms", self.rebalance_timeout_ms().to_string())
            .set("statistics.interval.ms", "0")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "5")
            // A seek waits for the fetch in progress, and a reader does not wait for new records.
            .set("fetch.wait.max.ms", "5")
            // The reader seeks often, so it prefetches little.
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384");
        with_overrides(config, [&kafka.librdkafka, &kafka.consumer])
    }

    /// As [`Self::reader`], for whole partitions: it prefetches as much as the service.
    pub fn scanner(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = self.reader();
        config
            .set("fetch.wait.max.ms", "100")
            .set("queued.min.messages", "10000")
            .set("fetch.message.max.bytes", "1048576");
        with_overrides(config, [&kafka.librdkafka, &kafka.consumer])
    }

    /// As [`Self::reader`], for the committed offsets of the service's own group.
    pub fn service_reader(&self) -> ClientConfig {
        let mut config = self.reader();
        config.set("group.id", &self.settings.kafka.group_id);
        config
    }

    /// The properties of the producer that commits positions for an operator.
    pub fn positions_producer(&self) -> ClientConfig {
        let mut config = self.replay_producer();
        config.set("transactional.id", format!("{}-positions", self.settings.kafka.group_id));
        config
    }

    /// The group and transactional id of replays. All share one, so that concurrent replays fence
    /// each other.
    pub fn replay_name(&self) -> String {
        format!("{}-replay", self.settings.kafka.group_id)
    }

    /// The properties of a client that only fetches metadata.
    pub fn watch(&self) -> ClientConfig {
        with_overrides(self.common(), [&self.settings.kafka.librdkafka])
    }

    fn common(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = ClientConfig::new();
        config
            .set_log_level(log_level())
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("client.id", "nik-stream")
            .set("statistics.interval.ms", "5000")
            .set("reconnect.backoff.max.ms", "2000")
            // New partitions are noticed within this time.
            .set("topic.metadata.refresh.interval.ms", "10000");
        let security = &kafka.security;
        config.set("security.protocol", security.protocol.as_str());
        if has_to_find_authorities(security) {
            config.set("ssl.ca.location", "probe");
        }
        if let Some(name) = &security.username {
            config.set("sasl.username", name);
        }
        if let Some(mechanism) = security.sasl_mechanism {
            config.set("sasl.mechanism", mechanism.as_str());
        }
        if let Some(password) = &security.key_password {
            config.set("ssl.key.password", password.expose());
        }
        self.credentials.lock().apply(&mut config);
        config
    }
}

/// Whether librdkafka has to search for the system's CA certificates: a bundled OpenSSL looks only
/// in its own folder, which does not exist. The two variables are OpenSSL's.
fn has_to_find_authorities(security: &Security) -> bool {
    let is_set = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|it| std::env::var_os(it).is_some());
    cfg!(feature = "bundled-openssl")
        && security.protocol.has_tls()
        && security.ca_file.is_none()
        && !is_set
}

/// The log level of librdkafka. Some of its debug lines explain why brokers do not respond. (The
/// wrapper derives the level from the `log` crate, which this program does not use.)
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    }
}

/// The assignment strategy of the classic group protocol.
///
/// A cooperative rebalance has two rounds: a member that revoked partitions rejoins so that they
/// are assigned. If a static member crashes between the rounds and returns, it gets its old
/// assignment without the second round, and the partitions that it revoked stay unassigned until
/// the next rebalance. Static members therefore rebalance eagerly, in one round.
fn strategy(kafka: &crate::config::Kafka) -> &'static str {
    match kafka.instance_id {
        Some(_) => "range",
        None => "cooperative-sticky",
    }
}

/// Applies the operator's properties on top: later tables win.
fn with_overrides<const N: usize>(
    mut config: ClientConfig,
    tables: [&crate::config::Properties; N],
) -> ClientConfig {
    for (key, value) in tables.into_iter().flat_map(crate::config::Properties::iter) {
        config.set(key, value);
    }
    config
}

/// Checks a property that an operator sets; the error is librdkafka's.
pub fn check_property(name: &str, value: &str) -> Result<(), String> {
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Err("librdkafka knows no such property".to_owned())
        }
        Err(KafkaError::ClientConfig(_, reason, ..)) => Err(format!("librdkafka: {reason}")),
        Err(other) => Err(other.to_string()),
    }
}

/// The version of librdkafka, and the features that it was built with.
pub fn features() -> (String, String) {
    let (_, version) = rdkafka::util::get_rdkafka_version();
    let features = ClientConfig::new()
        .create_native_config()
        .and_then(|config| config.get("builtin.features"));
    (version, features.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    /// The clients with these settings, passed like environment variables.
    fn clients(given: &[(&str, &str)]) -> Clients {
        let given = given
            .iter()
            .map(|(key, value)| (format!("NIK_STREAM__KAFKA__{key}").into(), value.into()));
        Clients::new(&load_from(&[], given, |_, _| Ok(())).unwrap().settings)
    }

    #[test]
    fn a_named_instance_keeps_its_ids_and_an_unnamed_one_gets_new_ones() {
        let id = |clients: &Clients| clients.producer(3).get("transactional.id").map(str::to_owned);
        let named = || clients(&[("GROUP_ID", "checks"), ("INSTANCE_ID", "pod-5")]);
        assert_eq!(id(&named()).as_deref(), Some("checks-pod-5-3"));
        assert_eq!(id(&named()), id(&named()));
        let consumer = named().consumer(3);
        assert_eq!(consumer.get("group.instance.id"), Some("pod-5-3"));
        let (first, second) = (clients(&[]), clients(&[]));
        assert_ne!(id(&first), id(&second));
        assert_eq!(first.consumer(3).get("group.instance.id"), None);
    }

    #[test]
    fn a_worker_may_be_away_for_as_long_as_a_transaction_and_its_end_take() {
        for (given, expected) in [
            (&[][..], "45000"),
            (&[("PRODUCER__TRANSACTION_TIMEOUT_MS", "60000")], "90000"),
            (&[("SESSION_TIMEOUT_MS", "100000")], "100000"),
        ] {
            let clients = clients(given);
            for config in [clients.consumer(0), clients.reader()] {
                assert_eq!(config.get("max.poll.interval.ms"), Some(expected));
            }
        }
    }

    #[test]
    fn librdkafka_never_resets_a_position_by_itself() {
        let clients = clients(&[("CONSUMER__AUTO_OFFSET_RESET", "earliest")]);
        assert_eq!(clients.consumer(0).get("auto.offset.reset"), Some("error"));
    }

    #[test]
    fn an_operators_properties_override_ours_and_those_of_one_client_those_of_both() {
        let own = clients(&[]);
        let both = clients(&[("LIBRDKAFKA__RECONNECT_BACKOFF_MAX_MS", "7")]);
        let one = clients(&[
            ("LIBRDKAFKA__RECONNECT_BACKOFF_MAX_MS", "7"),
            ("PRODUCER__RECONNECT_BACKOFF_MAX_MS", "8"),
            ("CONSUMER__RECONNECT_BACKOFF_MAX_MS", "9"),
        ]);
        for (clients, producer, consumer) in
            [(own, "2000", "2000"), (both, "7", "7"), (one, "8", "9")]
        {
            let property = "reconnect.backoff.max.ms";
            assert_eq!(clients.producer(0).get(property), Some(producer));
            assert_eq!(clients.consumer(0).get(property), Some(consumer));
        }
    }
}
