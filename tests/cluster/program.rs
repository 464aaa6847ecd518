//! The real program, `nik-stream run`, as a child process of the test.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::child::ChildProcess;
use super::{KafkaCluster, ports};

/// The settings of instances.
#[derive(Clone)]
pub struct ProgramSettings {
    binary: String,
    environment: Vec<(String, String)>,
    file: String,
}

/// A running instance; killed when dropped.
pub struct Program {
    process: ChildProcess,
    http: u16,
    dir: TempDir,
}

impl ProgramSettings {
    /// The defaults, with the addresses of this cluster.
    pub fn new(cluster: &KafkaCluster) -> ProgramSettings {
        Self::at(&cluster.bootstrap())
    }

    /// The defaults, with these addresses of brokers. `NIK_STREAM_PROGRAM` names another build.
    pub fn at(bootstrap: &str) -> ProgramSettings {
        let built = || env!("CARGO_BIN_EXE_nik-stream").to_owned();
        let binary = std::env::var("NIK_STREAM_PROGRAM").unwrap_or_else(|_| built());
        let settings = ProgramSettings { binary, environment: Vec::new(), file: String::new() };
        settings.set("kafka.bootstrap_servers", bootstrap)
    }

    /// Sets a key by its environment variable.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> ProgramSettings {
        let name = format!("NIK_STREAM__{}", key.to_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Another build of the program.
    #[must_use]
    pub fn binary(mut self, path: &str) -> ProgramSettings {
        path.clone_into(&mut self.binary);
        self
    }

    /// The content of the settings file, for what an environment variable cannot express (names
    /// with dots).
    #[must_use]
    pub fn file(mut self, toml: &str) -> ProgramSettings {
        toml.clone_into(&mut self.file);
        self
    }

    /// A command of the program with these settings.
    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.binary);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.args(arguments).envs(environment);
        command.stdin(std::process::Stdio::null());
        command
    }

    /// Starts an instance with its own HTTP port.
    pub fn run(&self) -> Program {
        let dir = tempfile::Builder::new()
            .prefix("nik-stream-run-")
            .tempdir()
            .expect("a temporary directory");
        let file = dir.path().join("settings.toml");
        std::fs::write(&file, &self.file).expect("written");
        // The shell opens them at some time after the start.
        for output in ["stdout", "stderr"] {
            std::fs::write(dir.path().join(output), "").expect("written");
        }
        let http = ports::free(1);
        let mut environment = self.environment.clone();
        environment.push(("NIK_STREAM__HTTP__LISTEN".to_owned(), format!("127.0.0.1:{http}")));
        let arguments = ["run", "--config", file.to_str().expect("a plain path")];
        let process = ChildProcess::start(
            &self.binary,
            &arguments,
            &environment,
            dir.path(),
            "stdout",
            "stderr",
            dir.path(),
        );
        Program { process, http, dir }
    }
}

impl Program {
    /// Replaces the content of its settings file.
    pub fn write_settings(&self, toml: &str) {
        std::fs::write(self.dir.path().join("settings.toml"), toml).expect("written");
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends the signal: `TERM`, `INT`, `STOP`, `CONT`, ...
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Kills it by SIGKILL.
    pub fn kill9(mut self) {
        self.process.signal("KILL");
        self.process.wait(Duration::from_secs(10)).expect("kill -9 ends it");
    }

    /// The exit code (128 + n after signal n), or `None` if it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        self.process.wait(limit)
    }

    /// Sends SIGTERM and returns the exit code, or `None` if it still runs after `limit`.
    pub fn stop(&mut self, limit: Duration) -> Option<i32> {
        self.signal("TERM");
        self.wait(limit)
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// Status and body of a GET; `None` without an answer.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        self.ask("GET", path)
    }

    /// Status and body of a POST without a body; `None` without an answer.
    pub fn post(&self, path: &str) -> Option<(u16, String)> {
        self.ask("POST", path)
    }

    fn ask(&self, method: &str, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn ready(&self) -> bool {
        self.get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// Whether it is not ready and gives this among its reasons.
    pub fn is_held_up_by(&self, reason: &str) -> bool {
        self.get("/readyz")
            .is_some_and(|(status, reasons)| status == 503 && reasons.contains(reason))
    }

    /// Waits until it is ready; panics with its log if it exits, or is not ready after `limit`.
    pub fn wait_ready(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        while !self.ready() {
            if let Some(code) = self.process.ended() {
                panic!("exited with {code} before it was ready:\n{}", self.stderr());
            }
            assert!(
                Instant::now() < deadline,
                "not ready in {limit:?}: {:?}\n{}",
                self.get("/readyz"),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The samples of `/metrics` by name and labels, such as
    /// `nik_stream_failures_total{reason="tombstone"}`.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let (_, body) = self.get("/metrics").expect("the program answers");
        let sample = |line: &str| {
            Some((line.rsplit_once(' ')?.0.to_owned(), line.rsplit_once(' ')?.1.parse().ok()?))
        };
        body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
    }

    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    // Tests search it for secrets, so one byte that is not UTF-8 must not hide the rest.
    fn output(&self, name: &str) -> String {
        let bytes = std::fs::read(self.dir.path().join(name)).expect("readable");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of process {}:\n{}", self.pid(), self.stderr());
        }
    }
}
