//! The names that dashboards, scripts and charts rely on, listed once more, so that a rename in
//! the program and its docs alone fails.

mod commands;

use std::collections::BTreeSet;
use std::time::Duration;

use nik::{Comparison, ExplainedSummary, SectionReason, Summary, Warning};
use nik_stream::config::load_from;
use nik_stream::kafka::check_property;
use nik_stream::pipeline::epoch::Tally;
use nik_stream::telemetry::metrics::{BuildInfo, Committed, Metrics, RegionsInfo};
use nik_wire::process::Outcome;
use nik_wire::{Process, Reason};

use crate::cluster::ProgramSettings;
use crate::traffic::stage::wait_until;

/// Each key and its default, as `config show` writes it.
const SETTINGS: &[&str] = &[
    "kafka.bootstrap_servers = \"localhost:9092\"",
    "kafka.group_id = \"nik-stream\"",
    "kafka.instance_id = \"\"",
    "kafka.workers = 0", // one for each core
    "kafka.session_timeout_ms = 10000",
    "kafka.group_protocol = \"classic\"",
    "kafka.security.protocol = \"plaintext\"",
    "kafka.security.ca_file = \"\"",
    "kafka.security.certificate_file = \"\"",
    "kafka.security.key_file = \"\"",
    "kafka.security.sasl_mechanism = \"\"",
    "kafka.security.username = \"\"",
    "kafka.security.password = \"\"",
    "kafka.security.password_file = \"\"",
    "kafka.security.key_password = \"\"",
    "kafka.security.oauth_endpoint = \"\"",
    "kafka.security.oauth_client_id = \"\"",
    "kafka.security.oauth_client_secret_file = \"\"",
    "kafka.security.oauth_audience = \"\"",
    "kafka.security.oauth_scope = \"\"",
    "kafka.security.oauth_token_file = \"\"",
    "kafka.security.reload = \"watch\"",
    "kafka.librdkafka",
    "kafka.consumer",
    "kafka.producer",
    "topics.requests = \"nik.requests\"",
    "topics.results = \"nik.results\"",
    "topics.failures = \"nik.failures\"",
    "topics.positions = \"\"",
    "topics.reply_allowed = \"\"",
    "topics.drop_headers = \"\"",
    "topics.framing = \"plain\"",
    "topics.results_schema_id = 0",
    "topics.failures_schema_id = 0",
    "delivery.guarantee = \"exactly_once\"",
    "delivery.judged_by = false",
    "delivery.commit_interval_ms = 100",
    "delivery.commit_records = 100000",
    "delivery.commit_bytes = 33554432",
    "delivery.commit_min_interval_ms = 10",
    "delivery.max_failure_ratio = 0.5",
    "delivery.failure_window = 1000",
    "delivery.failure_cool_down_ms = 60000",
    "rules.min_age = 0",
    "rules.absent = \"text\"",
    "rules.reference_date = \"record\"",
    "rules.earliest_timestamp = \"2000-01-01\"",
    "rules.max_timestamp_ahead_ms = 86400000",
    "limits.niks_per_request = 10000",
    "limits.request_bytes = 1048576",
    "limits.result_bytes = 4194304",
    "traces.endpoint = \"\"",
    "traces.max_per_second = 100",
    "http.listen = \"127.0.0.1:9464\"",
    "http.api = false",
    "http.breaker_resume_from_anywhere = false",
    "log.format = \"auto\"",
    "log.level = \"info\"",
    "rules.retired_codes = \"all\"",
    "privacy.outcomes = \"plain\"",
    "regions.directory = \"\"",
    "privacy.failures = \"plain\"",
    "privacy.key_file = \"\"",
];

#[test]
fn the_promised_settings_have_their_keys_and_defaults() {
    let shown = load_from(&[], [], check_property).unwrap().show();
    let mut found = BTreeSet::new();
    let mut table = String::new();
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut table);
            found.insert(table.clone());
        } else if let Some((setting, _origin)) = line.split_once(" # ") {
            found.remove(&table); // only an empty table is a setting itself
            found.insert(format!("{table}.{setting}"));
        }
    }
    assert_eq!(found, SETTINGS.iter().map(|it| (*it).to_owned()).collect());
}

/// Each metric with its labels; a histogram by its count.
const METRICS: &[&str] = &[
    "nik_summary_number_total",
    "nik_summary_number_processed_total",
    "nik_summary_error_total",
    "nik_summary_valid_all_section_total",
    "nik_summary_valid_section_total{section=\"length\"}",
    "nik_summary_valid_section_total{section=\"area\"}",
    "nik_summary_valid_section_total{section=\"dob\"}",
    "nik_summary_valid_section_total{section=\"gender\"}",
    "nik_summary_valid_section_total{section=\"computerized\"}",
    "nik_stream_requests_total{outcome=\"result\",process=\"limited\"}",
    "nik_stream_requests_total{outcome=\"result\",process=\"full\"}",
    "nik_stream_requests_total{outcome=\"result\",process=\"explain\"}",
    "nik_stream_requests_total{outcome=\"failure\",process=\"limited\"}",
    "nik_stream_requests_total{outcome=\"failure\",process=\"full\"}",
    "nik_stream_requests_total{outcome=\"failure\",process=\"explain\"}",
    "nik_stream_reasons_total{reason=\"not_digits\",section=\"area\"}",
    "nik_stream_warnings_total{warning=\"ambiguous_century\"}",
    "nik_stream_declared_total{field=\"birth_date\",outcome=\"match\"}",
    "nik_stream_declared_total{field=\"area\",outcome=\"match_by_history\"}",
    "nik_stream_requests_total{outcome=\"failure\",process=\"none\"}",
    "nik_stream_commits_total",
    "nik_stream_niks_in_keys_total",
    "nik_stream_reloads_total{outcome=\"taken\",what=\"regions\"}",
    "nik_stream_reloads_total{outcome=\"refused\",what=\"regions\"}",
    "nik_stream_reloads_total{outcome=\"taken\",what=\"settings\"}",
    "nik_stream_reloads_total{outcome=\"refused\",what=\"settings\"}",
    "nik_stream_aborts_total",
    "nik_stream_rebalances_total",
    "nik_stream_faults_total{cause=\"fenced\"}",
    "nik_stream_worker_restarts_total{cause=\"fenced\"}",
    "nik_stream_spans_total{outcome=\"sent\"}",
    "nik_stream_spans_total{outcome=\"dropped\"}",
    "nik_stream_commit_duration_seconds_count",
    "nik_stream_latency_seconds_count",
    "nik_stream_epoch_records_count",
    "nik_stream_lag_records{partition=\"3\"}",
    "nik_stream_lag_seconds{partition=\"3\"}",
    "nik_stream_stable_lag_records{partition=\"3\"}",
    "nik_stream_stable_lag_seconds{partition=\"3\"}",
    "nik_stream_standing_partitions",
    "nik_stream_unreadable_records_total{cause=\"corrupt\"}",
    "nik_stream_unreadable_records_total{cause=\"out_of_range\"}",
    "nik_stream_ledger_differences_total{kind=\"behind\"}",
    "nik_stream_ledger_differences_total{kind=\"other_topic\"}",
    "nik_stream_transactions_settled_total{ending=\"commit\"}",
    "nik_stream_transactions_settled_total{ending=\"abort\"}",
    "nik_stream_clients_abandoned_total",
    "nik_stream_obstacles{cause=\"no_leader\"}",
    "nik_api_requests_total{outcome=\"result\",process=\"full\"}",
    "nik_api_failures_total{reason=\"malformed_json\"}",
    "nik_api_refused_total{status=\"503\"}",
    "nik_api_duration_seconds_count",
    "nik_stream_timestamps_replaced_total{cause=\"past\"}",
    "nik_stream_timestamps_replaced_total{cause=\"future\"}",
    "nik_stream_timestamps_replaced_total{cause=\"refused\"}",
    "nik_stream_timestamps_replaced_total{cause=\"missing\"}",
    "nik_stream_throttle_seconds_total{client=\"producer\"}",
    "nik_stream_breaker_open",
    "nik_stream_brokers_up",
    "nik_stream_producer_queue_records",
    "nik_stream_producer_queue_bytes",
    "nik_stream_failures_total{reason=\"tombstone\"}",
    "nik_stream_failures_total{reason=\"internal\"}",
    "nik_stream_failures_total{reason=\"malformed_json\"}",
];

/// Those that are not 0 below.
const OTHERS: [&str; 6] = [
    "nik_stream_assigned",
    "nik_stream_build_info",
    "nik_stream_certificate_expiry_timestamp_seconds",
    "nik_stream_regions",
    "nik_stream_regions_info",
    "nik_stream_regions_release_timestamp_seconds",
];

fn metrics() -> Metrics {
    let (version, revision, librdkafka) = ("1", "2", "3");
    let build = BuildInfo { version, revision, librdkafka };
    let (release, sha256, counts) = ("4", "5", vec![("kecamatan", "current", 6)]);
    Metrics::new(&build, &RegionsInfo { release, sha256, counts }, &["fenced"])
}

#[test]
fn the_promised_metrics_exist_from_the_start_with_every_label() {
    let metrics = metrics();
    metrics.lag.assigned(0, &[3]);
    metrics.set_obstacles(&[]);
    metrics.reloads.set_expiry("/keys/client.pem", 7);
    let text = metrics.render();
    let reasons =
        Reason::ALL.map(|it| format!("nik_stream_failures_total{{reason=\"{}\"}}", it.as_str()));
    for metric in METRICS.iter().copied().chain(reasons.iter().map(String::as_str)) {
        assert!(text.lines().any(|line| line == format!("{metric} 0")), "{metric}: {text}");
    }
    let lines_of = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(lines_of("nik_stream_reasons_total{"), SectionReason::ALL.len());
    assert_eq!(lines_of("nik_stream_warnings_total{"), Warning::ALL.len());
    assert_eq!(lines_of("nik_stream_declared_total{"), 3 + 3 + 4, "only areas have a history");
    for line in [
        "nik_stream_assigned{partition=\"3\"} 1",
        "nik_stream_certificate_expiry_timestamp_seconds{file=\"/keys/client.pem\"} 7",
        "nik_stream_build_info{librdkafka=\"3\",revision=\"2\",version=\"1\"} 1",
        "nik_stream_regions_info{release=\"4\",sha256=\"5\"} 1",
        "nik_stream_regions{level=\"kecamatan\",state=\"current\"} 6",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");

    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let found: BTreeSet<_> = kinds.filter(|name| !name.starts_with("process_")).collect();
    let name = |metric: &'static str| metric.split('{').next().unwrap_or_default();
    let listed = METRICS.iter().map(|metric| name(metric).trim_end_matches("_count"));
    assert_eq!(found, listed.chain(OTHERS).collect());
}

#[test]
fn a_commit_counts_what_explain_says_and_nothing_of_other_results() {
    let metrics = metrics();
    let mut explained = ExplainedSummary::default();
    explained.reasons[SectionReason::AreaNotDigits as usize] = 3;
    explained.warnings[Warning::AmbiguousCentury as usize] = 4;
    explained.declared[2][Comparison::MatchByHistory as usize] = 5;
    let mut tally = Tally::default();
    let summary = Summary::default();
    tally.count_explained(&Outcome::Result { process: Process::Explain, summary }, &explained);
    tally.count_explained(&Outcome::Result { process: Process::Full, summary }, &explained);
    let (reason, process) = (Reason::ResultTooLarge, Some(Process::Explain));
    tally.count_explained(&Outcome::Failure { reason, process }, &explained);
    let (timestamps, now_ms, duration) = (&[][..], 0, Duration::ZERO);
    metrics.committed(&Committed { tally: &tally, timestamps, now_ms, duration });
    let text = metrics.render();
    for line in [
        "nik_stream_reasons_total{reason=\"not_digits\",section=\"area\"} 3",
        "nik_stream_reasons_total{reason=\"not_digits\",section=\"length\"} 0",
        "nik_stream_warnings_total{warning=\"ambiguous_century\"} 4",
        "nik_stream_declared_total{field=\"area\",outcome=\"match_by_history\"} 5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn a_commit_is_measured_from_the_timestamps_of_its_requests() {
    let metrics = metrics();
    let mut tally = Tally::default();
    let (process, summary) = (Process::Full, Summary::default());
    tally.add(&Outcome::Result { process, summary });
    let (reason, process) = (Reason::Tombstone, None);
    tally.add(&Outcome::Failure { reason, process });
    metrics.committed(&Committed {
        tally: &tally,
        timestamps: &[1_000, 2_500],
        now_ms: 3_000,
        duration: Duration::from_millis(250),
    });
    let text = metrics.render();
    for line in [
        "nik_stream_commits_total 1",
        "nik_stream_epoch_records_sum 2",
        "nik_stream_commit_duration_seconds_sum 0.25",
        "nik_stream_latency_seconds_count 2",
        "nik_stream_latency_seconds_sum 2.5",
        "nik_stream_failures_total{reason=\"tombstone\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
}

#[test]
fn a_running_program_exports_its_version_and_its_region_counts() {
    let program = ProgramSettings::at("127.0.0.1:1").run();
    wait_until("it answers", || program.get("/livez").is_some());
    let metrics = program.metrics();
    let manifest = nik_stream::regions::manifest().unwrap();
    for (level, states) in &manifest.counts {
        for (state, count) in states {
            let name = format!("nik_stream_regions{{level=\"{level}\",state=\"{state}\"}}");
            assert_eq!(metrics[&name].to_string(), count.to_string(), "{name}");
        }
    }
    let regions = format!(
        "nik_stream_regions_info{{release=\"{}\",sha256=\"{}\"}}",
        manifest.release, manifest.sha256
    );
    assert!(metrics.contains_key(&regions), "{regions}");
    let version = format!("version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    let mut names = metrics.keys();
    assert!(
        names.any(|name| name.starts_with("nik_stream_build_info{") && name.ends_with(&version))
    );
}
