//! `docker-compose.yml`: its settings start the real broker, program and generator.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{file, program, texts, tool, words, written};
use crate::cluster::{Kept, ProgramSettings, ports};
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

/// Starts a broker from the variables of Apache Kafka's image: `KAFKA_A_B` is the property `a.b`.
fn broker(environment: &[(String, String)], dir: &Path) -> Kept {
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
    let small = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
    let java = [&small[..], &["-cp", &jars]].concat();
    let mut format = std::process::Command::new("java");
    format.args(&java).arg("kafka.tools.StorageTool");
    written(format.args(["format", "-t", "nikStreamTestCluster00", "-c", file]));
    let start = [&java[..], &["kafka.Kafka", file]].concat();
    Kept::start("java", &start, &[], dir, "log", "log", dir)
}

#[test]
fn the_containers_settings_start_broker_topics_program_and_generator() {
    let services = services();
    let dir = TempDir::with_prefix("nik-stream-compose-").expect("a temporary directory");
    let free = ports::free(3);
    let ports = [("9092", free), ("29092", free + 1), ("9093", free + 2)];
    let _broker = broker(&environment(&services["kafka"], &ports), dir.path());
    wait_until("the broker listens", || std::net::TcpStream::connect(("127.0.0.1", free)).is_ok());

    let topics = environment(&services["topics"], &ports);
    let created = written(&mut program(&texts(&services["topics"]["command"]), &topics));
    for topic in ["nik.requests", "nik.results", "nik.failures", "nik.positions"] {
        assert!(created.contains(&format!("created {topic}: ")), "{created}");
    }

    assert_eq!(texts(&services["nik-stream"]["command"]), ["run"]);
    let variables = environment(&services["nik-stream"], &ports);
    let mut settings = ProgramSettings::at("");
    for (name, value) in &variables {
        let key = name.strip_prefix("NIK_STREAM__").expect("a setting");
        settings = settings.set(&key.to_lowercase().replace("__", "."), value);
    }
    let mut instance = settings.run();
    instance.wait_ready(START_TIMEOUT);

    // Its health check, at the port of this instance.
    let check = texts(&services["nik-stream"]["healthcheck"]["test"]);
    assert_eq!(check[..2], ["CMD", "nik-stream"]);
    let listen = instance.url("").replace("http://127.0.0.1", "0.0.0.0");
    let listen = ("NIK_STREAM__HTTP__LISTEN".to_owned(), listen);
    let health = program(&check[2..], &[listen]).output().expect("runs");
    assert!(health.status.success(), "{}", words(&health));

    let generator = environment(&services["generator"], &ports);
    let endless = texts(&services["generator"]["command"]);
    assert!(!endless.contains(&"--count"));
    written(&mut program(&[&endless[..], &["--count", "300"]].concat(), &generator));
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
