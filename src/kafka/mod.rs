//! The only place that knows Kafka: records come in by `source`, outcomes go out by `sink`, `worker` joins them.

mod access;
pub mod admin;
mod calls;
mod certificate;
mod client;
mod complaint;
mod context;
mod dead_letter;
mod exception;
mod fault;
pub mod feed;
pub mod findings;
pub mod letter;
pub mod letters;
mod native;
pub mod originals;
mod progress;
mod reader;
pub mod replay;
mod reply;
mod right;
mod route;
mod sender;
mod sink;
mod source;
mod stop;
mod token;
mod trouble;
mod worker;

use std::collections::BTreeSet;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::config::{Guarantee, ReferenceDate, Settings};
use crate::pipeline::epoch::Cadence;
use crate::telemetry::breaker::SharedBreaker;
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use client::Clients;
pub(crate) use fault::Fault;
use native::Offsets;
use nik::Date;
use nik_wire::process::Processor;
use reply::Replies;
use route::{Counts, Output, Watch};
use sink::Sink;
use stop::Farewell;
pub use stop::Stop;
pub use trouble::Trouble;
use worker::Worker;

pub use right::{Operation, Right};

pub use client::{check_property, features};

/// How long a stopping worker waits for the last commits of the others.
const FAREWELL_BUDGET: Duration = Duration::from_secs(3);
/// How long leaving the group may take, and letting a producer go.
const CLOSE_BUDGET: Duration = Duration::from_millis(2500);
/// How long leaving the group may take after a last commit that went well. In the middle of a rebalance the coordinator comes to it
/// only when all other members have joined again, and a member that could not leave holds its partitions for a session.
const LEAVE_BUDGET: Duration = Duration::from_secs(8);
/// Fenced again within this time, with the brokers up, there is a rival.
const RIVAL_WINDOW: Duration = Duration::from_mins(1);
/// The pause after a fence. A rival's start fences more than once: as it begins, as it ends our transaction, as it joins the
/// group. Who came back in between would count one start as two, and of two rivals both would end.
const FENCED_PAUSE: Duration = Duration::from_secs(3);
/// The pauses between starts of a worker that ends again and again: one that worked for this long begins with the shortest.
const STEADY: Duration = Duration::from_mins(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What all workers share.
struct Shared {
    clients: Clients,
    requests: String,
    group_c: CString,
    requests_c: CString,
    results_c: CString,
    failures_c: CString,
    replies: Replies,
    group: String,
    guarantee: Guarantee,
    cadence: Cadence,
    reference: ReferenceDate,
    processor: Processor,
    counts: Arc<Counts>,
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    breaker: Arc<SharedBreaker>,
    farewell: Farewell,
}

impl Shared {
    /// Ends what an aborted transaction may have left in the outputs of the records at `starts`.
    fn sweep(&self, sink: &mut Sink, starts: &[(i32, i64)]) -> Result<(), Fault> {
        if starts.is_empty() {
            return Ok(());
        }
        let mut places = BTreeSet::new();
        for output in self.counts.outputs() {
            if !self.takes(output) {
                continue;
            }
            for &(partition, _) in starts {
                let reach = self.counts.reach(output, partition);
                places.extend(reach.map(|partition| (self.topic(output).as_c_str(), partition)));
            }
        }
        let positions = Offsets::new(&self.requests_c, starts.iter().copied());
        sink.sweep(places.into_iter(), &self.group_c, positions)
    }

    fn topic(&self, output: Output) -> &CString {
        match output {
            Output::Results => &self.results_c,
            Output::Failures => &self.failures_c,
            Output::Reply(place) => &self.replies.0[place],
        }
    }

    /// Whether an output is worth a try: the stream goes on without those for replies.
    fn takes(&self, output: Output) -> bool {
        let Output::Reply(_) = output else {
            return true;
        };
        let right = Right::on_topic(Operation::Write, &self.topic(output).to_string_lossy());
        self.counts.of(output) > 0 && !self.clients.access.lacks(&right)
    }
}

impl ReferenceDate {
    /// The day at which a record is judged: `timestamp` is its own, `now_ms` the clock's, in milliseconds since 1970.
    fn date(self, timestamp: Option<i64>, now_ms: i64) -> Date {
        match self {
            ReferenceDate::Record => Date::from_unix_ms_jakarta(timestamp.unwrap_or(now_ms)),
            ReferenceDate::Now => Date::from_unix_ms_jakarta(now_ms),
            ReferenceDate::Date(date) => date,
        }
    }
}

/// The running workers.
pub(crate) struct Running {
    threads: Vec<JoinHandle<()>>,
    ended: Receiver<Result<(), Fault>>,
}

/// Starts the workers, one thread each, and the watch over the topics.
pub(crate) fn start(
    settings: &Settings,
    processor: Processor,
    metrics: &Arc<Metrics>,
    health: &Arc<Health>,
    breaker: &Arc<SharedBreaker>,
    stop: &Stop,
) -> Result<Running, Fault> {
    let topics = &settings.topics;
    let shared = Arc::new(Shared {
        clients: Clients::new(settings),
        requests: topics.requests.clone(),
        group_c: c_string(&settings.kafka.group_id)?,
        requests_c: c_string(&topics.requests)?,
        results_c: c_string(&topics.results)?,
        failures_c: c_string(&topics.failures)?,
        replies: Replies(topics.replies().map(c_string).collect::<Result<_, _>>()?),
        group: settings.kafka.group_id.clone(),
        guarantee: settings.delivery.guarantee,
        cadence: Cadence {
            interval: Duration::from_millis(settings.delivery.commit_interval_ms),
            min_interval: Duration::from_millis(settings.delivery.commit_min_interval_ms),
            records: settings.delivery.commit_records,
            bytes: settings.delivery.commit_bytes,
        },
        reference: settings.rules.reference_date,
        processor,
        counts: Arc::new(Counts::of_replies(topics.replies().count())),
        metrics: Arc::clone(metrics),
        health: Arc::clone(health),
        breaker: Arc::clone(breaker),
        farewell: Farewell::of(settings.kafka.worker_count()),
    });
    let watch = Watch::new(
        &shared.clients.watch(),
        &shared.clients.access,
        [topics.requests.clone(), topics.results.clone(), topics.failures.clone()],
        topics.replies().map(str::to_owned).collect(),
        Arc::clone(&shared.counts),
        Arc::clone(health),
        Arc::clone(metrics),
    )?;
    let mut threads = vec![spawn("watch".to_owned(), {
        let stop = stop.clone();
        move || watch.run(|| stop.requested())
    })?];
    let (done, ended) = mpsc::channel();
    for index in 0..settings.kafka.worker_count() {
        let (shared, stop, done) = (Arc::clone(&shared), stop.clone(), done.clone());
        threads.push(spawn(format!("worker-{index}"), move || {
            let work = std::panic::AssertUnwindSafe(|| supervise(index, &shared, &stop));
            let outcome = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Err(Fault::Fatal("a worker panicked, see the log".to_owned())));
            shared.farewell.say(index);
            let _ = done.send(outcome); // nobody listens any more when the program is ending
        })?);
    }
    Ok(Running { threads, ended })
}

/// The name of a topic or a group, as librdkafka takes it.
fn c_string(name: &str) -> Result<CString, Fault> {
    let error = || Fault::Fatal("a topic's or the group's name holds a NUL character".to_owned());
    CString::new(name).map_err(|_| error())
}

/// Starts a thread.
fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    let thread = std::thread::Builder::new().name(name).spawn(work);
    thread.map_err(|error| Fault::Fatal(format!("no thread can be started: {error}")))
}

impl Running {
    /// The end of the next worker to end, if one ends within `timeout`.
    pub(crate) fn next_end(&self, timeout: Duration) -> Option<Result<(), Fault>> {
        self.ended.recv_timeout(timeout).ok()
    }

    /// Waits for all threads; `false` when `deadline` comes first.
    pub(crate) fn finish(self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if self.threads.iter().all(JoinHandle::is_finished) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

/// Runs one worker, and starts it anew from the committed positions whenever a fault ends it.
fn supervise(index: usize, shared: &Arc<Shared>, stop: &Stop) -> Result<(), Fault> {
    let mut fenced: Option<(Instant, u64)> = None;
    let mut pause = SHORTEST_PAUSE;
    let mut left_behind = Vec::new();
    while !stop.requested() {
        let started = Instant::now();
        let outcome = Worker::start(index, shared, &left_behind).and_then(|mut worker| {
            let outcome = worker.run(stop);
            let leave = if outcome.is_ok() {
                shared.farewell.say_and_wait(index, FAREWELL_BUDGET);
                LEAVE_BUDGET
            } else {
                CLOSE_BUDGET
            };
            left_behind = worker.close(leave);
            outcome
        });
        let fault = match outcome {
            Ok(()) => return Ok(()),
            Err(fault @ Fault::Fatal(_)) => return Err(fault),
            Err(fault) => fault,
        };
        if stop.requested() {
            tracing::warn!(worker = index, %fault, "the last epoch is given up; its requests will be processed again");
            return Ok(());
        }
        if let Fault::Fenced(_) = fault {
            // Brokers that were away for long fence, too: only a second time with them up proves a rival.
            let outages = shared.counts.outages();
            if fenced.is_some_and(|(at, before)| at.elapsed() < RIVAL_WINDOW && before == outages) {
                return Err(fault);
            }
            fenced = Some((Instant::now(), outages));
        }
        if started.elapsed() > STEADY {
            pause = SHORTEST_PAUSE;
        }
        if let Fault::Denied(_) = fault {
            tracing::debug!(worker = index, %fault, "the worker starts anew");
        } else {
            tracing::warn!(worker = index, %fault, "the worker starts anew");
        }
        stop.pause(match fault {
            Fault::Fenced(_) => FENCED_PAUSE,
            Fault::Denied(_) => LONGEST_PAUSE,
            Fault::Abort(_) | Fault::Restart(_) | Fault::Fatal(_) => pause,
        });
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
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
    fn a_record_is_judged_on_its_own_day_unless_the_setting_says_another() {
        let (then, now) = (951_760_000_000, 1_709_226_000_000); // 29 February 2000 and 1 March 2024 in Jakarta
        let day = |text| Date::parse(text).unwrap();
        let fixed = ReferenceDate::Date(day("2020-01-02"));
        for (reference, timestamp, expected) in [
            (ReferenceDate::Record, Some(then), "2000-02-29"),
            (ReferenceDate::Record, None, "2024-03-01"),
            (ReferenceDate::Now, Some(then), "2024-03-01"),
            (fixed, Some(then), "2020-01-02"),
        ] {
            assert_eq!(reference.date(timestamp, now), day(expected));
        }
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
