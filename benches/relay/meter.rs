//! The cost of a run: time, CPU and memory of the relay and the broker, from `/proc`, while the
//! group commits offsets.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::cluster::KafkaCluster;

/// The kernel's clock ticks a second, as `/proc` counts them on Linux.
const TICKS: f64 = 100.0;
const LOOK: Duration = Duration::from_millis(20);
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);

/// The figures of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub records_per_second: f64,
    /// CPU microseconds of the relay for each record.
    pub cpu: f64,
    /// CPU microseconds of the broker for each record.
    pub broker: f64,
    /// The largest resident memory, in MB.
    pub peak_mb: f64,
}

impl Figures {
    /// The median of each.
    pub fn median(runs: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| {
            let all: Vec<f64> = runs.iter().map(figure).collect();
            median(&all)
        };
        Self {
            records_per_second: of(|it| it.records_per_second),
            cpu: of(|it| it.cpu),
            broker: of(|it| it.broker),
            peak_mb: of(|it| it.peak_mb),
        }
    }
}

/// The median.
pub fn median(all: &[f64]) -> f64 {
    let mut all = all.to_vec();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The CPU seconds that a process has used so far.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The fields after the name, which may contain anything; utime and stime are the 12th and 13th
    // of them.
    let fields = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|it| it.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The peak resident memory of a process, in MB (of 1,000,000 bytes).
pub fn peak_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

/// The current resident memory of a process, in MB.
pub fn resident_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|it| it.strip_prefix(name));
    let kib = found.and_then(|it| it.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0 / 1e6
}

/// Follows the committed offsets of a group in a topic.
pub struct Progress {
    probe: BaseConsumer,
    topic: String,
    partitions: i32,
}

impl Progress {
    pub fn of(cluster: &KafkaCluster, group: &str, topic: &str, partitions: usize) -> Self {
        let probe = cluster
            .client()
            .set("group.id", group)
            // The committed offsets as they are, even if an open transaction is about to change them.
            .set("isolation.level", "read_uncommitted")
            .create();
        Self {
            probe: probe.expect("a consumer"),
            topic: topic.to_owned(),
            partitions: i32::try_from(partitions).expect("a count"),
        }
    }

    /// The number of records before the committed offsets.
    pub fn committed(&self) -> i64 {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.topic, 0, self.partitions - 1);
        let Ok(committed) = self.probe.committed_offsets(list, OFFSETS_TIMEOUT) else {
            return 0;
        };
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        let elements = committed.elements();
        elements.iter().map(|it| offset(it.offset())).sum()
    }

    /// Measures from the first commit to the last of `records`, within `limit`.
    pub fn measure(
        &self,
        cluster: &KafkaCluster,
        pid: u32,
        records: u64,
        limit: Duration,
    ) -> Figures {
        let broker = cluster.pids()[0];
        let records = i64::try_from(records).expect("a count");
        let look = || (self.committed(), Instant::now(), cpu_seconds(pid), cpu_seconds(broker));
        let started = Instant::now();
        let wait_for = |count: i64| loop {
            let seen = look();
            if seen.0 >= count {
                return seen;
            }
            assert!(!peak_mb(pid).is_nan(), "the relay has ended");
            assert!(started.elapsed() < limit, "{} of {records} records within {limit:?}", seen.0);
            std::thread::sleep(LOOK);
        };
        let (first, last) = (wait_for(1), wait_for(records));
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = (last.0 - first.0) as f64;
        Figures {
            records_per_second: count / (last.1 - first.1).as_secs_f64(),
            cpu: (last.2 - first.2) / count * 1e6,
            broker: (last.3 - first.3) / count * 1e6,
            peak_mb: peak_mb(pid),
        }
    }
}
