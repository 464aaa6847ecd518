//! A Prometheus server that scrapes instances every second and ends with the test.

use std::fmt::Write as _;

use serde_json::Value;
use tempfile::TempDir;

use crate::api::client;
use crate::cluster::need;
use crate::cluster::{ChildProcess, Program, ports};
use crate::traffic::stage::wait_until;

/// A Prometheus server with the alerts of `config/prometheus/`.
pub struct Scraper {
    port: u16,
    _process: ChildProcess,
    _dir: TempDir,
}

impl Scraper {
    /// Starts to scrape these instances of one group.
    pub fn start(group: &str, programs: &[&Program]) -> Scraper {
        need("prometheus");
        let dir = TempDir::with_prefix("nik-stream-prometheus-").expect("a temporary directory");
        let address = |program: &&Program| program.url("").replace("http://", "");
        let targets: Vec<_> = programs.iter().map(address).collect();
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
rule_files: [{rules:?}]
scrape_configs:
  - job_name: nik-stream
    static_configs: [{{ targets: {targets:?}, labels: {{ group: {group:?} }} }}]
"
        );
        std::fs::write(dir.path().join("prometheus.yml"), config).expect("written");
        let port = ports::free(1);
        let process = ChildProcess::start(
            "prometheus",
            &[
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                &format!("--web.listen-address=127.0.0.1:{port}"),
            ],
            &[],
            dir.path(),
            "log",
            "log",
            dir.path(),
        );
        let scraper = Scraper { port, _process: process, _dir: dir };
        wait_until("Prometheus has scraped every instance", || {
            scraper.values("up").len() == programs.len()
        });
        scraper
    }

    /// The current values of a query except NaN; empty if Prometheus does not answer.
    ///
    /// # Panics
    /// If it rejects the query.
    pub fn values(&self, query: &str) -> Vec<f64> {
        let Some(answer) = self.ask("query", query) else {
            return Vec::new();
        };
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let samples = answer["data"]["result"].as_array().expect("a vector");
        let value = |sample: &Value| sample["value"][1].as_str()?.parse::<f64>().ok();
        let values = samples.iter().filter_map(value);
        values.filter(|value| !value.is_nan()).collect()
    }

    fn ask(&self, what: &str, query: &str) -> Option<Value> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            let _ = write!(encoded, "%{byte:02x}"); // encoding every byte is always valid
        }
        let url = format!("http://127.0.0.1:{}/api/v1/{what}?query={encoded}", self.port);
        let answer = client::request("GET", &url, &[], None)?;
        serde_json::from_str(&answer.body).ok()
    }
}
