//! The demo's reader of outcomes: it counts them independently of the program's own counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use rdkafka::Message;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::Value;

use super::PARTITIONS;
use crate::config::Settings;
use nik_wire::Reason;

const KEY: &str = "demo-";
/// After the last request, nothing more comes when so many polls brought nothing.
const QUIET: u32 = 10;
const POLL: Duration = Duration::from_millis(50);

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Requests of the demo with an outcome.
    pub answered: u64,
    /// Outcomes of such a request after its first.
    pub doubled: u64,
    pub our_results: u64,
    pub our_failures: u64,
    /// Outcomes of somebody else's requests.
    pub others: u64,
    results: u64,
    failures: u64,
    reasons: BTreeMap<String, u64>,
    summary: BTreeMap<String, u64>,
    seen: Vec<bool>,
}

/// The counts, shared.
#[derive(Debug, Default)]
pub(super) struct Audit(Mutex<Counts>);

impl Audit {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of the demo's own request of that number.
    pub(super) fn key(number: u64) -> String {
        format!("{KEY}{number}")
    }

    /// Requests of the demo with an outcome.
    pub(super) fn answered(&self) -> u64 {
        self.lock().answered
    }

    /// All counts.
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    /// The counts as a line.
    pub(super) fn line(&self) -> String {
        let counts = self.lock();
        let of = |name: &str| counts.summary.get(name).copied().unwrap_or(0);
        format!(
            "results {}  failures {}  niks {}  valid {}  errors {}",
            counts.results,
            counts.failures,
            of("nik_summary_number_total"),
            of("nik_summary_valid_all_section_total"),
            of("nik_summary_error_total"),
        )
    }

    /// What the program's counters should say.
    pub(super) fn expected_counters(&self) -> Vec<(String, u64)> {
        let counts = self.lock();
        let mut expected: Vec<_> = counts.summary.clone().into_iter().collect();
        for reason in Reason::ALL {
            let count = counts.reasons.get(reason.as_str()).copied().unwrap_or(0);
            expected.push((
                format!("nik_stream_failures_total{{reason=\"{}\"}}", reason.as_str()),
                count,
            ));
        }
        expected
    }

    fn note(&self, is_failure: bool, message: &BorrowedMessage<'_>) {
        let mut counts = self.lock();
        if is_failure {
            counts.failures += 1;
            *counts.reasons.entry(reason(message)).or_default() += 1;
        } else {
            counts.results += 1;
            counts.add_summary(message.payload().unwrap_or_default());
        }
        let number = message
            .key()
            .and_then(|key| str::from_utf8(key).ok()?.strip_prefix(KEY)?.parse::<usize>().ok());
        let Some(number) = number else {
            counts.others += 1;
            return;
        };
        if counts.seen.len() <= number {
            counts.seen.resize(number + 1, false);
        }
        if std::mem::replace(&mut counts.seen[number], true) {
            counts.doubled += 1;
            return;
        }
        counts.answered += 1;
        if is_failure {
            counts.our_failures += 1;
        } else {
            counts.our_results += 1;
        }
    }
}

impl Counts {
    fn add_summary(&mut self, result: &[u8]) {
        let result: Value = serde_json::from_slice(result).unwrap_or_default();
        let summary = &result["summary"];
        let section = |name: &str| format!("nik_summary_valid_section_total{{section=\"{name}\"}}");
        let mut add = |name: String, value: &Value| {
            *self.summary.entry(name).or_default() += value.as_u64().unwrap_or(0);
        };
        add("nik_summary_number_total".to_owned(), &summary["number"]);
        add("nik_summary_number_processed_total".to_owned(), &summary["number_processed"]);
        add("nik_summary_error_total".to_owned(), &summary["error"]);
        add("nik_summary_valid_all_section_total".to_owned(), &summary["valid"]["all_section"]);
        for name in ["length", "area", "dob", "gender", "computerized"] {
            add(section(name), &summary["valid"]["section"][name]);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the reason stands before the headers of the request"
)]
fn reason(message: &BorrowedMessage<'_>) -> String {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let mut reasons = headers
        .filter(|header| header.key == "nik-failure-reason")
        .filter_map(|header| header.value);
    String::from_utf8_lossy(reasons.next().unwrap_or(b"none")).into_owned()
}

/// The reader, on a thread of its own.
pub(super) struct Auditor {
    audit: Arc<Audit>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Auditor {
    /// Starts reading both output topics from their beginnings.
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let topics = &settings.topics;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &settings.kafka.bootstrap_servers)
            .set("group.id", "nik-stream-demo-auditor")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "5")
            .create()?;
        let mut list = TopicPartitionList::new();
        for topic in [&topics.results, &topics.failures] {
            for partition in 0..PARTITIONS {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        let (audit, end) = (Arc::<Audit>::default(), Arc::<AtomicBool>::default());
        let failures = topics.failures.clone();
        let work = {
            let (audit, end) = (Arc::clone(&audit), Arc::clone(&end));
            move || {
                let mut quiet = 0;
                while quiet < QUIET {
                    match consumer.poll(POLL) {
                        Some(Ok(message)) => {
                            quiet = 0;
                            audit.note(message.topic() == failures, &message);
                        }
                        Some(Err(error)) => tracing::warn!(%error, "the demo's auditor"),
                        None if end.load(Ordering::Relaxed) => quiet += 1,
                        None => {}
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("auditor".to_owned()).spawn(work)?;
        Ok(Self { audit, end, thread })
    }

    /// What is counted so far, and goes on.
    pub(super) fn audit(&self) -> Arc<Audit> {
        Arc::clone(&self.audit)
    }

    /// Reads to the end of both topics.
    pub(super) fn finish(self) -> Arc<Audit> {
        self.end.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            tracing::error!("the demo's auditor panicked");
        }
        self.audit
    }
}
