//! One consumer group under faults: its topics, load and instances, and the audit at the end.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::fleet::{Counts, Fleet, Membership};
use super::requests::{BATCH_BYTES, Mixture, RESULTS_LIMIT};
use crate::cluster::{KafkaCluster, NewRecord, Record};
use crate::traffic::audit::{Differences, audited, differences};
use crate::traffic::load::{Load, id};
use crate::traffic::stage::Stage;

const PARTITIONS: usize = 6;
/// How long the instances may take to process what is left when the load ends.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(3);
/// A transaction that a crash left open ends within the program's `transaction.timeout.ms` and a
/// little more.
const TRANSACTIONS_TIMEOUT: Duration = Duration::from_secs(17);

/// What a run is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any fault that a cluster of three brokers survives.
    Faults,
    /// Kills of a single broker. The group has a ledger, which names the producers of dynamic
    /// members that are gone. The requests are dated now: a broker that was killed forgets
    /// producers whose records are old, and may then lose what such a producer sends again.
    Kills,
}

pub struct Group {
    pub stage: Stage,
    pub fleet: Fleet,
    pub load: Load,
    /// Requests a second.
    pub rate: u32,
    membership: Membership,
}

/// The result of a group's run.
pub struct Audit {
    membership: Membership,
    counts: Counts,
    /// Requests that the load sent and that are not in the topic.
    unsent: usize,
    /// Requests that the load's producer wrote twice. A broker that is killed forgets a producer
    /// whose last record has an old timestamp, and treats what that producer sends again as new.
    repeated: usize,
    requests: usize,
    results: usize,
    failures: usize,
    differences: Differences,
    /// What `nik-stream audit` finds: lost, doubled, and different or unexplained; or why it
    /// failed.
    audited: Result<[usize; 3], String>,
    /// Failures whose headers name another record than their request.
    misplaced: usize,
    drained: Option<Duration>,
    /// Whether no transaction stayed open.
    is_settled: bool,
    unexpected: Vec<String>,
}

impl Group {
    /// Creates the topics, and starts instances and load; does not wait for the instances.
    pub fn start(
        cluster: &KafkaCluster,
        membership: Membership,
        rate: u32,
        seed: u64,
        logs: &Path,
        kind: Kind,
    ) -> Group {
        // One segment without retention: some requests are dated years ago, and so are their
        // outcomes.
        const KEPT: [(&str, &str); 2] =
            [("retention.ms", "-1"), ("segment.ms", "9223372036854775807")];
        let name = format!("{membership:?}").to_lowercase();
        let stage = Stage::named(cluster, &name);
        for (topic, limit) in stage.topics().into_iter().zip(["5242880", RESULTS_LIMIT, "5242880"])
        {
            let settings = [&KEPT[..], &[("max.message.bytes", limit)]].concat();
            cluster.create_topic(topic, PARTITIONS, &settings);
        }
        let mut requests = Mixture::new(seed);
        let (stage, settings) = if kind == Kind::Kills {
            requests = requests.dated_now();
            let stage = stage.with_ledger(cluster);
            // A batch that the small results topic refuses is sent again one outcome at a time,
            // which takes a minute after an outage; here only single results are too large.
            let settings = stage.default_settings().set("kafka.producer.batch_size", BATCH_BYTES);
            (stage, settings)
        } else {
            let settings = stage.default_settings();
            (stage, settings)
        };
        let fleet = Fleet::start(settings, membership, logs.join(name));
        let load = Load::of(cluster, &stage.requests, requests, rate);
        Group { stage, fleet, load, rate, membership }
    }

    /// Ends the load, lets the instances recover and process everything, stops them, and compares
    /// outcomes with requests.
    pub fn finish(mut self, cluster: &KafkaCluster, seed: u64) -> Audit {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let sent = self.load.finish().len();
        self.fleet.recover(random);
        let drained = drain(&self.stage, cluster, &mut self.fleet, random);
        self.fleet.stop();
        let [_, results, failures] = self.stage.topics();
        let stopped = Instant::now();
        let is_settled = || cluster.is_settled(&[results, failures]);
        while !is_settled() && stopped.elapsed() < TRANSACTIONS_TIMEOUT {
            std::thread::sleep(Duration::from_millis(200));
        }
        let is_settled = is_settled();
        let [requests, results, failures] =
            self.stage.topics().map(|topic| cluster.read_committed(topic));
        let places = places(&requests);
        let (unsent, repeated) = (sent - places.len(), requests.len() - places.len());
        let misplaced = misplaced(&places, &failures);
        let requests: Vec<_> = requests.into_iter().map(NewRecord::from).collect();
        let outcomes = (results, failures);
        Audit {
            membership: self.membership,
            counts: self.fleet.counts,
            unsent,
            repeated,
            requests: requests.len(),
            results: outcomes.0.len(),
            failures: outcomes.1.len(),
            differences: differences(&requests, &outcomes),
            audited: audited(&self.stage.default_settings()),
            misplaced,
            drained,
            is_settled,
            unexpected: self.fleet.unexpected,
        }
    }
}

/// Waits until the group has committed every request; returns how long that took.
fn drain(
    stage: &Stage,
    cluster: &KafkaCluster,
    fleet: &mut Fleet,
    random: &mut ChaCha8Rng,
) -> Option<Duration> {
    let started = Instant::now();
    let ends = cluster.end_offsets(&stage.requests);
    let mut next_report = Duration::from_secs(10);
    while started.elapsed() < DRAIN_TIMEOUT {
        let committed = cluster.committed(&stage.group, &stage.requests);
        let offset = |partition: &i32| committed.get(partition).copied().unwrap_or(0);
        let mut open = ends.clone();
        open.retain(|partition, end| offset(partition) != *end);
        if open.is_empty() {
            return Some(started.elapsed());
        }
        if started.elapsed() > next_report {
            next_report = started.elapsed() + Duration::from_secs(10);
            let open = open.iter().map(|(it, end)| format!("{it}: {} of {end}", offset(it)));
            let open = open.collect::<Vec<_>>().join(", ");
            println!("{} not drained after {:.1?}: {open}", stage.group, started.elapsed());
        }
        fleet.tick(random);
        std::thread::sleep(Duration::from_millis(200));
    }
    None
}

/// Where each request is, by its id.
fn places(requests: &[Record]) -> HashMap<Vec<u8>, Vec<(i64, i64)>> {
    let mut places: HashMap<_, Vec<_>> = HashMap::new();
    for it in requests {
        let place = (it.partition.into(), it.offset);
        places.entry(id(&it.headers).to_vec()).or_default().push(place);
    }
    places
}

fn misplaced(places: &HashMap<Vec<u8>, Vec<(i64, i64)>>, failures: &[Record]) -> usize {
    let header = |record: &Record, wanted: &[u8]| -> Option<i64> {
        let found = record.headers.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| str::from_utf8(value.as_deref()?).ok()?.parse().ok())
    };
    let is_right = |record: &Record| {
        let partition = header(record, b"__dlq.errors.partition");
        let named = partition.zip(header(record, b"__dlq.errors.offset"));
        named.is_some_and(|it| places.get(id(&record.headers)).is_some_and(|all| all.contains(&it)))
    };
    failures.iter().filter(|it| !is_right(it)).count()
}

impl Audit {
    /// Everything that should not be, in words. `has_grown`: partitions were added, so that
    /// outcomes may be in other ones than their requests.
    pub fn complaints(&self, has_grown: bool) -> Vec<String> {
        let Self { differences: it, .. } = self;
        let mut complaints = self.unexpected.clone();
        for (count, what) in [
            (self.unsent, "requests that the load itself lost"),
            (it.lost, "requests without an outcome"),
            (it.doubled, "doubled outcomes"),
            (it.wrong, "wrong outcomes"),
            (it.unordered, "outcomes out of order"),
            (if has_grown { 0 } else { it.elsewhere }, "outcomes in other partitions"),
            (self.misplaced, "failures that name another record"),
            (usize::from(self.drained.is_none()), "drain that timed out"),
            (usize::from(!self.is_settled), "transaction or more that stayed open"),
        ] {
            if count > 0 {
                complaints.push(format!("{count} {what}"));
            }
        }
        if self.audited != Ok([it.lost, it.doubled, it.wrong]) {
            complaints.push(format!("`audit` finds {:?}", self.audited));
        }
        if !complaints.is_empty() {
            complaints.extend(it.examples.iter().cloned());
        }
        complaints.iter().map(|text| format!("{:?} members: {text}", self.membership)).collect()
    }
}

impl Display for Audit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} members", self.membership)?;
        for (what, count) in &self.counts {
            writeln!(f, "{what:<40} {count:>9}")?;
        }
        let Self { differences: it, .. } = self;
        for (what, count) in [
            ("requests", self.requests),
            ("of them written twice by the load", self.repeated),
            ("results", self.results),
            ("failures", self.failures),
            ("in another partition", it.elsewhere),
            (if self.drained.is_some() { "lost" } else { "lost or not processed" }, it.lost),
            ("doubled", it.doubled),
            ("wrong", it.wrong),
            ("out of order", it.unordered),
            ("unexpected ends", self.unexpected.len()),
        ] {
            writeln!(f, "{what:<40} {count:>9}")?;
        }
        writeln!(f, "{:<40} {:?}", "audit: lost, doubled, wrong", self.audited)?;
        let drained =
            self.drained.map_or("never".to_owned(), |it| format!("{:.1} s", it.as_secs_f64()));
        writeln!(f, "{:<40} {drained:>9}", "drained after")
    }
}
