//! The whole program compared with the least that its work can cost: `script/bench relay`,
//! `script/bench country` and others.
//!
//! A round runs every relay once, one after the other, over the same requests on the same broker;
//! the figures are medians of the rounds. So other load on the machine affects all of them alike:
//! the ratios hold even if the absolute figures do not.
#![allow(missing_docs)]
#![allow(
    clippy::disallowed_methods,
    reason = "the program's peers in tests/cluster use the plain client"
)]

mod audit;
mod bare;
#[path = "../../tests/cluster/mod.rs"]
mod cluster;
mod collector;
mod country;
mod endurance;
mod load;
mod meter;

use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use bare::Job;
use cluster::{KafkaCluster, Program, ProgramSettings, unique};
use load::{Load, Pool};
use meter::{Figures, Progress};

/// How long one run may take.
const LIMIT: Duration = Duration::from_mins(3);
/// The number of different requests of a load.
const DISTINCT: usize = 5_000;
/// The resident memory that the program may use at full load of W1 with the defaults.
const BUDGET_MB: f64 = 96.0;
/// The heap of a small production broker; its JIT compiler has finished after the first round.
const JVM: &str = "-Xmx1g";

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: What,
    /// Cargo passes this to every bench.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum What {
    /// The program beside bare relays of the same requests, in rounds.
    Relay(Plan),
    /// The population of Indonesia once, exactly once, read back and counted.
    Country {
        #[arg(long, default_value_t = 285_000_000)]
        niks: u64,
    },
    /// Half an hour of the program at full load: its memory must stay where it is.
    Endurance {
        #[arg(long, default_value_t = 30)]
        minutes: u64,
    },
    /// The program beside `nik-stream audit` of what it answered.
    Audit {
        #[arg(long, default_value_t = 2_000_000)]
        records: u64,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// One bare relay in a separate process.
    #[command(hide = true)]
    Bare {
        bootstrap: String,
        group: String,
        from: String,
        to: String,
        partitions: i32,
        #[arg(long)]
        transactions: bool,
    },
}

#[derive(clap::Args)]
struct Plan {
    /// Requests of this kind only [default: all, W1 with 1 and 64 partitions as well].
    #[arg(long)]
    load: Option<Load>,
    /// Partitions of all topics, with --load.
    #[arg(long, default_value_t = 6)]
    partitions: usize,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests of a run [default: some seconds' worth].
    #[arg(long)]
    records: Option<u64>,
    /// One request in this many is sampled for traces. With `--try traces.endpoint=http://ADDRESS`
    /// a collector at that address takes the spans.
    #[arg(long)]
    sampled: Option<u64>,
    /// A further run of the program per round, exactly once, with these settings: KEY=VALUE,
    /// several with commas, `binary=PATH` for another build of the program. May be given again.
    #[arg(long = "try", value_name = "SETTINGS")]
    variants: Vec<String>,
}

/// What is measured.
#[derive(Clone, PartialEq, Eq)]
enum Relay {
    Bare {
        transactions: bool,
    },
    /// A bare relay with transactions over the outcomes of the run before it: as many bytes as the
    /// program has to send.
    BareOutcomes,
    Program {
        settings: String,
    },
}

impl Relay {
    /// The standard runs; each guarantee follows the bare relay that it is compared with.
    fn usual() -> Vec<Self> {
        let program =
            |guarantee| Self::Program { settings: format!("delivery.guarantee={guarantee}") };
        vec![
            Self::Bare { transactions: true },
            program("exactly_once"),
            Self::BareOutcomes,
            Self::Bare { transactions: false },
            program("at_least_once"),
        ]
    }

    /// Whether outcomes and positions are in one transaction.
    fn transactions(&self) -> bool {
        match self {
            Self::Bare { transactions } => *transactions,
            Self::BareOutcomes => true,
            Self::Program { settings } => !settings.contains("at_least_once"),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Bare { transactions: true } => "bare relay, transactions",
            Self::Bare { transactions: false } => "bare relay",
            Self::BareOutcomes => "bare relay, transactions, of the outcomes",
            Self::Program { settings } => {
                let named = settings.strip_prefix("delivery.guarantee=");
                named.unwrap_or(settings)
            }
        }
    }
}

/// A process that is killed when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        What::Relay(plan) => compare(&plan),
        What::Country { niks } => country::run(niks),
        What::Endurance { minutes } => endurance::run(minutes),
        What::Audit { records, rounds } => audit::run(records, rounds),
        What::Bare { bootstrap, group, from, to, partitions, transactions } => {
            bare::relay(&Job { bootstrap, group, from, to, partitions, transactions })
        }
    }
}

fn compare(plan: &Plan) -> ExitCode {
    let cluster = KafkaCluster::start_on(JVM);
    println!("start: {:.0?} until the program answers, median of 5", time_to_answer(&cluster));
    let mut within = true;
    for variant in plan.variants.iter().flat_map(|settings| settings.split(',')) {
        if let Some(address) = variant.strip_prefix("traces.endpoint=http://") {
            collector::start(address);
        }
    }
    let sixes = Load::ALL.map(|load| (load, 6));
    let all = [&sixes[..], &[(Load::W1, 1), (Load::W1, 64)]].concat();
    let one = plan.load.map(|load| vec![(load, plan.partitions)]);
    let cases = one.unwrap_or(all);
    for (load, partitions) in cases {
        let records = plan.records.unwrap_or(load.records());
        let requests = unique("requests");
        let mut pool = Pool::of(load, DISTINCT / load.niks().div_ceil(100));
        pool.sampled = plan.sampled;
        load::fill(&cluster, &requests, partitions, records, &mut pool);
        let mut stage = Stage { cluster: &cluster, requests, outcomes: None, partitions, records };
        let variants = plan.variants.iter().cloned();
        let mut relays = Relay::usual();
        relays.extend(variants.map(|settings| Relay::Program { settings }));
        let mut runs = vec![Vec::new(); relays.len()];
        for round in 0..=plan.rounds {
            for (relay, runs) in relays.iter().zip(&mut runs) {
                let figures = stage.run(relay);
                eprintln!("{round} {}: {figures:.2?}", relay.name());
                // Round 0 warms the broker up.
                if round > 0 {
                    runs.push(figures);
                }
            }
        }
        let medians: Vec<_> = runs.iter().map(|runs| Figures::median(runs)).collect();
        println!(
            "\n{load:?}: {records} requests of {} NIKs, {partitions} partitions, medians of {} rounds",
            load.niks(),
            plan.rounds
        );
        show(load, &relays, &medians);
        let by_default = Relay::usual().len();
        let mut usual = relays.iter().zip(&medians).take(by_default);
        let too_large = |(relay, it): (&Relay, &Figures)| {
            matches!(relay, Relay::Program { .. }) && it.peak_mb > BUDGET_MB
        };
        if load == Load::W1 && usual.any(too_large) {
            println!("more memory than the {BUDGET_MB} MB that the settings allow for");
            within = false;
        }
        stage
            .outcomes
            .iter()
            .chain([&stage.requests])
            .for_each(|topic| cluster.delete_topic(topic));
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long a start takes: settings and region data read, HTTP served, the workers about to
/// subscribe.
fn time_to_answer(cluster: &KafkaCluster) -> Duration {
    let names = ["requests", "results", "failures", "group"].map(unique);
    let settings = settings(cluster, [&names[0], &names[1], &names[2]], &names[3]);
    let mut times = [(); 5].map(|()| {
        let began = Instant::now();
        let mut program = settings.run();
        while program.get("/livez").is_none() {
            assert!(began.elapsed() < LIMIT, "{}", program.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
        let took = began.elapsed();
        stop(&mut program);
        took
    });
    times.sort_unstable();
    times[2]
}

/// The requests that all relays of a load read.
struct Stage<'a> {
    cluster: &'a KafkaCluster,
    requests: String,
    /// The outcomes of the latest run of the program.
    outcomes: Option<String>,
    partitions: usize,
    records: u64,
}

impl Stage<'_> {
    /// Runs one relay over all requests, into new topics.
    fn run(&mut self, relay: &Relay) -> Figures {
        let cluster = self.cluster;
        let before = self.outcomes.take();
        let from = match relay {
            Relay::BareOutcomes => before.as_ref().expect("the program ran before"),
            _ => &self.requests,
        };
        let [group, results, failures] = ["group", "results", "failures"].map(unique);
        for topic in [&results, &failures] {
            cluster.create_topic(topic, self.partitions, &load::TOPIC);
        }
        let progress = Progress::of(cluster, &group, from, self.partitions);
        let figures = match relay {
            Relay::Bare { .. } | Relay::BareOutcomes => {
                let own = std::env::current_exe().expect("this program's own path");
                let bare = Command::new(own)
                    .arg("bare")
                    .args([
                        &cluster.bootstrap(),
                        &group,
                        from,
                        &results,
                        &self.partitions.to_string(),
                    ])
                    .args(relay.transactions().then_some("--transactions"))
                    .spawn();
                let bare = Ended(bare.expect("this program runs"));
                progress.measure(cluster, bare.0.id(), self.records, LIMIT)
            }
            Relay::Program { settings: given } => {
                let topics = [from, &results, &failures];
                let mut settings = settings(cluster, topics, &group);
                for setting in given.split(',') {
                    let (key, value) = setting.split_once('=').expect("KEY=VALUE");
                    settings = match key {
                        "binary" => settings.binary(value),
                        _ => settings.set(key, value),
                    };
                    if key == "topics.positions" && cluster.partitions(value) == 0 {
                        let compacted = [("cleanup.policy", "compact")];
                        cluster.create_topic(value, self.partitions, &compacted);
                    }
                }
                let mut program = settings.run();
                let figures = progress.measure(cluster, program.pid(), self.records, LIMIT);
                stop(&mut program);
                figures
            }
        };
        let spent = [before, Some(failures)];
        spent.iter().flatten().for_each(|topic| cluster.delete_topic(topic));
        if matches!(relay, Relay::Program { .. }) {
            self.outcomes = Some(results);
        } else {
            cluster.delete_topic(&results);
        }
        figures
    }
}

/// The program with its defaults.
fn settings(cluster: &KafkaCluster, topics: [&String; 3], group: &str) -> ProgramSettings {
    ProgramSettings::new(cluster)
        .set("topics.requests", topics[0])
        .set("topics.results", topics[1])
        .set("topics.failures", topics[2])
        .set("kafka.group_id", group)
}

fn stop(program: &mut Program) {
    let code = program.stop(Duration::from_secs(20));
    assert_eq!(code, Some(0), "{}", program.stderr());
}

fn show(load: Load, relays: &[Relay], medians: &[Figures]) {
    println!(
        "{:>10}{:>12}{:>9}{:>9}{:>11}{:>10}",
        "records/s", "NIKs/s", "CPU us", "ratio", "broker us", "peak MB"
    );
    for (relay, it) in relays.iter().zip(medians) {
        // The bare relay with the same guarantee.
        let transactions = relay.transactions();
        let yardstick = relays.iter().position(|it| *it == Relay::Bare { transactions });
        let yardstick = medians[yardstick.expect("one of the usual")];
        #[allow(clippy::cast_precision_loss, reason = "small")]
        let niks = it.records_per_second * load.niks() as f64;
        println!(
            "{:>10.0}{niks:>12.0}{:>9.2}{:>9.2}{:>11.2}{:>10.0}  {}",
            it.records_per_second,
            it.cpu,
            it.cpu / yardstick.cpu,
            it.broker,
            it.peak_mb,
            relay.name(),
        );
    }
}
