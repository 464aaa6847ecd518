//! Exactly once, whatever breaks: instances and brokers are killed, frozen, restarted and multiplied under load; then each request
//! must have exactly one outcome, the bytes that `check` tells, in order. `script/faults` runs it for as long as wanted.

mod brokers;
mod fleet;
mod load;
mod reconcile;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::KafkaCluster;
use brokers::Brokers;
use fleet::{Fleet, Membership};
use load::Load;
use reconcile::{Verdict, reconcile};

const REQUESTS: &str = "nik.requests";
const TOPICS: [&str; 3] = [REQUESTS, "nik.results", "nik.failures"];
const GROUP: &str = "faults";
const PARTITIONS: usize = 6;
const MOST_PARTITIONS: i32 = 10;
/// How long brokers and instances may take to be well again.
const PATIENCE: Duration = Duration::from_mins(2);
/// What may be left to do when the load ends.
const DRAIN_LIMIT: Duration = Duration::from_mins(3);
/// The program's `transaction.timeout.ms` and a little: what a crash left open is over then at the latest.
const LAST_TRANSACTION: Duration = Duration::from_secs(17);

#[derive(Clone, Copy)]
enum Deed {
    Kill,
    Freeze,
    Blink,
    Restart,
    Usurp,
    Storm,
    StopBroker,
    KillBroker,
    FreezeBroker,
    Grow,
}

/// Dealt one after the other, then shuffled again: a short run sees every kind.
const DECK: [Deed; 16] = [
    Deed::Kill,
    Deed::Kill,
    Deed::Kill,
    Deed::Freeze,
    Deed::Freeze,
    Deed::Blink,
    Deed::Restart,
    Deed::Restart,
    Deed::Usurp,
    Deed::Storm,
    Deed::Storm,
    Deed::StopBroker,
    Deed::KillBroker,
    Deed::KillBroker,
    Deed::FreezeBroker,
    Deed::Grow,
];

// The short form: a minute each, with seeds of their own. On three brokers: where all replicas of a partition are away at once,
// Kafka itself may leave out the markers of a commit (docs/delivery.md, "Where exactly once needs three brokers").

#[test]
fn in_a_minute_of_faults_static_members_lose_and_double_nothing() {
    short(u64::from(std::process::id()) * 2);
}

#[test]
fn in_a_minute_of_faults_dynamic_members_lose_and_double_nothing() {
    short(u64::from(std::process::id()) * 2 + 1);
}

fn short(seed: u64) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}"));
    println!("faults: seed {seed}");
    run(Duration::from_mins(1), seed, 3, 200, &logs);
}

#[test]
#[ignore = "takes minutes: script/faults"]
fn each_request_has_exactly_one_outcome_whatever_breaks() {
    let minutes: f64 = setting("NIK_FAULTS_MINUTES", 2.0);
    let seed: u64 = setting("NIK_FAULTS_SEED", u64::from(std::process::id()));
    let brokers: usize = setting("NIK_FAULTS_BROKERS", 3);
    let rate: u32 = setting("NIK_FAULTS_RATE", 300);
    let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}"));
    println!(
        "faults: seed {seed}, {minutes} minutes, {brokers} brokers, {rate} requests a second, logs in {}",
        logs.display()
    );
    run(Duration::from_secs_f64(60.0 * minutes), seed, brokers, rate, &logs);
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name}: not a number: {text}"))
    })
}

fn run(time: Duration, seed: u64, count: usize, rate: u32, logs: &Path) {
    let _ = std::fs::remove_dir_all(logs);
    std::fs::create_dir_all(logs).expect("a directory for the logs");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut brokers = Brokers::start(count);
    create_topics(&brokers.cluster);
    let membership = if seed.is_multiple_of(2) { Membership::Static } else { Membership::Dynamic };
    println!("faults: members {membership:?}");
    let mut fleet = Fleet::start(&brokers.cluster, GROUP, membership, logs.to_owned());
    let load = Load::start(&brokers.cluster, REQUESTS, rate, seed);

    let end = Instant::now() + time;
    let mut deck: Vec<Deed> = Vec::new();
    let mut next = Instant::now();
    while Instant::now() < end {
        if deck.is_empty() {
            deck = DECK.to_vec();
            deck.shuffle(&mut random);
        }
        if Instant::now() >= next {
            let deed = deck.pop().expect("dealt");
            // One that is not possible now is passed over: the next deck has it again.
            if perform(deed, &mut fleet, &mut brokers, &mut random) {
                next = Instant::now() + Duration::from_millis(random.random_range(500..5_000));
            }
        }
        fleet.tick(&mut random);
        brokers.tick();
        std::thread::sleep(Duration::from_millis(50));
    }

    brokers.heal();
    let sent = load.finish();
    fleet.heal(&mut random);
    let drained = drain(&brokers.cluster, &mut fleet, &mut random);
    fleet.stop();
    let stopped = Instant::now();
    while !brokers.cluster.is_settled(&TOPICS[1..]) && stopped.elapsed() < LAST_TRANSACTION {
        std::thread::sleep(Duration::from_millis(200));
    }
    let [requests, results, failures] = TOPICS.map(|topic| brokers.cluster.read_committed(topic));
    let verdict = reconcile(&requests, &results, &failures);
    println!("{}", summary(&fleet, &brokers, &verdict, drained));

    if !verdict.is_clean() {
        // What the brokers hold tells whose fault it is.
        let kept = Command::new("cp")
            .arg("-r")
            .arg(brokers.cluster.dir())
            .arg(logs.join("kafka"))
            .status();
        println!("the brokers' files are in {}: {kept:?}", logs.display());
    }
    assert_eq!(requests.len() as u64, sent, "the load itself lost or doubled requests");
    assert!(verdict.is_clean(), "seed {seed}:\n{}", verdict.examples.join("\n"));
    assert!(
        brokers.counts.contains_key("partitions added") || verdict.elsewhere == 0,
        "outcomes in other partitions"
    );
    assert!(
        drained.is_some(),
        "seed {seed}: not all requests were processed within {DRAIN_LIMIT:?}"
    );
    assert!(fleet.misdeeds.is_empty(), "seed {seed}:\n{}", fleet.misdeeds.join("\n\n"));
}

// One segment and no end to it: some requests are years old, and so are their outcomes.
fn create_topics(cluster: &KafkaCluster) {
    const FOR_EVER: [(&str, &str); 2] =
        [("retention.ms", "-1"), ("segment.ms", "9223372036854775807")];
    for (topic, limit) in TOPICS.into_iter().zip(["5242880", load::RESULTS_LIMIT, "5242880"]) {
        let settings = [&FOR_EVER[..], &[("max.message.bytes", limit)]].concat();
        cluster.create_topic(topic, PARTITIONS, &settings);
    }
}

fn perform(deed: Deed, fleet: &mut Fleet, brokers: &mut Brokers, random: &mut ChaCha8Rng) -> bool {
    match deed {
        Deed::Kill => fleet.kill(random),
        Deed::Freeze => fleet.freeze(random),
        Deed::Blink => fleet.blink(random),
        Deed::Restart => fleet.restart(random),
        Deed::Usurp => fleet.usurp(random),
        Deed::Storm => fleet.storm(random),
        Deed::StopBroker => brokers.stop(random),
        Deed::KillBroker => brokers.kill(random),
        Deed::FreezeBroker => brokers.freeze(random),
        Deed::Grow => brokers.grow(TOPICS, MOST_PARTITIONS),
    }
}

/// Waits until the group has committed everything; how long that took, if it came to an end.
fn drain(cluster: &KafkaCluster, fleet: &mut Fleet, random: &mut ChaCha8Rng) -> Option<Duration> {
    let started = Instant::now();
    let ends = cluster.end_offsets(REQUESTS);
    let mut said = Duration::from_secs(10);
    while started.elapsed() < DRAIN_LIMIT {
        let asked = Instant::now();
        let committed = cluster.committed(GROUP, REQUESTS);
        let position = |partition: &i32| committed.get(partition).copied().unwrap_or(0);
        let mut open = ends.clone();
        open.retain(|partition, end| position(partition) != *end);
        if open.is_empty() {
            return Some(started.elapsed());
        }
        if started.elapsed() > said {
            said = started.elapsed() + Duration::from_secs(10);
            let open = open
                .iter()
                .map(|(partition, end)| format!("{partition}: {} of {end}", position(partition)));
            println!(
                "not drained after {:.1?} (asked for {:.1?}): {}",
                started.elapsed(),
                asked.elapsed(),
                open.collect::<Vec<_>>().join(", ")
            );
        }
        fleet.tick(random);
        std::thread::sleep(Duration::from_millis(200));
    }
    None
}

fn summary(
    fleet: &Fleet,
    brokers: &Brokers,
    verdict: &Verdict,
    drained: Option<Duration>,
) -> String {
    let faults =
        fleet.counts.iter().chain(&brokers.counts).map(|(what, count)| (*what, count.to_string()));
    let figures = [
        ("requests", verdict.requests),
        ("results", verdict.results),
        ("failures", verdict.failures),
        ("in another partition", verdict.elsewhere),
        (if drained.is_some() { "lost" } else { "lost or not processed" }, verdict.lost),
        ("doubled", verdict.doubled),
        ("wrong", verdict.wrong),
        ("out of order", verdict.out_of_order),
        ("unexpected ends", fleet.misdeeds.len()),
    ];
    let figures = figures.map(|(what, figure)| (what, figure.to_string()));
    let drained = drained.map_or("never".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
    let rows = faults.chain(figures).chain([("drained after", drained)]);
    let lines = rows.map(|(what, figure)| format!("{what:<40} {figure:>9}"));
    lines.collect::<Vec<_>>().join("\n")
}
