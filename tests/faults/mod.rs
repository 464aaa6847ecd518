//! Exactly once under faults: instances and brokers are killed, frozen, restarted and multiplied
//! under load; then each request must have exactly one outcome, with the right bytes, in order.
//!
//! Two groups share the cluster, one of static members and one of dynamic members, each with its
//! own topics and load. `script/faults` runs it for as long as wanted.

mod brokers;
mod fleet;
mod group;
pub mod kills;
mod requests;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::cluster::KafkaCluster;
use brokers::Brokers;
use fleet::Membership;
use group::{Audit, Group, Kind};

const MOST_PARTITIONS: i32 = 10;
/// How long brokers and instances may take to recover.
const RECOVERY_TIMEOUT: Duration = Duration::from_mins(2);
/// The pause before the next fault, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 250..2_500;

#[derive(Clone, Copy)]
enum Deed {
    Kill,
    Freeze,
    Blink,
    Restart,
    Usurp,
    Storm,
    Burst,
    StopBroker,
    KillBroker,
    FreezeBroker,
    Grow,
}

/// The faults of one round. Each round performs them in a random order, so that a short run has
/// every kind.
const DECK: [Deed; 17] = [
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
    Deed::Burst,
    Deed::StopBroker,
    Deed::KillBroker,
    Deed::KillBroker,
    Deed::FreezeBroker,
    Deed::Grow,
];

/// The short form, with a new seed each time. It runs on three brokers: where all replicas of a
/// partition are away at once, Kafka itself may leave out the markers of a commit
/// (docs/delivery.md, "Where exactly once needs three brokers").
#[test]
fn in_a_minute_of_faults_static_and_dynamic_members_lose_and_double_nothing() {
    let seed = u64::from(std::process::id());
    println!("faults: seed {seed}");
    run(Duration::from_mins(1), seed, 3, 200, &logs(seed));
}

#[test]
#[ignore = "takes minutes: script/faults"]
fn each_request_has_exactly_one_outcome_whatever_breaks() {
    let minutes: f64 = setting("NIK_FAULTS_MINUTES", 2.0);
    let seed: u64 = setting("NIK_FAULTS_SEED", u64::from(std::process::id()));
    let brokers: usize = setting("NIK_FAULTS_BROKERS", 3);
    let rate: u32 = setting("NIK_FAULTS_RATE", 300);
    let logs = logs(seed);
    println!(
        "faults: seed {seed}, {minutes} minutes, {brokers} brokers, {rate} requests a second, logs in {}",
        logs.display()
    );
    run(Duration::from_secs_f64(60.0 * minutes), seed, brokers, rate, &logs);
}

fn logs(seed: u64) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}"))
}

pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| {
        text.parse().unwrap_or_else(|_| panic!("{name} must be a number: {text}"))
    })
}

fn run(time: Duration, seed: u64, count: usize, rate: u32, logs: &Path) {
    let _ = std::fs::remove_dir_all(logs);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut brokers = Brokers::start(count);
    let mut groups = [Membership::Static, Membership::Dynamic]
        .map(|it| Group::start(&brokers.cluster, it, rate / 2, seed, logs, Kind::Faults));
    for group in &mut groups {
        group.fleet.wait_ready();
    }

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
            // A deed that is impossible at the moment is skipped: the next deck contains it again.
            if perform(deed, &mut groups, &mut brokers, &mut random) {
                next = Instant::now() + Duration::from_millis(random.random_range(PAUSE_MS));
            }
        }
        for group in &mut groups {
            group.fleet.tick(&mut random);
        }
        brokers.tick();
        std::thread::sleep(Duration::from_millis(50));
    }

    brokers.heal();
    let audits = std::thread::scope(|scope| {
        let cluster = &brokers.cluster;
        let finished = groups.map(|group| scope.spawn(|| group.finish(cluster, seed)));
        finished.map(|thread| thread.join().expect("the groups recover"))
    });
    for (what, count) in &brokers.counts {
        println!("{what:<40} {count:>9}");
    }
    let has_grown = brokers.counts.contains_key("partitions added");
    report(&brokers.cluster, &audits, Vec::new(), has_grown, seed, logs);
}

/// Prints the audits; fails if anything is as it should not be, `complaints` included.
fn report(
    cluster: &KafkaCluster,
    audits: &[Audit],
    mut complaints: Vec<String>,
    has_grown: bool,
    seed: u64,
    logs: &Path,
) {
    for audit in audits {
        println!("{audit}");
    }
    complaints.extend(audits.iter().flat_map(|it| it.complaints(has_grown)));
    if !complaints.is_empty() {
        // The brokers' files show whose fault it is.
        let kept = Command::new("cp").arg("-r").arg(cluster.dir()).arg(logs.join("kafka")).status();
        println!("the brokers' files are in {}: {kept:?}", logs.display());
    }
    assert!(complaints.is_empty(), "seed {seed}:\n{}", complaints.join("\n\n"));
}

/// Performs a deed on the brokers or on one of the groups; false if it is impossible at the moment.
fn perform(
    deed: Deed,
    groups: &mut [Group; 2],
    brokers: &mut Brokers,
    random: &mut ChaCha8Rng,
) -> bool {
    let index = random.random_range(0..groups.len());
    let Group { fleet, load, rate, .. } = &mut groups[index];
    match deed {
        Deed::Kill => fleet.kill(random),
        Deed::Freeze => fleet.freeze(random),
        Deed::Blink => fleet.blink(random),
        Deed::Restart => fleet.restart(random),
        Deed::Usurp => groups.iter_mut().any(|group| group.fleet.usurp(random)),
        Deed::Storm => fleet.storm(random),
        Deed::Burst => {
            load.burst(2 * *rate as usize);
            fleet.count("two seconds' requests at once");
            true
        }
        Deed::StopBroker => brokers.stop(random),
        Deed::KillBroker => brokers.kill(random),
        Deed::FreezeBroker => brokers.freeze(random),
        Deed::Grow => brokers.grow(&groups[index].stage.topics(), MOST_PARTITIONS),
    }
}
