//! The parts of `docker-compose.yml` under load are killed together, as by a loss of power, and started again: each request has
//! exactly one outcome.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nik::dataset;
use nik::region::RetiredCodes;
use nik_wire::generate::{Generator, Options};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::compose::Composition;
use crate::cluster::{ChildProcess, NewRecord, Program};
use crate::faults::kills::ANSWER_TIMEOUT;
use crate::faults::setting;
use crate::traffic::answers::Awaited;
use crate::traffic::audit::{Differences, audited, differences};
use crate::traffic::load::{ID, Load, id, key};
use crate::traffic::stage::{WAIT_TIMEOUT, stop};

const TOPICS: [&str; 3] = ["nik.requests", "nik.results", "nik.failures"];
const GROUP: &str = "nik-stream";
const RATE: u32 = 100;
/// Within this time all parts are killed.
const KILLS_MS: u64 = 300;

#[test]
fn parts_that_are_killed_together_lose_and_double_nothing() {
    kill_together(1, u64::from(std::process::id()));
}

#[test]
#[ignore = "takes many minutes: script/faults --kills compose"]
fn parts_that_are_killed_together_many_times_lose_and_double_nothing() {
    let seed = setting("NIK_FAULTS_SEED", u64::from(std::process::id()));
    kill_together(setting("NIK_FAULTS_ROUNDS", 30), seed);
}

/// Requests that ids tell apart, unlike those of the generator.
fn requests(seed: u64) -> impl Iterator<Item = NewRecord> {
    let regions = dataset::regions(RetiredCodes::All).expect("the data in the program");
    let options = Options { niks_per_request: 3, unreadable: 0.05, ..Options::default() };
    let mut generator = Generator::new(&regions, seed, options);
    (0..).map(move |number| {
        let mut value = Vec::new();
        generator.request(&mut value);
        let headers = vec![(ID.to_vec(), Some(key(number)))];
        NewRecord { key: Some(key(number)), value: Some(value), headers, ..NewRecord::default() }
    })
}

fn generator(parts: &Composition) -> ChildProcess {
    let program = env!("CARGO_BIN_EXE_nik-stream");
    let (arguments, environment) = (parts.command("generator"), parts.environment("generator"));
    let dir = parts.cluster.dir();
    ChildProcess::start(program, &arguments, &environment, dir, "generator", "generator", dir)
}

fn kill_together(rounds: u32, seed: u64) {
    println!("seed {seed}, {rounds} rounds");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut parts = Composition::start();
    let settings = parts.settings();
    let mut instance = settings.run();
    instance.wait_ready(WAIT_TIMEOUT);
    let mut generator = Some(self::generator(&parts));
    let load = Load::of(&parts.cluster, TOPICS[0], requests(seed), RATE);
    for round in 1..=rounds {
        load.wait_for(random.random_range(200..400)); // the kills fall anywhere in a transaction
        let mut order = [0, 1, 2];
        order.shuffle(&mut random);
        for part in order {
            std::thread::sleep(Duration::from_millis(random.random_range(0..KILLS_MS / 3)));
            match part {
                0 => parts.cluster.kill(1),
                1 => instance.signal("KILL"),
                _ => drop(generator.take()),
            }
        }
        parts.cluster.launch(1);
        let log = instance.stderr();
        instance = settings.run();
        parts.cluster.wait_ready();
        generator = Some(self::generator(&parts));
        let answered = wait_for_answers(&parts, &mut instance, &log);
        println!("round {round}: answered after {answered:.1?}");
    }
    drop(generator);
    let sent = load.finish().len();
    wait_for_answers(&parts, &mut instance, "");
    stop(instance);

    let [requests, results, failures] = TOPICS.map(|topic| parts.cluster.read_committed(topic));
    println!("{} requests, {sent} of them with an id", requests.len());
    let requests: Vec<_> = requests.into_iter().map(NewRecord::from).collect();
    let requests: Vec<_> = requests.into_iter().filter(|it| !id(&it.headers).is_empty()).collect();
    // A broker that is killed may accept a retry of the load's producer as a new request.
    let ids: HashSet<_> = requests.iter().map(|it| id(&it.headers)).collect();
    assert_eq!(ids.len(), sent, "the load lost requests itself");
    let [results, failures] = [results, failures]
        .map(|it| it.into_iter().filter(|it| !id(&it.headers).is_empty()).collect());
    let found = differences(&requests, &(results, failures));
    assert_eq!(found, Differences::default(), "seed {seed}");
    assert_eq!(audited(&settings), Ok([0; 3]), "seed {seed}");
}

/// Waits until all that the topics hold now is answered and visible; returns how long that took.
fn wait_for_answers(parts: &Composition, instance: &mut Program, log: &str) -> Duration {
    let awaited = Awaited::now(&parts.cluster, TOPICS, GROUP);
    let started = Instant::now();
    loop {
        let open = awaited.open(&parts.cluster);
        if open.is_empty() {
            return started.elapsed();
        }
        let (late, code) = (started.elapsed() > ANSWER_TIMEOUT, instance.wait(Duration::ZERO));
        assert!(
            !late && code.is_none(),
            "exit {code:?}, open: {open:#?}\nthe instance before:\n{log}\nthe instance:\n{}",
            instance.stderr()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}
