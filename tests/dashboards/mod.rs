//! The dashboards of `config/grafana/` on a real Prometheus, and the alerts of `config/prometheus/`
//! by promtool.

mod alerts;
mod scraper;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::shared;
use crate::docs::pages::{files, read};
use crate::traffic::load::Load;
use crate::traffic::stage::{Stage, stop, wait_until};
use scraper::Scraper;

const REFERENCE: &str = include_str!("../../docs/reference.md");
const PARTITIONS: usize = 4;

/// Every dashboard with the name of its file.
fn dashboards() -> Vec<(String, Value)> {
    let names = files("config/grafana/dashboards").into_iter();
    names
        .map(|name| {
            let dashboard = serde_json::from_str(&read(&name)).unwrap();
            (name, dashboard)
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key}: {value}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key}: {value}"))
}

/// Every query of every panel, with its file and title.
fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        for panel in list(&dashboard, "panels") {
            for target in list(panel, "targets") {
                let place = format!("{file}: {}", text(panel, "title"));
                queries.push((place, text(target, "expr").to_owned()));
            }
        }
    }
    queries
}

/// The query as Grafana sends it with everything selected and a time range of one minute.
fn substituted(query: &str) -> String {
    let mut query = query.to_owned();
    for (variable, value) in [
        ("$__rate_interval", "10s"),
        ("$__range", "1m"),
        ("$job", ".*"),
        ("$group", ".*"),
        ("$instance", ".*"),
    ] {
        query = query.replace(variable, value);
    }
    assert!(!query.contains('$'), "an unknown variable: {query}");
    query
}

#[test]
fn every_panel_shows_data_of_two_instances_under_load() {
    let stage = Stage::new(shared(), "panels", PARTITIONS);
    let load = Load::start(shared(), &stage.requests, PARTITIONS, 100);
    let (first, second) = (stage.run(), stage.run());
    let scraper = Scraper::start(&stage.group, &[&first, &second]);
    wait_until("both instances have work", || {
        let busy = "sum by (instance) (rate(nik_stream_requests_total[10s])) > 0";
        scraper.values(busy).len() == 2
    });
    load.wait_for(500);
    let mut empty = queries();
    for _ in 0..10 {
        empty.retain(|(_, query)| scraper.values(&substituted(query)).is_empty());
        if empty.is_empty() {
            break;
        }
        load.wait_for(100); // a second's
    }
    assert!(empty.is_empty(), "no data: {empty:#?}");

    // A sum over the instances covers all partitions, and each variable offers its values.
    let all = scraper.values("sum(nik_stream_assigned)");
    assert_eq!(all, [4.0]);
    for (_, dashboard) in dashboards() {
        for variable in list(&dashboard["templating"], "list") {
            if variable["type"] == "query" {
                let query = text(&variable["query"], "query");
                let inner = query.strip_prefix("label_values(").unwrap();
                let (metric, label) = inner.trim_end_matches(')').rsplit_once(", ").unwrap();
                let count = format!("count by ({label}) ({})", substituted(metric));
                let choices = if label == "instance" { 2 } else { 1 };
                assert_eq!(scraper.values(&count).len(), choices, "{query}");
            }
        }
    }
    load.finish();
    stop(first);
    stop(second);
}

#[test]
fn every_panel_has_a_description_and_can_be_filtered() {
    let mut names = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(names.insert(text(&dashboard, "uid").to_owned()), "{file}");
        let mut ids = BTreeSet::new();
        for panel in list(&dashboard, "panels") {
            let title = text(panel, "title");
            assert!(ids.insert(panel["id"].as_u64()), "{file}: {title}: id");
            assert!(text(panel, "description").ends_with('.'), "{file}: {title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    for (place, query) in queries() {
        let metrics = query.matches("nik_").count() + query.matches("process_").count();
        for variable in ["$job", "$group", "$instance"] {
            assert_eq!(query.matches(variable).count(), metrics, "{place}: {query}");
        }
    }
}

/// The metrics in a text, by their names in docs/reference.md.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c| !is_part(c));
    let words = words.filter(|word| word.starts_with("nik_s"));
    let ends = ["_bucket", "_sum", "_count"];
    words
        .map(|word| {
            let plain = ends.iter().find_map(|end| word.strip_suffix(end));
            plain.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn every_metric_of_alerts_dashboards_and_runbook_is_in_the_reference() {
    let mut named = metrics(&read("config/prometheus/alerts.yml"));
    for cases in ["alerts.test.yml", "alerts.days.test.yml"] {
        named.extend(metrics(&read(&format!("config/prometheus/{cases}"))));
    }
    named.extend(metrics(&read("docs/runbook.md")));
    named.extend(queries().iter().flat_map(|(_, query)| metrics(query)));
    assert!(named.len() > 15, "{named:?}");
    let unknown: Vec<_> =
        named.iter().filter(|name| !REFERENCE.contains(&format!("\n| `{name}` |"))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
