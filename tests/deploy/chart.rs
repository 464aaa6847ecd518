//! The Helm chart, rendered with the values in its directory `ci`, compared with the program.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::{program, read, tool, words, written};
use crate::security::keys;

const CHART: &str = "deploy/helm/nik-stream";
pub const VALUES: [&str; 3] = ["plain", "secured", "scaled"];

/// The objects that the chart renders from a set of values.
#[derive(Clone)]
pub struct Rendered(Vec<Value>);

impl Rendered {
    /// The only object of a kind.
    pub fn one(&self, kind: &str) -> &Value {
        let found = self.all(kind);
        assert_eq!(found.len(), 1, "{kind}");
        found[0]
    }

    pub fn all(&self, kind: &str) -> Vec<&Value> {
        self.0.iter().filter(|it| it["kind"] == kind).collect()
    }

    pub fn has(&self, kind: &str) -> bool {
        !self.all(kind).is_empty()
    }

    /// The containers of the pods, of the hook and of the audit.
    fn containers(&self) -> Vec<(&Value, &Value)> {
        let paths = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
        let pods = self.0.iter().flat_map(|it| paths.map(|path| it.pointer(path)));
        let pods = pods.map(|pod| pod.unwrap_or(&Value::Null));
        let pods = pods.filter(|pod| !pod.is_null());
        pods.map(|pod| (pod, &pod["containers"][0])).collect()
    }

    /// The container of the service.
    pub fn container(&self) -> &Value {
        &self.one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    }
}

fn values(name: &str) -> String {
    format!("{CHART}/ci/{name}-values.yaml")
}

fn template(arguments: &[&str]) -> std::process::Command {
    let mut helm = tool(&["helm", "template", "checks", CHART, "--namespace", "nik"]);
    helm.args(arguments);
    helm
}

/// Each set once.
pub fn rendered(name: &str) -> Rendered {
    static ALL: [OnceLock<Rendered>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    let index = VALUES.iter().position(|it| *it == name).expect("a set");
    let rendered = ALL[index].get_or_init(|| {
        let text = written(&mut template(&["--values", &values(name)]));
        let objects = serde_saphyr::from_multiple(&text);
        Rendered(objects.unwrap_or_else(|error| panic!("{name}: {error}")))
    });
    rendered.clone()
}

/// The environment variables of a container in a pod with this name.
fn environment(container: &Value, pod: &str) -> Vec<(String, String)> {
    let variables = container["env"].as_array().expect("variables").iter();
    let of_pod = |it: &Value| {
        assert_eq!(it["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
        pod.to_owned()
    };
    variables
        .map(|it| {
            let value = it["value"].as_str().map_or_else(|| of_pod(it), str::to_owned);
            (it["name"].as_str().expect("a name").to_owned(), value)
        })
        .collect()
}

#[test]
fn helm_lint_accepts_the_chart() {
    for name in VALUES {
        let mut lint = tool(&["helm", "lint", "--strict", CHART, "--values", &values(name)]);
        let said = written(&mut lint);
        assert!(said.contains("1 chart(s) linted, 0 chart(s) failed"), "{said}");
    }
    let chart = read(&format!("{CHART}/Chart.yaml"));
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("\nversion: {version}\n")));
    assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")));
}

/// A certificate, as the program reads what it is given.
fn certificate() -> &'static str {
    static CERTIFICATE: OnceLock<String> = OnceLock::new();
    CERTIFICATE.get_or_init(|| {
        let dir = TempDir::new().expect("a directory");
        keys::make(dir.path());
        std::fs::read_to_string(dir.path().join("authority.pem")).expect("a certificate")
    })
}

#[test]
fn the_variables_of_every_container_are_settings_of_the_program() {
    for name in VALUES {
        for (_, container) in rendered(name).containers() {
            let mounts = TempDir::with_prefix("nik-stream-chart-").expect("a directory");
            let mut variables = environment(container, "nik-stream-0");
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                let path = mount["mountPath"].as_str().expect("a path");
                let here = format!("{}{path}", mounts.path().display());
                std::fs::create_dir_all(&here).expect("made");
                for (_, value) in &mut variables {
                    if value == path {
                        // The folder itself: region data.
                        for file in ["current.tsv", "retired.tsv", "NOTICE", "manifest.json"] {
                            let data = read(&format!("data/regions/{file}"));
                            std::fs::write(format!("{here}/{file}"), data).expect("written");
                        }
                        value.clone_from(&here);
                    } else if let Some(file) = value.strip_prefix(path) {
                        let file = format!("{here}{file}");
                        let is_certificate =
                            Path::new(&file).extension().is_some_and(|it| it == "crt");
                        let content = if is_certificate { certificate() } else { "secret" };
                        std::fs::write(&file, content).expect("written");
                        *value = file;
                    }
                }
            }
            let output = program(&["config", "check"], &variables).output().expect("runs");
            assert_eq!(words(&output), "ok\n", "{name}: {variables:?}");
        }
    }
}

#[test]
fn values_arrive_as_they_were_written() {
    let rendered = rendered("secured");
    let variables = environment(rendered.container(), "nik-checks-4");
    for (key, expected) in [
        ("KAFKA__INSTANCE_ID", "nik-checks-4"),
        ("KAFKA__SESSION_TIMEOUT_MS", "30000"),
        ("KAFKA__LIBRDKAFKA__CLIENT_RACK", "rack-1"),
        ("DELIVERY__COMMIT_RECORDS", "10000000"),
        ("DELIVERY__MAX_FAILURE_RATIO", "0.25"),
        ("TOPICS__FAILURES", "checks.failures"),
        ("TOPICS__POSITIONS", "nik.positions"),
        ("LOG__LEVEL", "info,librdkafka=debug"),
        ("HTTP__LISTEN", "0.0.0.0:9464"),
    ] {
        let found = variables.iter().find(|(name, _)| *name == format!("NIK_STREAM__{key}"));
        assert_eq!(found.map(|it| it.1.as_str()), Some(expected), "{key}");
    }
    let image = rendered.container()["image"].as_str().unwrap();
    assert!(image.starts_with("images.example.com/nik-stream@sha256:01"), "{image}");
    let has_name = |name| {
        let name = self::rendered(name);
        environment(name.container(), "pod").iter().any(|it| it.0.ends_with("__INSTANCE_ID"))
    };
    assert!(has_name("plain") && !has_name("scaled"), "static members, dynamic ones");
}

#[test]
fn every_container_runs_unprivileged_and_writes_no_file() {
    for name in VALUES {
        for (pod, container) in rendered(name).containers() {
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            let user = pod["securityContext"]["runAsUser"].to_string();
            assert!(read("Dockerfile").contains(&format!("\nUSER {user}:{user}\n")));
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["capabilities"]["drop"][0], "ALL", "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            for mount in container["volumeMounts"].as_array().into_iter().flatten() {
                // The audit leaves its counts in a volume.
                assert!(mount["readOnly"] == true || mount["name"] == "textfile", "{name}");
            }
        }
    }
}

#[test]
fn the_commands_exist() {
    let help = |command: &[&str]| written(&mut program(&[command, &["--help"]].concat(), &[]));
    assert_eq!(rendered("plain").container()["args"][0], "run");
    help(&["run"]);
    let job = rendered("plain");
    let job = &job.one("Job")["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = super::texts(job);
    assert_eq!(arguments[..2], ["topics", "create"]);
    let assert_options = |help: &str, options: &[&str]| {
        for option in options {
            let (name, _) = option.split_once('=').expect("a value");
            assert!(help.contains(&format!("{name} <")), "{option}");
        }
    };
    assert_options(&help(&arguments[..2]), &arguments[2..]);
    let audit = rendered("secured");
    let audit = &audit.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let arguments = super::texts(&audit["containers"][0]["args"]);
    assert_eq!(arguments[0], "audit");
    assert_options(&help(&["audit"]), &arguments[1..]);
}

#[test]
fn impossible_values_are_refused_with_a_reason() {
    let plain = values("plain");
    for (set, reason) in [
        ("settings.kafka.bootstrap_servers=", "bootstrap_servers is needed"),
        ("settings.kafka.instance_id=a", "is the pod's name"),
        ("settings.http.listen=a", "follows the values listen and port"),
        ("listen=127.0.0.1", "listen"),
        ("settings.kafka.security.password=a", "does not belong into values"),
        ("members=many", "members"),
        ("replica=3", "replica"),
        ("terminationGracePeriodSeconds=5", "terminationGracePeriodSeconds"),
    ] {
        let output = template(&["--values", &plain, "--set", set]).output().expect("runs");
        assert!(!output.status.success(), "{set}");
        assert!(words(&output).contains(reason), "{set}: {}", words(&output));
    }
}
