//! The settings of librdkafka's clients: ours, each with its reason, then the operator's own on top.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use crate::config::{GroupProtocol, Guarantee, Settings};
use crate::kafka::limits::MARGIN;
use crate::kafka::security::access::Access;

/// Makes the clients' settings.
pub struct Clients {
    settings: Settings,
    /// What they share.
    pub access: Arc<Access>,
    /// What distinguishes this instance's transactional ids.
    instance: String,
}

impl Clients {
    pub fn new(settings: &Settings) -> Self {
        let instance = settings.kafka.instance_id.clone().unwrap_or_else(|| {
            // No name that is stable across restarts: a fresh one, so that no other instance is fenced.
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            format!("{:x}-{:x}", std::process::id(), since.as_nanos())
        });
        Self {
            access: Arc::new(Access::new(&settings.kafka.security)),
            settings: settings.clone(),
            instance,
        }
    }

    /// The consumer of a worker.
    pub fn consumer(&self, worker: usize) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = self.common();
        config
            .set("group.id", &kafka.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            // The default of a second throttles a fast consumer about threefold.
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.wait.max.ms", "100")
            // What waits for a worker: some 30 ms of its work, more than a fetch takes. A record costs some 450 bytes beside
            // its own: the default of 100,000 took 120 MB more, for two workers, and made nothing faster.
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "16384")
            // What one fetch brings beyond that: of a partition, and of all of them, however many there are.
            .set("fetch.message.max.bytes", "262144")
            .set("fetch.max.bytes", "1048576");
        match kafka.group_protocol {
            GroupProtocol::Classic => config
                .set("partition.assignment.strategy", strategy(kafka))
                .set("session.timeout.ms", kafka.session_timeout_ms.to_string())
                // Its default; librdkafka takes no session that is longer.
                .set("max.poll.interval.ms", kafka.session_timeout_ms.max(300_000).to_string())
                // How soon a member client_callbacks of another's leaving: it is what a takeover waits for.
                .set("heartbeat.interval.ms", (kafka.session_timeout_ms / 4).min(500).to_string()),
            GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
        };
        if let Some(instance) = &kafka.instance_id {
            config.set("group.instance.id", format!("{instance}-{worker}"));
        }
        overridden(config, [&kafka.librdkafka, &kafka.consumer])
    }

    /// The producer of a worker.
    pub fn producer(&self, worker: usize) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let largest = self.settings.limits.result_bytes + MARGIN;
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", largest.to_string())
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "200000")
            // A batch goes when it is full, or with the flush at the epoch's end, which waits for no linger. Sooner it would go
            // half empty; and a batch that is due while the one before it is on its way keeps librdkafka's thread spinning
            // (2.12.1, `rd_kafka_broker_producer_serve`): with 5 ms the program took a quarter more CPU, busy as the machine was.
            .set("linger.ms", "100")
            // Only refusals are of interest: a flush tells that all else arrived.
            .set("delivery.report.only.error", "true")
            // After a commit the broker answers "concurrent transactions" until its markers are written.
            .set("retry.backoff.ms", "10");
        match self.settings.delivery.guarantee {
            Guarantee::ExactlyOnce => config
                .set("transactional.id", format!("{}-{}-{worker}", kafka.group_id, self.instance))
                .set("transaction.timeout.ms", "15000"),
            Guarantee::AtLeastOnce => config.set("message.timeout.ms", "25000"),
        };
        overridden(config, [&kafka.librdkafka, &kafka.producer])
    }

    /// A reader outside of any group, for the commands: of what is committed, up to its end as it is.
    pub fn reader(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let mut config = self.common();
        config
            // Never joined: whose positions are asked for.
            .set("group.id", self.replay_name())
            .set("statistics.interval.ms", "0")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "5")
            // A jump waits for the fetch before it, and nobody waits for new records.
            .set("fetch.wait.max.ms", "5")
            // It jumps from place to place: little is fetched ahead.
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "16384");
        overridden(config, [&kafka.librdkafka, &kafka.consumer])
    }

    /// The producer of replays: transactional whatever the guarantee of the service is.
    pub fn replayer(&self) -> ClientConfig {
        let mut clients = Self {
            access: Arc::clone(&self.access),
            settings: self.settings.clone(),
            instance: String::new(),
        };
        clients.settings.delivery.guarantee = Guarantee::ExactlyOnce;
        let mut config = clients.producer(0);
        config
            .set("transactional.id", self.replay_name())
            .set("statistics.interval.ms", "0")
            // The broker's limit counts, as these records stood in its topic before.
            .set("message.max.bytes", "1000000000");
        config
    }

    /// The producer of synthetic requests, the largest within the limits among them.
    pub fn feeder(&self) -> ClientConfig {
        let kafka = &self.settings.kafka;
        let largest = self.settings.limits.request_bytes + MARGIN;
        let mut config = self.common();
        config
            .set("statistics.interval.ms", "0")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", largest.to_string())
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5");
        overridden(config, [&kafka.librdkafka, &kafka.producer])
    }

    /// The group and the transactional id of replays: one for all of them, so that two at once fence each other.
    pub fn replay_name(&self) -> String {
        format!("{}-replay", self.settings.kafka.group_id)
    }

    /// A client that only looks at metadata.
    pub fn watch(&self) -> ClientConfig {
        overridden(self.common(), [&self.settings.kafka.librdkafka])
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
            // New partitions are picked up within this time.
            .set("topic.metadata.refresh.interval.ms", "10000");
        let security = &kafka.security;
        config.set("security.protocol", security.protocol.as_str());
        let optional = [
            ("ssl.ca.location", &security.ca_file),
            ("ssl.certificate.location", &security.certificate_file),
            ("ssl.key.location", &security.key_file),
        ];
        for (key, file) in optional {
            if let Some(file) = file {
                config.set(key, file.to_string_lossy());
            }
        }
        if let Some(name) = &security.username {
            config.set("sasl.username", name);
        }
        if let Some(mechanism) = security.sasl_mechanism {
            config.set("sasl.mechanism", mechanism.as_str());
        }
        for (key, secret) in
            [("ssl.key.password", &security.key_password), ("sasl.password", &security.password)]
        {
            if let Some(secret) = secret {
                config.set(key, secret.expose());
            }
        }
        config
    }
}

/// Where a client's cluster is reached first.
pub fn bootstrap(config: &ClientConfig) -> CString {
    let servers = config.get("bootstrap.servers").unwrap_or_default();
    CString::new(servers).unwrap_or_default() // with a NUL in it no client would have been made
}

/// The finest lines of librdkafka's that are asked for: some say why no broker answers. (The wrapper asks another logger, which this
/// program has not.)
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    }
}

/// How the group's leader deals partitions out.
///
/// A cooperative rebalance takes two rounds: a member that gave partitions up joins again to have them dealt out. A static
/// member that crashes in between and comes back gets what it had, without that second round, and until the next
/// rebalance nobody reads what it gave up. So static members take the eager way, of one round.
fn strategy(kafka: &crate::config::Kafka) -> &'static str {
    match kafka.instance_id {
        Some(_) => "range",
        None => "cooperative-sticky",
    }
}

/// The operator's own properties come last: those of one client over those of both.
fn overridden<const N: usize>(
    mut config: ClientConfig,
    tables: [&crate::config::Properties; N],
) -> ClientConfig {
    for (key, value) in tables.into_iter().flat_map(crate::config::Properties::iter) {
        config.set(key, value);
    }
    config
}

/// What librdkafka itself says against a property of the operator's.
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

/// librdkafka's version and the features it was built with.
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

    /// The clients under these settings, given as the environment gives them.
    fn clients(given: &[(&str, &str)]) -> Clients {
        let given = given
            .iter()
            .map(|(key, value)| (format!("NIK_STREAM__KAFKA__{key}").into(), value.into()));
        Clients::new(&load_from(&[], given, |_, _| Ok(())).unwrap().settings)
    }

    #[test]
    fn a_named_instance_keeps_its_ids_and_one_without_a_name_has_fresh_ones() {
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
    fn an_operators_properties_come_last_and_those_of_one_client_over_those_of_both() {
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
