//! The demo's auditor: it counts outcomes independently of the program's own counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::Value;

use crate::config::Settings;
use crate::kafka::embedded::{Outcome, OutcomeReader};
use nik_wire::Reason;

/// The keys of the demo's own requests begin with this.
const KEY_PREFIX: &str = "demo-";
/// At the end of the demo, the auditor stops after this many polls in a row without an outcome.
const IDLE_POLLS: u32 = 10;
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

const NIKS: &str = "/number";
const VALID: &str = "/valid/all_section";
const ERRORS: &str = "/error";

/// The program's counters, each with the element of a result's summary that it adds up.
const COUNTERS: [(&str, &str); 9] = [
    ("nik_summary_number_total", NIKS),
    ("nik_summary_number_processed_total", "/number_processed"),
    ("nik_summary_error_total", ERRORS),
    ("nik_summary_valid_all_section_total", VALID),
    (r#"nik_summary_valid_section_total{section="length"}"#, "/valid/section/length"),
    (r#"nik_summary_valid_section_total{section="area"}"#, "/valid/section/area"),
    (r#"nik_summary_valid_section_total{section="dob"}"#, "/valid/section/dob"),
    (r#"nik_summary_valid_section_total{section="gender"}"#, "/valid/section/gender"),
    (r#"nik_summary_valid_section_total{section="computerized"}"#, "/valid/section/computerized"),
];

/// The key of the demo's request with this number.
pub(super) fn key(number: u64) -> String {
    format!("{KEY_PREFIX}{number}")
}

fn parse_key(key: &[u8]) -> Option<usize> {
    str::from_utf8(key).ok()?.strip_prefix(KEY_PREFIX)?.parse().ok()
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// The demo's requests that have an outcome.
    pub answered: u64,
    /// Outcomes of the demo's requests beyond the first.
    pub doubled: u64,
    pub demo_results: u64,
    pub demo_failures: u64,
    /// Outcomes of requests that somebody else sent.
    pub others: u64,
    results: u64,
    failures: u64,
    reasons: BTreeMap<String, u64>,
    /// The sums of the results' summaries, in the order of [`COUNTERS`].
    sums: [u64; COUNTERS.len()],
    /// Whether each request of the demo, by its number, has an outcome.
    seen: Vec<bool>,
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        let demo_outcomes = if let Some(reason) = &outcome.failure {
            self.failures += 1;
            *self.reasons.entry(reason.clone()).or_default() += 1;
            &mut self.demo_failures
        } else {
            self.results += 1;
            let result: Value = serde_json::from_slice(&outcome.value).unwrap_or_default();
            for (sum, (_, pointer)) in self.sums.iter_mut().zip(COUNTERS) {
                *sum += result["summary"].pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
            }
            &mut self.demo_results
        };
        let Some(number) = outcome.key.as_deref().and_then(parse_key) else {
            self.others += 1;
            return;
        };
        if self.seen.len() <= number {
            self.seen.resize(number + 1, false);
        }
        if std::mem::replace(&mut self.seen[number], true) {
            self.doubled += 1;
        } else {
            self.answered += 1;
            *demo_outcomes += 1;
        }
    }
}

/// The counts, shared between the auditor's thread and the demo.
#[derive(Debug, Default)]
pub(super) struct Audit(Mutex<Counts>);

impl Audit {
    /// The number of the demo's requests that have an outcome.
    pub(super) fn answered(&self) -> u64 {
        self.0.lock().answered
    }

    pub(super) fn counts(&self) -> Counts {
        self.0.lock().clone()
    }

    /// The counts as a line of text.
    pub(super) fn line(&self) -> String {
        let counts = self.0.lock();
        let sum = |wanted: &str| -> u64 {
            let sums = COUNTERS.iter().zip(counts.sums);
            sums.filter(|((_, pointer), _)| *pointer == wanted).map(|(_, sum)| sum).sum()
        };
        format!(
            "results {}  failures {}  niks {}  valid {}  errors {}",
            counts.results,
            counts.failures,
            sum(NIKS),
            sum(VALID),
            sum(ERRORS),
        )
    }

    /// The values that the program's counters should have.
    pub(super) fn expected_counters(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock();
        let sums = COUNTERS.iter().zip(counts.sums);
        let sums = sums.map(|((name, _), sum)| ((*name).to_owned(), sum));
        let reasons = Reason::ALL.map(|reason| {
            let name = format!("nik_stream_failures_total{{reason=\"{}\"}}", reason.as_str());
            (name, counts.reasons.get(reason.as_str()).copied().unwrap_or(0))
        });
        sums.chain(reasons).collect()
    }
}

/// Reads the outcomes on its own thread.
pub(super) struct Auditor {
    audit: Arc<Audit>,
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Auditor {
    pub(super) fn start(settings: &Settings) -> Result<Self> {
        let reader = OutcomeReader::connect(&settings.kafka.bootstrap_servers, &settings.topics)?;
        let (audit, end) = (Arc::<Audit>::default(), Arc::<AtomicBool>::default());
        let work = {
            let (audit, end) = (Arc::clone(&audit), Arc::clone(&end));
            move || {
                let mut idle = 0;
                while idle < IDLE_POLLS {
                    match reader.poll(POLL_TIMEOUT) {
                        Ok(Some(outcome)) => {
                            idle = 0;
                            audit.0.lock().add(&outcome);
                        }
                        Ok(None) if end.load(Ordering::Relaxed) => idle += 1,
                        Ok(None) => {}
                        Err(error) => tracing::warn!(%error, "the demo's auditor"),
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("auditor".to_owned()).spawn(work)?;
        Ok(Self { audit, end, thread })
    }

    pub(super) fn audit(&self) -> Arc<Audit> {
        Arc::clone(&self.audit)
    }

    /// Reads to the end of both topics, and stops.
    pub(super) fn finish(self) -> Arc<Audit> {
        self.end.store(true, Ordering::SeqCst);
        if self.thread.join().is_err() {
            tracing::error!("the demo's auditor panicked");
        }
        self.audit
    }
}
