//! `docker-compose.yml`: its settings start the real broker, program and generator.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{file, program, texts, tool, words, written};
use crate::cluster::{JVM, KafkaCluster, ProgramSettings, ports};
use crate::traffic::stage::wait_until;

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// The file as docker compose reads it.
fn services() -> Value {
    let mut compose = tool(&["docker-compose", "--profile", "load", "config"]);
    let text = written(compose.args(["--format", "json"]));
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    file["services"].take()
}

/// The environment variables of a service, with this machine in place of container names.
fn environment(service: &Value, ports: &[(&str, u16)]) -> Vec<(String, String)> {
    let variables = service["environment"].as_object().expect("variables");
    let here = |value: &Value| {
        let mut value = value.as_str().expect("a text").to_owned();
        for (port, free) in ports {
            value = value.replace(&format!(":{port}"), &format!(":{free}"));
        }
        value = value.replace("kafka:", "127.0.0.1:");
        value = value.replace("localhost:", "127.0.0.1:");
        value.replace("//:", "//127.0.0.1:")
    };
    variables.iter().map(|(name, value)| (name.clone(), here(value))).collect()
}

/// The parts of the file on this machine.
pub struct Composition {
    services: Value,
    pub cluster: KafkaCluster,
    ports: [(&'static str, u16); 3],
}

impl Composition {
    /// The broker runs, and the topics have been created.
    pub fn start() -> Composition {
        let services = services();
        let free = ports::free(3);
        let ports = [("9092", free), ("29092", free + 1), ("9093", free + 2)];
        let dir = TempDir::with_prefix("nik-stream-compose-").expect("a temporary directory");
        lay_out(&environment(&services["kafka"], &ports), dir.path());
        let mut cluster = KafkaCluster::laid_out(dir, free);
        cluster.restart(1);
        let this = Composition { services, cluster, ports };
        let created = written(&mut this.program("topics", &[]));
        for topic in ["nik.requests", "nik.results", "nik.failures", "nik.positions"] {
            assert!(created.contains(&format!("created {topic}: ")), "{created}");
        }
        this
    }

    /// The environment variables of a service.
    pub fn environment(&self, service: &str) -> Vec<(String, String)> {
        environment(&self.services[service], &self.ports)
    }

    /// The command of a service.
    pub fn command(&self, service: &str) -> Vec<&str> {
        texts(&self.services[service]["command"])
    }

    /// The program as a service runs it, with further arguments.
    fn program(&self, service: &str, further: &[&str]) -> std::process::Command {
        let arguments = [&self.command(service)[..], further].concat();
        program(&arguments, &self.environment(service))
    }

    /// The settings of the service `nik-stream`.
    pub fn settings(&self) -> ProgramSettings {
        assert_eq!(self.command("nik-stream"), ["run"]);
        let mut settings = ProgramSettings::at("");
        for (name, value) in &self.environment("nik-stream") {
            let key = name.strip_prefix("NIK_STREAM__").expect("a setting");
            settings = settings.set(&key.to_lowercase().replace("__", "."), value);
        }
        settings
    }
}

/// Lays out a broker from the variables of Apache Kafka's image: `KAFKA_A_B` is the property `a.b`.
fn lay_out(environment: &[(String, String)], dir: &Path) {
    let dir = dir.join("1");
    std::fs::create_dir(&dir).expect("made");
    let mut properties = format!("log.dirs={}\n", dir.join("data").display());
    for (name, value) in environment {
        let name = name.strip_prefix("KAFKA_").expect("a property of Kafka's");
        let name = name.to_lowercase().replace('_', ".");
        writeln!(properties, "{name}={value}").expect("written");
    }
    let file = dir.join("server.properties");
    std::fs::write(&file, properties).expect("written");
    let mut jars = std::process::Command::new(super::file("script/kafka"));
    let jars = format!("{}/libs/*", written(jars.arg("jars")).trim());
    let file = file.to_str().expect("a plain path");
    let java: Vec<_> = JVM.split(' ').chain(["-cp", &jars]).collect();
    let mut format = std::process::Command::new("java");
    format.args(&java).arg("kafka.tools.StorageTool");
    written(format.args(["format", "-t", "nikStreamTestCluster00", "-c", file]));
    let start = [&java[..], &["kafka.Kafka", file]].concat();
    let start: Vec<_> = start.iter().map(|argument| format!("\"{argument}\"\n")).collect();
    std::fs::write(dir.join("java.args"), start.concat()).expect("written");
}

#[test]
fn the_containers_settings_start_broker_topics_program_and_generator() {
    let parts = Composition::start();
    let mut instance = parts.settings().run();
    instance.wait_ready(START_TIMEOUT);

    // Its health check, at the port of this instance.
    let check = texts(&parts.services["nik-stream"]["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "nik-stream"]);
    let listen = instance.url("").replace("http://127.0.0.1", "0.0.0.0");
    let listen = ("NIK_STREAM__HTTP__LISTEN".to_owned(), listen);
    let health = program(&check[2..], &[listen]).output().expect("runs");
    assert!(health.status.success(), "{}", words(&health));

    assert!(!parts.command("generator").contains(&"--count"));
    written(&mut parts.program("generator", &["--count", "300"]));
    wait_until("every request has an outcome", || {
        let metrics = instance.metrics();
        let sum = |outcome: &str| -> f64 {
            let of = metrics.iter().filter(|(name, _)| {
                name.starts_with("nik_stream_requests_total{") && name.contains(outcome)
            });
            of.map(|(_, value)| value).sum()
        };
        sum("\"failure\"") >= 5.0 && sum("") >= 300.0
    });
    assert_eq!(instance.stop(Duration::from_secs(20)), Some(0));
}

#[test]
fn our_containers_use_one_image_without_privileges() {
    let services = services();
    for name in ["topics", "nik-stream", "generator"] {
        let service = &services[name];
        assert_eq!(service["image"], services["nik-stream"]["image"], "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        let privileges = texts(&service["security_opt"]);
        assert_eq!(privileges, ["no-new-privileges:true"], "{name}");
    }
    // The program stops within 15 seconds; the grace period must be longer.
    assert_eq!(services["nik-stream"]["stop_grace_period"], "20s");
}

#[test]
fn the_mounted_files_exist() {
    let mut mounts = Vec::new();
    for (_, service) in services().as_object().expect("services") {
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = PathBuf::from(mount["source"].as_str().expect("a path"));
            assert!(source.starts_with(file("config")), "{}", source.display());
            assert!(source.exists(), "{}", source.display());
            mounts.push(source);
        }
    }
    assert_eq!(mounts.len(), 3, "{mounts:?}");
}

#[test]
fn the_generator_refuses_a_missing_topic() {
    let nowhere =
        [("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS".to_owned(), crate::cluster::shared().bootstrap())];
    let missing = ("NIK_STREAM__TOPICS__REQUESTS".to_owned(), "absent".to_owned());
    let variables = [&nowhere[..], &[missing]].concat();
    let output = program(&["generate", "--send", "--count", "1"], &variables).output();
    let output = output.expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("topic absent does not exist"), "{}", words(&output));
}
