//! Each alert fires when it should, stays silent when it should, and links to the runbook.

use std::process::Command;

use nik_stream::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};

use super::{REFERENCE, read};
use crate::cluster::need;

fn alerts() -> Vec<String> {
    let rules = read("config/prometheus/alerts.yml");
    let names = rules.split("- alert: ").skip(1);
    let names: Vec<_> = names.filter_map(|rest| rest.lines().next().map(str::to_owned)).collect();
    assert!(names.len() >= 7, "{names:?}");
    names
}

fn promtool(arguments: &[&str]) {
    need("promtool");
    let mut promtool = Command::new("promtool");
    let output = promtool.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success(), "{arguments:?}: {text}");
}

#[test]
fn each_alert_fires_when_it_should_and_stays_silent_when_it_should() {
    promtool(&["check", "config", "config/prometheus/prometheus.yml"]);
    let suites = ["config/prometheus/alerts.test.yml", "config/prometheus/alerts.days.test.yml"];
    promtool(&["test", "rules", suites[0], suites[1]]);
    let cases = suites.map(read).concat();
    for alert in alerts() {
        let fires = format!("alertname: {alert}\n        exp_alerts:");
        assert!(cases.contains(&fires), "{alert} fires nowhere");
        let silent = format!("alertname: {alert} }}");
        assert!(cases.contains(&silent), "{alert} is silent nowhere");
    }
}

#[test]
fn each_alert_keeps_the_deployments_apart() {
    let rules = read("config/prometheus/alerts.yml");
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        let groupings: Vec<_> = rule.split(" by (").skip(1).collect();
        assert!(!groupings.is_empty(), "{name}");
        for by in groupings {
            assert!(by.starts_with("job, group"), "{name}: by ({by}");
        }
        let summary = rule.lines().find(|line| line.trim().starts_with("summary: ")).unwrap();
        assert!(summary.contains("{{ $labels.group }}"), "{name}: {summary}");
    }
}

#[test]
fn each_alert_has_a_summary_and_a_section_in_the_runbook() {
    let rules = read("config/prometheus/alerts.yml");
    let runbook = read("docs/runbook.md");
    let sections = runbook.split("\n## ").skip(1);
    let sections: Vec<(&str, &str)> =
        sections.map(|section| section.split_once('\n').unwrap()).collect();
    let names: Vec<_> = sections.iter().map(|section| section.0).collect();
    assert_eq!(names, alerts(), "one section per alert, in the same order");
    for (name, text) in sections {
        for part in ["**It means**", "**Look at**", "**Do**"] {
            assert!(text.contains(part), "{name}: {part}");
        }
        let rule = rules.split("- alert: ").find(|it| it.starts_with(name));
        let lines: Vec<_> = rule.unwrap().lines().map(str::trim).collect();
        let link = format!("runbook_url: docs/runbook.md#{}", name.to_lowercase());
        assert!(lines.contains(&link.as_str()), "{name}: {link}");
        let mut summaries = lines.iter().filter(|line| line.starts_with("summary: "));
        assert!(summaries.any(|line| line.ends_with(['.', ')'])), "{name}");
    }
}

#[test]
fn the_runbook_mentions_only_existing_commands_endpoints_and_settings() {
    let runbook = read("docs/runbook.md");
    let words = |line: &str| -> Vec<String> {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.take(2).map(str::to_owned).collect()
    };
    for line in runbook.split("nik-stream ").skip(1) {
        let Some([command, below]) = words(line).first_chunk::<2>().cloned() else {
            continue;
        };
        let known = [format!("`nik-stream {command} {below}`"), format!("`nik-stream {command}`")];
        let is_command = known.iter().any(|it| REFERENCE.contains(&format!("\n| {it}")));
        assert!(is_command, "nik-stream {command} {below}");
    }
    for path in ["/readyz", "/metrics", "/breaker/resume"] {
        assert!(runbook.contains(&format!("localhost:9464{path}")), "{path}");
        assert!(REFERENCE.contains(&format!(" {path}` |")), "{path}");
    }
    let tables = ["kafka.", "delivery.", "limits.", "http."];
    for name in runbook.split('`').skip(1).step_by(2) {
        let is_key = tables.iter().any(|table| name.starts_with(table)) && !name.contains('*');
        assert!(!is_key || REFERENCE.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

#[test]
fn a_release_of_the_region_data_is_dated_by_the_year_in_its_name() {
    let dated = |release| {
        let build = BuildInfo { version: "1", revision: "2", librdkafka: "3" };
        let regions = RegionsInfo { release, sha256: "4", counts: Vec::new() };
        let text = Metrics::new(&build, &regions, &[]).render();
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with("nik_stream_regions_release_timestamp"));
        line.unwrap().split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(dated("2025.1"), "1751328000"); // 1 July 2025
    assert_eq!(dated("nameless"), "0", "old enough for the alert");
}
