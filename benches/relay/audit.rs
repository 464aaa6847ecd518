//! An audit beside the service: requests are answered once, and then audited on the same cores.

use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{KafkaCluster, unique};
use crate::load::{self, Load, Pool};
use crate::meter::{Figures, Progress, cpu_seconds, peak_mb};
use crate::{DISTINCT, Ended, JVM, LIMIT, settings, stop};

const PARTITIONS: usize = 6;
/// The memory that an audit of any span may use.
const BUDGET_MB: f64 = 256.0;
const LOOK: Duration = Duration::from_millis(10);

/// Answers `records` requests of W1, exactly once, and audits them `rounds` times.
pub fn run(records: u64, rounds: usize) -> ExitCode {
    let cluster = KafkaCluster::start_on(JVM);
    let [requests, results, failures, group] =
        ["requests", "results", "failures", "group"].map(unique);
    load::fill(&cluster, &requests, PARTITIONS, records, &mut Pool::of(Load::W1, DISTINCT));
    for topic in [&results, &failures] {
        cluster.create_topic(topic, PARTITIONS, &load::TOPIC);
    }
    let settings = settings(&cluster, [&requests, &results, &failures], &group);
    let progress = Progress::of(&cluster, &group, &requests, PARTITIONS);
    let mut program = settings.run();
    println!("service: {:.2?}", progress.measure(&cluster, program.pid(), records, LIMIT));
    stop(&mut program);
    let mut within = true;
    for _ in 0..rounds {
        let mut command = settings.command(&["audit", "--since", "2000-01-01", "--json"]);
        let (began, broker) = (Instant::now(), cpu_seconds(cluster.pids()[0]));
        let audit = command.stdout(Stdio::piped()).spawn().expect("this program runs");
        let mut audit = Ended(audit);
        // Neither can be read after the process has ended, so the last reading counts.
        let (mut cpu, mut peak) = (0.0, 0.0);
        let status = loop {
            if let Some(status) = audit.0.try_wait().expect("a child") {
                break status;
            }
            (cpu, peak) = (cpu_seconds(audit.0.id()).max(cpu), peak_mb(audit.0.id()).max(peak));
            std::thread::sleep(LOOK);
        };
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = records as f64;
        let broker = cpu_seconds(cluster.pids()[0]) - broker;
        let figures = Figures {
            records_per_second: count / began.elapsed().as_secs_f64(),
            cpu: cpu / count * 1e6,
            broker: broker / count * 1e6,
            peak_mb: peak,
        };
        let output = audit.0.stdout.take().expect("a pipe");
        println!("audit, per request: {figures:.2?}");
        println!("{}", std::io::read_to_string(output).expect("text").trim_end());
        within &= status.success() && peak <= BUDGET_MB;
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
