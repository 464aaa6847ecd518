//! A single broker is killed repeatedly: twice in a row, or together with every instance of the
//! program. All replicas are away at once then, and the broker skips markers of transactions when
//! it starts again.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fleet::Membership;
use super::group::{Group, Kind};
use super::{logs, report, setting};
use crate::cluster::KafkaCluster;
use crate::traffic::answers::Awaited;

/// How long after the broker's return every partition may be without an outcome.
pub const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
const RATE: u32 = 200;

#[test]
#[ignore = "takes many minutes: script/faults --kills broker"]
fn an_only_broker_is_killed_twice_in_a_row() {
    run("broker-twice", |cluster, _, random| {
        cluster.kill(1);
        cluster.launch(1);
        let pause = Duration::from_millis(random.random_range(5_000..20_000));
        std::thread::sleep(pause);
        cluster.kill(1);
    });
}

#[test]
#[ignore = "takes many minutes: script/faults --kills both"]
fn an_only_broker_and_the_service_are_killed_together() {
    run("both", |cluster, groups, random| {
        let pause = Duration::from_millis(random.random_range(0..300));
        let broker_first = random.random_bool(0.5);
        if broker_first {
            cluster.kill(1);
            std::thread::sleep(pause);
        }
        for group in groups.iter_mut() {
            group.fleet.kill_all();
        }
        if !broker_first {
            std::thread::sleep(pause);
            cluster.kill(1);
        }
    });
}

fn run(name: &str, mut kill: impl FnMut(&mut KafkaCluster, &mut [Group; 2], &mut ChaCha8Rng)) {
    let seed: u64 = setting("NIK_FAULTS_SEED", u64::from(std::process::id()));
    let rounds: u32 = setting("NIK_FAULTS_ROUNDS", 30);
    let logs = logs(seed);
    println!("faults: kills {name}, seed {seed}, {rounds} rounds, logs in {}", logs.display());
    let _ = std::fs::remove_dir_all(&logs);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut cluster = KafkaCluster::start(1);
    let mut groups = [Membership::Static, Membership::Dynamic]
        .map(|membership| Group::start(&cluster, membership, RATE / 2, seed, &logs, Kind::Kills));
    for group in &mut groups {
        group.fleet.wait_ready();
    }
    let mut late = Vec::new();
    for round in 1..=rounds {
        // The kills fall anywhere in a transaction.
        let pause = Duration::from_millis(random.random_range(2_000..4_000));
        std::thread::sleep(pause);
        kill(&mut cluster, &mut groups, &mut random);
        cluster.launch(1);
        cluster.wait_ready();
        late.extend(wait_for_answers(round, &cluster, &mut groups, &mut random));
    }
    let audits = groups.map(|group| group.finish(&cluster, seed));
    report(&cluster, &audits, late, false, seed, &logs);
}

/// Waits until all that the topics held at the broker's return is answered and visible; returns
/// what is not in time.
fn wait_for_answers(
    round: u32,
    cluster: &KafkaCluster,
    groups: &mut [Group; 2],
    random: &mut ChaCha8Rng,
) -> Vec<String> {
    let started = Instant::now();
    let awaited: Vec<_> = groups
        .iter()
        .map(|group| Awaited::now(cluster, group.stage.topics(), &group.stage.group))
        .collect();
    loop {
        let open: Vec<_> = awaited.iter().flat_map(|it| it.open(cluster)).collect();
        if open.is_empty() {
            println!("round {round}: answered after {:.1?}", started.elapsed());
            return Vec::new();
        }
        if started.elapsed() > ANSWER_TIMEOUT {
            let problems = groups.iter().flat_map(|group| group.fleet.problems());
            let open = open.into_iter().chain(problems).collect::<Vec<_>>().join("\n  ");
            let late = format!("round {round}:\n  {open}");
            println!("{late}");
            return vec![late];
        }
        for group in groups.iter_mut() {
            group.fleet.tick(random);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
