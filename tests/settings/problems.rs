//! What is rejected, and with which message.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nik_stream::config::load_from;
use nik_stream::kafka::check_property;

use super::load;

fn problems(text: &str) -> Vec<String> {
    load(&[text], &[]).unwrap_err()
}

/// The one problem of a text.
fn problem(text: &str) -> String {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].clone()
}

#[test]
fn all_problems_of_all_files_and_variables_are_reported_at_once() {
    let problems = load(
        &[
            "[kafka]\ngroup_id = 5\nworkerz = 2\n[rules]\nabsent = \"nil\"\nmin_age = 151",
            "[delivery]\ncommit_interval_ms = 5\n[limits]\nrequest_bytes = 1.5\n[log]\nlevel = \"inof\"",
        ],
        &[("HTTP__LISTEN", "9464"), ("HTTP__PORT", "9464"), ("TOPICS__RESULTS", "nik results")],
    )
    .unwrap_err();
    let expected = [
        "0.toml: kafka.workerz: unknown key, the nearest known key is kafka.workers",
        "NIK_STREAM__HTTP__PORT: http.port: unknown key",
        "0.toml: kafka.group_id: expected text in quotes, not empty",
        "0.toml: rules.min_age: expected a whole number from 0 to 150",
        "0.toml: rules.absent: expected \"text\" or \"null\"",
        "1.toml: limits.request_bytes: expected a whole number from 1024 to 268435456",
        "NIK_STREAM__HTTP__LISTEN: http.listen: expected an IP address and a port, such as 127.0.0.1:9464 or [::1]:9464",
        "NIK_STREAM__TOPICS__RESULTS: topics.results: expected 1 to 249 letters, digits, dots, dashes and underscores",
        "1.toml: delivery.commit_interval_ms: expected delivery.commit_min_interval_ms to be at most delivery.commit_interval_ms, \
         found 10 and 5",
        "1.toml: log.level: expected \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\", also per target, as in \
         \"info,librdkafka=debug\"",
    ];
    assert_eq!(
        problems, expected,
        "unknown keys, then values in the order of the keys, then combinations"
    );
}

#[test]
fn an_unknown_key_is_reported_even_if_a_later_file_is_right() {
    let problems = load(&["[log]\nlevels = \"info\"", "[log]\nlevel = \"info\""], &[]).unwrap_err();
    assert_eq!(problems, ["0.toml: log.levels: unknown key, the nearest known key is log.level"]);
}

#[test]
fn the_nearest_known_key_is_suggested_even_from_another_table() {
    assert_eq!(
        problem("[topics]\nbootstrap_servers = \"a:1\""),
        "0.toml: topics.bootstrap_servers: unknown key, the nearest known key is kafka.bootstrap_servers"
    );
    assert_eq!(problem("colour = true"), "0.toml: colour: unknown key");
    assert_eq!(
        problem("[kafka.librdkafak]"),
        "0.toml: kafka.librdkafak: unknown key, the nearest known key is kafka.librdkafka"
    );
}

#[test]
fn a_table_is_not_accepted_as_a_value_nor_a_value_as_a_table() {
    assert_eq!(problem("kafka = 5"), "0.toml: kafka: expected a table of settings");
    for text in ["log.level = [\"info\"]", "[log.level]"] {
        assert_eq!(problem(text), "0.toml: log.level: expected text in quotes, not empty");
    }
    assert_eq!(
        problem("[kafka.consumer]\n\"a.b\" = [1]"),
        "0.toml: kafka.consumer.a.b: expected text, a number, true or false"
    );
}

#[test]
fn a_value_of_another_type_is_rejected_not_converted() {
    for (text, expected) in [
        ("[kafka]\nworkers = 2.0", "kafka.workers: expected a whole number from 0 to 256"),
        ("[kafka]\nworkers = true", "kafka.workers: expected a whole number from 0 to 256"),
        ("[kafka]\nworkers = -1", "kafka.workers: expected a whole number from 0 to 256"),
        ("[kafka]\nworkers = 257", "kafka.workers: expected a whole number from 0 to 256"),
        ("[http]\napi = 1", "http.api: expected true or false"),
        (
            "[delivery]\nmax_failure_ratio = 50",
            "delivery.max_failure_ratio: expected a number from 0 to 1",
        ),
        (
            "[delivery]\nmax_failure_ratio = nan",
            "delivery.max_failure_ratio: expected a number from 0 to 1",
        ),
        (
            "[rules]\nreference_date = \"2023-02-29\"",
            "rules.reference_date: expected \"record\" or \"now\" or a date, written YYYY-MM-DD",
        ),
    ] {
        let problems = problems(text);
        assert!(problems[0].ends_with(expected), "{text}: {problems:?}");
    }
}

#[test]
fn dropped_headers_are_names_with_a_star_only_at_the_end() {
    for list in ["a,,b", "ce_*,", "*ce", "a*b", "a**"] {
        assert_eq!(
            problem(&format!("[topics]\ndrop_headers = \"{list}\"")),
            "0.toml: topics.drop_headers: expected names of headers separated by commas, with a * only at the end of a name"
        );
    }
    assert!(load(&["[topics]\ndrop_headers = \"*\""], &[]).is_ok());
}

#[test]
fn traces_go_to_a_collector_over_http_also_by_the_variable_of_open_telemetry() {
    let text =
        "expected the address of a collector that accepts OTLP over HTTP, such as http://host:4318";
    for endpoint in ["grpc://a:4317", "a:4318", "http://", "http://a b", "http://a/?b"] {
        let expected = format!("0.toml: traces.endpoint: {text}");
        assert_eq!(problem(&format!("[traces]\nendpoint = \"{endpoint}\"")), expected);
    }
    let load = |file: &str, endpoint: &str| {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let variable = ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), endpoint.into());
        load_from(&[path.path().to_owned()], [variable], check_property)
    };
    let url = |file| load(file, "http://a:4318").unwrap().settings.traces.url();
    assert_eq!(url("").as_deref(), Some("http://a:4318/v1/traces"));
    assert_eq!(url("traces.endpoint = \"\""), None);
    assert!(load("", "https://a").is_ok());
    let problems = load("", "a:4317").unwrap_err().to_string();
    assert_eq!(problems, format!("OTEL_EXPORTER_OTLP_ENDPOINT: traces.endpoint: {text}"));
}

#[test]
fn topics_have_three_different_names_that_kafka_accepts() {
    assert_eq!(
        problem("[topics]\nresults = \"nik.requests\""),
        "0.toml: topics.results: must not be the topic of topics.requests"
    );
    assert_eq!(
        problem("[topics]\nresults = \"nik.failures\""),
        "0.toml: topics.results: must not be the topic of topics.failures",
        "reported for the key that is set, not for the one with its default"
    );
    for name in ["", "..", "a b", "a/b", "é", &"a".repeat(250)] {
        problem(&format!("[topics]\nfailures = \"{name}\""));
    }
    load(&[&format!("[topics]\nfailures = \"{}\"", "a".repeat(249))], &[]).unwrap();
}

#[test]
fn servers_are_hosts_with_ports() {
    for servers in ["a", "a:1", "a:9092,b:9092", "a:1, b:2", "a.:1", "[::1]:9092", "[::1]"] {
        load(&[&format!("[kafka]\nbootstrap_servers = \"{servers}\"")], &[]).unwrap();
    }
    for servers in [
        "a:1,",
        "a:0",
        "a:65536",
        ":9092",
        "a b:1",
        "http://a:1",
        "a:port",
        "a:1;b:1",
        "a;b:1",
        "::1:9092",
        "fe80::1",
        "[::1:9092",
        "[a]:9092",
    ] {
        assert_eq!(
            problem(&format!("[kafka]\nbootstrap_servers = \"{servers}\"")),
            "0.toml: kafka.bootstrap_servers: expected host:port, several separated by commas, IPv6 addresses in brackets, such as [::1]:9092",
            "{servers}"
        );
    }
}

#[test]
fn an_instance_has_a_name_that_kafka_accepts() {
    load(&["[kafka]\ninstance_id = \"nik-stream_0.a\""], &[]).unwrap();
    problem("[kafka]\ninstance_id = \"nik stream\"");
}

#[test]
fn the_newer_group_protocol_leaves_the_session_to_the_brokers() {
    let newer = "[kafka]\ngroup_protocol = \"consumer\"\n";
    load(&[newer], &[]).unwrap();
    assert!(
        problem(&format!("{newer}session_timeout_ms = 10000"))
            .contains("kafka.session_timeout_ms: must not be set")
    );
    assert!(
        problem(&format!("{newer}instance_id = \"a\""))
            .contains("kafka.instance_id: must be empty")
    );
    for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
        let property = format!("[kafka.consumer]\n\"{name}\" = \"1\"");
        load(&[&property], &[]).unwrap();
        assert!(
            problem(&format!("{newer}{property}"))
                .contains(&format!("kafka.consumer.{name}: cannot be set"))
        );
    }
}

#[test]
fn a_property_that_a_guarantee_depends_on_is_rejected_with_the_reason() {
    for name in [
        "enable.auto.commit",
        "enable.auto.offset.store",
        "transactional.id",
        "enable.idempotence",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "bootstrap.servers",
        "isolation.level",
        "acks",
        "partitioner",
        "allow.auto.create.topics",
    ] {
        for table in ["librdkafka", "consumer", "producer"] {
            let problem = problem(&format!("[kafka.{table}]\n\"{name}\" = \"0\""));
            assert!(
                problem.starts_with(&format!("0.toml: kafka.{table}.{name}: cannot be set: ")),
                "{problem}"
            );
        }
    }
    assert_eq!(
        load(&[], &[("KAFKA__CONSUMER__AUTO_OFFSET_RESET", "latest")]).unwrap_err(),
        [
            "NIK_STREAM__KAFKA__CONSUMER__AUTO_OFFSET_RESET: kafka.consumer.auto.offset.reset: cannot be set: requests would be skipped \
          without an outcome"
        ]
    );
    load(&["[kafka.librdkafka]\nacks = \"all\"\n\"auto.offset.reset\" = \"error\""], &[]).unwrap();
}

#[test]
fn a_property_and_the_setting_for_it_are_not_both_set() {
    let property = "[kafka.consumer]\n\"session.timeout.ms\" = \"9000\"\n";
    load(&[property], &[]).unwrap();
    assert_eq!(
        problem(&format!("{property}[kafka]\nsession_timeout_ms = 8000")),
        "0.toml: kafka.consumer.session.timeout.ms: cannot be set: kafka.session_timeout_ms is set as well"
    );
    let password = "[kafka.librdkafka]\n\"sasl.password\" = \"hunter2\"\n";
    let security = "[kafka.security]\nprotocol = \"sasl_ssl\"\nsasl_mechanism = \"PLAIN\"\nusername = \"a\"\npassword = \"b\"";
    let problem = problem(&format!("{password}{security}"));
    assert!(
        problem.ends_with("cannot be set: kafka.security.password is set as well"),
        "{problem}"
    );
}

#[test]
fn a_property_or_value_that_librdkafka_does_not_accept_is_rejected_before_the_start() {
    let problems = problems(
        "[kafka.producer]\n\"linger.mss\" = 5\n[kafka.librdkafka]\n\"linger.ms\" = \"soon\"",
    );
    assert_eq!(problems[1], "0.toml: kafka.producer.linger.mss: librdkafka knows no such property");
    assert!(
        problems[0].starts_with("0.toml: kafka.librdkafka.linger.ms: librdkafka: "),
        "{problems:?}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_among_the_others() {
    assert!(problem("[kafka\n").starts_with("0.toml: TOML parse error at line 1, column 7: "));
    let missing = PathBuf::from("/nonexistent/nik.toml");
    let variable = (OsString::from("NIK_STREAM__LOG__LEVEL"), OsString::from_vec(vec![0xff]));
    let problems = load_from(&[missing], [variable], check_property).unwrap_err().to_string();
    let lines: Vec<_> = problems.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("/nonexistent/nik.toml: cannot be read: "), "{problems}");
    assert_eq!(lines[1], "NIK_STREAM__LOG__LEVEL: log.level: expected UTF-8");
}
