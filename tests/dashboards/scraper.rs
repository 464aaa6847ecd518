//! A real Prometheus that scrapes instances every second; gone with the test.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{Kept, Program, ports};
use crate::page::browser::need;
use crate::traffic::stage::wait_until;

/// Prometheus, with the alerts of `config/prometheus/`.
pub struct Scraper {
    port: u16,
    _process: Kept,
    _dir: TempDir,
}

impl Scraper {
    /// Scrapes these instances of one group.
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
        let process = Kept::start(
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

    /// The values that a query has now, without those that are no number; empty when Prometheus does not answer.
    ///
    /// # Panics
    /// When it refuses the query.
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
            let _ = write!(encoded, "%{byte:02x}"); // every byte: plain and enough
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        // 1.0, so that the answer comes in one piece.
        let request = format!("GET /api/v1/{what}?query={encoded} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }
}
