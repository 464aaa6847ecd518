//! The stream: reads requests and writes each outcome exactly once.

mod announce;
mod assignment;
pub mod breaker;
mod consumer;
pub mod headers;
mod ledger;
mod leftovers;
mod lookup;
pub(crate) mod operator;
pub mod outputs;
mod own_positions;
mod pending;
mod refusals;
mod renewal;
pub mod shared;
pub mod shutdown;
pub mod standing;
pub mod start;
mod supervisor;
mod tracks;
mod unassigned;
mod watch;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{Reload, Settings};
use crate::kafka::client::config::Clients;
use crate::kafka::client::fault::Fault;
use crate::kafka::client::producer::epoch_timeout;
use crate::kafka::client::spawn;
use crate::pipeline::epoch::ByteLimit;
use crate::pipeline::judge::JudgeInForce;
use headers::OutcomeHeaders;
use outputs::Outputs;
use renewal::{Turn, publish_expiries, watch_files};
pub(crate) use shared::Telemetry;
use shared::{Shared, StreamPolicy};
use shutdown::{ShutdownBarrier, Signal, Stop};
use supervisor::{caught, supervise};
use watch::Watch;

/// How long closing a producer may take, and leaving the group after a fault.
const CLOSE_BUDGET: Duration = Duration::from_millis(2500);

/// The running workers and the watch.
pub(crate) struct Running {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Receives the result of every worker, and the panic of any other thread; disconnected when
    /// all threads have ended.
    ended: Receiver<Result<(), Fault>>,
}

/// Starts the workers, one thread each, and the watch.
pub(crate) fn start(
    settings: &Settings,
    judge: &Arc<JudgeInForce>,
    telemetry: Telemetry,
    stop: &Stop,
) -> Result<Running, Fault> {
    let (clients, delivery) = (Clients::new(settings), &settings.delivery);
    let workers = settings.kafka.worker_count();
    let shared = Arc::new(Shared {
        group: settings.kafka.group_id.clone(),
        judge: Arc::clone(judge),
        outputs: Outputs::new(&settings.topics, &clients.access)?,
        byte_limit: ByteLimit::new(
            delivery.commit_bytes,
            epoch_timeout(&clients.producer(0)),
            Duration::from_millis(delivery.commit_interval_ms),
        ),
        headers: OutcomeHeaders::new(settings),
        clients,
        policy: StreamPolicy::new(settings),
        telemetry,
        refresh: Signal::default(),
        outages: AtomicU64::new(0),
        rejoins: AtomicU64::new(0),
        own_positions: Arc::default(),
        turn: Turn::default(),
        shutdown: ShutdownBarrier::new(workers),
    });
    let (done, ended) = mpsc::channel();
    let watch = Watch::new(&shared)?;
    let mut threads = vec![spawn("watch".to_owned(), {
        let (stop, done) = (stop.clone(), done.clone());
        move || until_stop(&stop, &done, || watch.run(&stop))
    })?];
    publish_expiries(&shared, &shared.clients.credentials());
    if settings.kafka.security.reload == Reload::Watch && shared.clients.has_files() {
        threads.push(spawn("files".to_owned(), {
            let (shared, stop, done) = (Arc::clone(&shared), stop.clone(), done.clone());
            move || until_stop(&stop, &done, || watch_files(&shared, &stop))
        })?);
    }
    for index in 0..workers {
        let (shared, stop, done) = (Arc::clone(&shared), stop.clone(), done.clone());
        threads.push(spawn(format!("worker-{index}"), move || {
            let result = caught(|| supervise(index, &shared, &stop));
            shared.shutdown.arrive(index);
            let _ = done.send(result); // the receiver is gone once the program exits
            stop.request(); // a worker that ends by itself ends the program
        })?);
    }
    Ok(Running { shared, threads, ended })
}

/// Does the work of a thread that ends with the stop. A panic ends the program, as that of a worker
/// does: without the watch, for example, readiness and the partition counts would never change again.
fn until_stop(stop: &Stop, done: &Sender<Result<(), Fault>>, work: impl FnOnce()) {
    let result = caught(|| {
        work();
        Ok(())
    });
    if result.is_err() {
        let _ = done.send(result); // the receiver is gone once the program exits
        stop.request();
    }
}

impl Running {
    /// The result of the first thread that has ended by itself, if one has.
    pub(crate) fn first_end(&self) -> Option<Result<(), Fault>> {
        self.ended.try_recv().ok()
    }

    /// Waits for all threads after a stop was requested. Returns the first fault of one of them that
    /// ends the program, or `None` if they have not ended by `deadline`.
    pub(crate) fn finish(self, deadline: Instant) -> Option<Result<(), Fault>> {
        self.shared.refresh_soon(); // wakes the watch, which then sees the stop
        let mut ended = Ok(());
        loop {
            match self.ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(result) => ended = ended.and(result),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for thread in self.threads {
            let _ = thread.join(); // panics were caught
        }
        Some(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use nik::region::{Regions, RetiredCodes};
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

    use super::*;
    use crate::config::load_from;
    use crate::kafka::{Cause, SharedBreaker, check_property};
    use crate::pipeline::judge::Judge;
    use crate::telemetry::health::Health;
    use crate::telemetry::metrics::Metrics;

    /// One worker and the watch. Dropping it requests a stop.
    pub(super) struct Service {
        running: Option<Running>,
        pub stop: Stop,
        pub metrics: Arc<Metrics>,
        pub health: Arc<Health>,
    }

    impl Service {
        /// `given` are further settings: the ends of their variables' names, and their values.
        pub fn start(bootstrap_servers: &str, given: &[(&str, &str)]) -> Self {
            let own = [
                ("KAFKA__BOOTSTRAP_SERVERS", bootstrap_servers),
                ("KAFKA__WORKERS", "1"),
                // librdkafka's mock cluster has no transactions.
                ("DELIVERY__GUARANTEE", "at_least_once"),
            ];
            let variables = own.iter().chain(given).map(|(name, value)| {
                (OsString::from(format!("NIK_STREAM__{name}")), (*value).into())
            });
            let settings = load_from(&[], variables, check_property).unwrap().settings;
            let metrics = Arc::new(Metrics::for_tests(Cause::LABELS));
            let breaker =
                Arc::new(SharedBreaker::new(settings.delivery.breaker(), Arc::clone(&metrics)));
            let health = Arc::new(Health::new(1, breaker.clone()));
            let regions = Regions::parse("", "", RetiredCodes::All).unwrap();
            let processor = settings.processor(regions);
            let judge = Judge::new(processor, settings.rules.dating(), None);
            let stop = Stop::default();
            let telemetry = Telemetry::new(&metrics, &health, &breaker, None);
            let judge = Arc::new(JudgeInForce::new(judge));
            let running = start(&settings, &judge, telemetry, &stop).unwrap();
            Self { running: Some(running), stop, metrics, health }
        }

        /// Creates the three topics, and waits until it reads requests.
        pub fn with_topics(self, brokers: &MockCluster<'_, DefaultProducerContext>) -> Self {
            let topics = &self.shared().outputs.topics;
            for (_, topic) in topics.iter() {
                brokers.create_topic(&topic.name, 2, 1).unwrap();
            }
            self.wait_until(|| self.health.problems().is_empty());
            self
        }

        /// Sends a request to this partition.
        pub fn request(&self, servers: &str, partition: i32) {
            let producer: BaseProducer =
                ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            let value = r#"{"nik":["3273010101900001"],"process":"full"}"#;
            let topic = &self.shared().outputs.topics.requests.name;
            let record = BaseRecord::<(), str>::to(topic).partition(partition).payload(value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.flush(Duration::from_secs(30)).unwrap();
        }

        /// The number of results in this partition.
        pub fn results(&self, servers: &str, partition: i32) -> i64 {
            let consumer: BaseConsumer =
                ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            let topic = &self.shared().outputs.topics.results.name;
            consumer.fetch_watermarks(topic, partition, Duration::from_secs(30)).unwrap().1
        }

        #[track_caller]
        pub fn wait_until(&self, is_so: impl Fn() -> bool) {
            let deadline = Instant::now() + Duration::from_mins(1);
            while !is_so() {
                assert!(Instant::now() < deadline, "{:?}", self.health.problems());
                std::thread::sleep(Duration::from_millis(50));
            }
        }

        fn running(&self) -> &Running {
            self.running.as_ref().unwrap()
        }

        pub fn shared(&self) -> &Arc<Shared> {
            &self.running().shared
        }

        /// How it ended by itself, which it has to within a minute.
        pub fn ended(&self) -> Option<Result<(), Fault>> {
            self.stop.wait(Duration::from_mins(1));
            self.running().first_end()
        }

        /// Stops as the program does.
        pub fn stop(mut self, timeout: Duration) {
            self.stop.request();
            self.health.set_stopping();
            let ended = self.running.take().unwrap().finish(Instant::now() + timeout);
            assert!(matches!(ended, Some(Ok(()))), "{ended:?}");
        }
    }

    impl Drop for Service {
        fn drop(&mut self) {
            self.stop.request();
            self.health.set_stopping();
        }
    }

    #[test]
    fn a_panic_outside_of_the_workers_ends_the_program() {
        let (stop, (done, ended)) = (Stop::default(), mpsc::channel());
        until_stop(&stop, &done, || ());
        assert!(!stop.requested() && ended.try_recv().is_err());
        until_stop(&stop, &done, || panic!("on purpose"));
        assert!(stop.requested());
        assert!(matches!(ended.try_recv(), Ok(Err(Fault::Fatal(Cause::WorkerPanicked)))));
    }
}
