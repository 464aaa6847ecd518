//! Programs that tests run: Kafka's own command line tools, and those of other packages.

use std::process::{Command, Stdio};

use super::KafkaCluster;

/// Fails the test with a hint how to install `tool` if it is missing.
pub fn need(tool: &str) {
    let mut version = Command::new(tool);
    let version = version.arg("--version").stdout(Stdio::null());
    let found = version.stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "{tool} is missing: `script/bootstrap tests` installs it"
    );
}

impl KafkaCluster {
    /// Runs a tool by the name of its class; returns its output.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let jvm = format!("@{}", self.dir().join("1/jvm.args").display());
        let mut java = Command::new("java");
        java.args([&jvm, class, "--bootstrap-server", &self.bootstrap()]).args(arguments);
        let output = java.output().expect("java runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{class} {arguments:?}: {text} {output:?}");
        text
    }

    /// Limits the clients of this `client.id`, as `kafka-configs.sh` does:
    /// `producer_byte_rate=50000`.
    pub fn set_quota(&self, client_id: &str, quota: &str) {
        let of = ["--entity-type", "clients", "--entity-name", client_id];
        let change = ["--alter", "--add-config", quota];
        self.tool("kafka.admin.ConfigCommand", &[&change[..], &of].concat());
    }
}
