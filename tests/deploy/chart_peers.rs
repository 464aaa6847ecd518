//! What the chart configures for others: probes, Prometheus, Grafana, KEDA, network policies.

use serde_json::{Value, json};

use super::chart::{Rendered, VALUES, rendered};
use super::read;
use crate::cluster::ProgramSettings;
use crate::traffic::stage::wait_until;

#[test]
fn probes_and_scrapes_use_existing_paths_and_ports() {
    let program = ProgramSettings::at("127.0.0.1:1").run();
    wait_until("it serves HTTP", || program.get("/livez").is_some());
    for name in VALUES {
        let rendered = rendered(name);
        let container = rendered.container();
        let mut paths = vec!["/metrics"];
        for probe in ["livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            assert_eq!(get["port"], container["ports"][0]["name"], "{name}");
            paths.push(get["path"].as_str().expect("a path"));
        }
        assert_eq!(paths, ["/metrics", "/livez", "/readyz"]);
        for path in paths {
            assert_ne!(program.get(path).expect("an answer").0, 404, "{path}");
        }
        let listen = container["env"].as_array().expect("variables").iter();
        let listen = listen.filter(|it| it["name"] == "NIK_STREAM__HTTP__LISTEN");
        let port = container["ports"][0]["containerPort"].to_string();
        for it in listen {
            let host = if name == "scaled" { "[::]" } else { "0.0.0.0" };
            assert_eq!(it["value"], format!("{host}:{port}"), "{name}");
        }
        let service = &rendered.one("Service")["spec"]["ports"][0];
        assert_eq!(service["name"], "http");
        assert_eq!(service["targetPort"], container["ports"][0]["name"]);
    }
}

#[test]
fn selectors_match_all_pods_and_not_the_hook() {
    for name in VALUES {
        let rendered = rendered(name);
        let set = rendered.one("StatefulSet");
        let pods = &set["spec"]["template"]["metadata"]["labels"];
        let selectors = [
            &set["spec"]["selector"]["matchLabels"],
            &rendered.one("Service")["spec"]["selector"],
            &rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        ];
        for selector in selectors {
            assert!(is_part(selector, pods), "{name}: {selector} {pods}");
        }
        if rendered.has("ServiceMonitor") {
            let selector = &rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"];
            assert!(is_part(selector, &rendered.one("Service")["metadata"]["labels"]));
        }
        if rendered.has("Job") {
            let hook = &rendered.one("Job")["spec"]["template"]["metadata"]["labels"];
            assert!(!is_part(&set["spec"]["selector"]["matchLabels"], hook), "{name}");
        }
        assert_eq!(set["spec"]["serviceName"], rendered.one("Service")["metadata"]["name"]);
    }
}

fn is_part(selector: &Value, labels: &Value) -> bool {
    let selector = selector.as_object().expect("labels");
    !selector.is_empty() && selector.iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn prometheus_gets_the_alerts_unchanged_with_your_runbook() {
    let rendered = rendered("secured");
    let monitor = &rendered.one("ServiceMonitor")["spec"]["endpoints"][0];
    assert_eq!(monitor["port"], "http");
    let group = json!([{ "targetLabel": "group", "replacement": "nik-checks" }]);
    assert_eq!(monitor["relabelings"], group);

    let alerts = read("config/prometheus/alerts.yml");
    let alerts = alerts.replace("docs/runbook.md#", "https://runbooks.example.com/nik-stream#");
    let alerts: Value = serde_saphyr::from_str(&alerts).expect("YAML");
    assert_eq!(rendered.one("PrometheusRule")["spec"], alerts);
}

#[test]
fn grafana_gets_every_dashboard() {
    let rendered = rendered("secured");
    let boards = rendered.one("ConfigMap");
    assert_eq!(boards["metadata"]["labels"]["grafana_dashboard"], "1");
    let boards = boards["data"].as_object().expect("files");
    assert_eq!(boards.len(), 3);
    for (name, text) in boards {
        let file = read(&format!("config/grafana/dashboards/{name}"));
        let file: Value = serde_json::from_str(&file).expect("JSON");
        let text: Value = serde_json::from_str(text.as_str().expect("a text")).expect("JSON");
        assert_eq!(text, file, "{name}");
    }
}

#[test]
fn keda_scales_on_the_lag_of_the_group_in_the_topic_of_requests() {
    let rendered = rendered("scaled");
    let object = &rendered.one("ScaledObject")["spec"];
    assert_eq!(object["scaleTargetRef"]["name"], rendered.one("StatefulSet")["metadata"]["name"]);
    let trigger = &object["triggers"][0];
    assert_eq!(trigger["type"], "kafka");
    assert_eq!(
        trigger["metadata"],
        json!({
            "bootstrapServers": "kafka:9092", "consumerGroup": "nik-stream", "topic": "nik.requests",
            "lagThreshold": "50000", "offsetResetPolicy": "earliest", "sasl": "oauthbearer", "tls": "enable",
        })
    );
    assert_eq!(trigger["authenticationRef"]["name"], "kafka");
    let replicas = &rendered.one("StatefulSet")["spec"]["replicas"];
    assert!(replicas.is_null(), "only KEDA sets the number of pods: {replicas}");
}

#[test]
fn network_policies_allow_brokers_dns_and_scrapes() {
    let ports = |policy: &Value, rule: usize| -> Vec<u64> {
        let ports = policy["spec"]["egress"][rule]["ports"].as_array().expect("ports");
        ports.iter().filter_map(|it| it["port"].as_u64()).collect()
    };
    // The only policy for the pods of an object.
    let policy = |rendered: &Rendered, kind: &str, template: &str| {
        let pods = &rendered.one(kind).pointer(template).expect("pods")["metadata"]["labels"];
        let mut policies = rendered.all("NetworkPolicy");
        policies.retain(|it| is_part(&it["spec"]["podSelector"]["matchLabels"], pods));
        assert_eq!(policies.len(), 1, "{kind}");
        policies[0].clone()
    };
    let secured = rendered("secured");
    let service = policy(&secured, "StatefulSet", "/spec/template");
    assert_eq!(ports(&service, 0), [53, 53]);
    assert_eq!(ports(&service, 1), [9093, 9092], "the ports of the bootstrap servers");
    assert_eq!(service["spec"]["egress"][1]["to"][0]["ipBlock"]["cidr"], "192.0.2.0/24");
    assert_eq!(ports(&service, 2), [4318], "the port of the collector of traces");
    let scraper = &service["spec"]["ingress"][0];
    assert_eq!(scraper["ports"], json!([{ "port": "http" }]));
    assert!(scraper["from"][0]["namespaceSelector"].is_object());
    let audit = policy(&secured, "CronJob", "/spec/jobTemplate/spec/template");
    assert_eq!(audit["spec"]["egress"], service["spec"]["egress"]);

    let scaled = rendered("scaled");
    let service = policy(&scaled, "StatefulSet", "/spec/template");
    assert_eq!(ports(&service, 1), [9092, 9095]);
    assert_eq!(ports(&service, 2), [8443], "the port of the token endpoint");
    assert_eq!(service["spec"]["ingress"], json!([]), "nobody");
    let topics = policy(&scaled, "Job", "/spec/template");
    assert_eq!(topics["spec"]["egress"], service["spec"]["egress"]);
    // It exists before the Job, which runs before the release.
    let (hook, weight) = ("helm.sh/hook", "helm.sh/hook-weight");
    let job = &scaled.one("Job")["metadata"]["annotations"];
    let annotations = &topics["metadata"]["annotations"];
    assert_eq!((&annotations[hook], &annotations[weight]), (&job[hook], &json!("-1")));
    assert!(job[weight].is_null(), "0");
}
