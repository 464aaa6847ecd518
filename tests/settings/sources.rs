//! Defaults, files, environment.

use nik::Date;
use nik_stream::config::{Guarantee, ReferenceDate, load_from};
use nik_stream::kafka::check_property;
use nik_wire::Absent;

use super::load;

#[test]
fn a_later_file_overrides_an_earlier_one_and_the_environment_overrides_both() {
    let loaded = load(
        &[
            "[kafka]\ngroup_id = \"first\"\nworkers = 1\n[topics]\nrequests = \"a\"",
            "[kafka]\ngroup_id = \"second\"\nworkers = 2",
        ],
        &[("KAFKA__WORKERS", "3")],
    )
    .unwrap();
    assert_eq!(loaded.settings.topics.requests, "a");
    assert_eq!(loaded.settings.kafka.group_id, "second");
    assert_eq!(loaded.settings.kafka.workers, 3);
    let origin = |key: &str| loaded.origins[key].rsplit('/').next().unwrap().to_owned();
    assert_eq!(origin("topics.requests"), "0.toml");
    assert_eq!(origin("kafka.group_id"), "1.toml");
    assert_eq!(origin("kafka.workers"), "NIK_STREAM__KAFKA__WORKERS");
    assert_eq!(origin("topics.results"), "default");
}

#[test]
fn every_type_of_value_can_come_from_the_environment() {
    let loaded = load(
        &[],
        &[
            ("KAFKA__INSTANCE_ID", "nik-3"),
            ("DELIVERY__GUARANTEE", "at_least_once"),
            ("DELIVERY__MAX_FAILURE_RATIO", "1"),
            ("RULES__REFERENCE_DATE", "2024-02-29"),
            ("RULES__ABSENT", "null"),
            ("HTTP__API", "false"),
            ("HTTP__LISTEN", "[::]:80"),
            ("KAFKA__LIBRDKAFKA__SOCKET_KEEPALIVE_ENABLE", "true"),
        ],
    )
    .unwrap();
    let settings = loaded.settings;
    assert_eq!(settings.kafka.instance_id.as_deref(), Some("nik-3"));
    assert_eq!(settings.delivery.guarantee, Guarantee::AtLeastOnce);
    assert!(settings.delivery.max_failure_ratio >= 1.0);
    let day = Date::parse("2024-02-29").unwrap();
    assert_eq!(settings.rules.reference_date, ReferenceDate::Date(day));
    assert_eq!(settings.rules.absent, Absent::Null);
    assert!(!settings.http.api);
    assert_eq!(settings.http.listen.port(), 80);
    let properties: Vec<_> = settings.kafka.librdkafka.iter().collect();
    assert_eq!(properties, [("socket.keepalive.enable", "true")]);
}

#[test]
fn variables_that_kubernetes_creates_for_a_service_are_ignored() {
    let variables =
        [("NIK_STREAM_PORT", "tcp://10.0.0.1:9464"), ("NIK_STREAM_SERVICE_HOST", "10.0.0.1")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    load_from(&[], variables, check_property).unwrap();
}

#[test]
fn text_that_looks_like_a_number_stays_text() {
    let loaded = load(
        &["[kafka.security]\nprotocol = \"sasl_plaintext\"\nsasl_mechanism = \"plain\"\nusername = \"0123\""],
        &[("KAFKA__SECURITY__PASSWORD", "0123"), ("KAFKA__GROUP_ID", "1.10")],
    )
    .unwrap();
    let security = loaded.settings.kafka.security;
    assert_eq!(security.password.unwrap().expose(), "0123");
    assert_eq!(security.username.unwrap(), "0123");
    assert_eq!(security.sasl_mechanism.unwrap().as_str(), "PLAIN");
    assert_eq!(loaded.settings.kafka.group_id, "1.10");
}

#[test]
fn properties_of_librdkafka_keep_their_names_and_values_from_every_file() {
    let loaded = load(
        &[
            "[kafka.librdkafka]\n\"linger.ms\" = 5\n\"client.id\" = \"one\"\nretries = 3\n[kafka.producer]\n\"linger.ms\" = 0.5",
            "[kafka.librdkafka]\n\"client.id\" = \"two\"\nlog.connection.close = false\n[kafka.consumer]\n\"fetch.min.bytes\" = 1",
        ],
        &[("KAFKA__PRODUCER__LINGER_MS", "7")],
    )
    .unwrap();
    let kafka = &loaded.settings.kafka;
    let both: Vec<_> = kafka.librdkafka.iter().collect();
    let of_both = [
        ("client.id", "two"),
        ("linger.ms", "5"),
        ("log.connection.close", "false"),
        ("retries", "3"),
    ];
    assert_eq!(both, of_both);
    assert_eq!(kafka.consumer.iter().collect::<Vec<_>>(), [("fetch.min.bytes", "1")]);
    assert_eq!(kafka.producer.iter().collect::<Vec<_>>(), [("linger.ms", "7")]);
}

#[test]
fn empty_text_means_not_set() {
    let loaded = load(&["[kafka]\ninstance_id = \"a\""], &[("KAFKA__INSTANCE_ID", "")]).unwrap();
    assert_eq!(loaded.settings.kafka.instance_id, None);
}

#[test]
fn the_defaults_are_shown_as_the_lines_of_their_file() {
    let file = include_str!("../../config/default.toml").lines();
    let file: Vec<_> = file.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let shown = load(&[], &[]).unwrap().show();
    let shown = shown.lines().filter(|line| !line.is_empty());
    let shown: Vec<_> = shown.map(|line| line.trim_end_matches(" # default")).collect();
    assert_eq!(shown, file);
}
