//! The metrics of a running instance: well-formed from the start, with a lag that is right whatever
//! the workers do.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::cluster::{NewRecord, Program, shared};
use crate::traffic::load::{Requests, now_ms};
use crate::traffic::stage::{Stage, assigned, ready, share, stop, wait_until};

const PARTITIONS: usize = 4;

/// Valid requests with the current time.
fn requests(count: usize) -> Vec<NewRecord> {
    let now = now_ms();
    let requests = Requests::new(0, PARTITIONS).take(count);
    let good = |request| NewRecord {
        value: Some(br#"{"nik":[],"process":"full"}"#.to_vec()),
        timestamp: Some(now),
        ..request
    };
    requests.map(good).collect()
}

/// The samples of a metric, by partition.
fn by_partition(program: &Program, metric: &str) -> BTreeMap<String, f64> {
    let start = format!("{metric}{{partition=\"");
    let metrics = program.metrics().into_iter();
    let samples = metrics.filter_map(|(name, value)| {
        let partition = name.strip_prefix(&start)?.strip_suffix("\"}")?;
        Some((partition.to_owned(), value))
    });
    samples.collect()
}

/// The lag of an instance: records of all partitions, and the greatest age.
fn lag(program: &Program) -> (f64, f64) {
    let records = by_partition(program, "nik_stream_lag_records");
    let seconds = by_partition(program, "nik_stream_lag_seconds");
    (records.values().sum(), seconds.values().copied().fold(0.0, f64::max))
}

#[test]
#[cfg(feature = "packaging-tests")]
fn promtool_reports_nothing_but_the_promised_names() {
    let stage = Stage::new(shared(), "promtool", PARTITIONS);
    shared().produce(&stage.requests, &requests(40));
    let program = stage.run();
    stage.wait_for_outcomes(shared(), 40);
    let (_, text) = program.get("/metrics").expect("an answer");
    stop(program);
    crate::cluster::need("promtool");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("read");
    drop(input);
    let output = promtool.wait_with_output().expect("ends");
    // These names mean the summary of results and are promised; the lint treats them as the metric
    // type.
    let promised = |line: &&str| {
        line.starts_with("nik_summary_") && line.ends_with("should not include type 'summary'")
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().filter(|it| !it.is_empty()).collect();
    assert!(said.iter().all(promised), "{said:#?}");
    assert!(matches!(output.status.code(), Some(0 | 3)), "promtool did not parse the metrics");
}

#[test]
fn the_lag_grows_while_the_breaker_is_open_and_ends_when_all_is_committed() {
    let stage = Stage::new(shared(), "lag", PARTITIONS);
    let mut sent = requests(400);
    for broken in sent.iter_mut().take(PARTITIONS) {
        broken.value = None;
    }
    shared().produce(&stage.requests, &sent);
    // The first record of each partition opens the breaker, so that nothing can be committed.
    let settings = stage.settings().set("delivery.max_failure_ratio", "0");
    let program = settings.run();
    wait_until("it answers", || program.get("/livez").is_some());
    wait_until("all requests are behind", || {
        let seconds = by_partition(&program, "nik_stream_lag_seconds");
        lag(&program).0 >= 400.0 && seconds.values().all(|age| *age > 0.0)
    });
    let before = lag(&program);
    // Requests that arrive during the pause count, too.
    shared().produce(&stage.requests, &requests(100));
    wait_until("more requests are behind, and for longer", || {
        let now = lag(&program);
        now.0 >= 500.0 && now.1 > before.1
    });
    assert!(stage.outcomes(shared()).0.is_empty());
    assert_eq!(program.post("/breaker/resume").expect("an answer").0, 200);
    stage.wait_for_outcomes(shared(), 500);
    wait_until("no request is behind", || lag(&program) == (0.0, 0.0));
    assert_eq!(by_partition(&program, "nik_stream_lag_records").len(), 4);
    stop(program);
}

#[test]
fn a_commit_marker_after_the_last_request_does_not_count_as_lag() {
    let stage = Stage::new(shared(), "marker", PARTITIONS);
    let producer = shared().transactional_producer(&format!("{}-producer", stage.group));
    let sent = requests(40);
    let program = stage.run();
    producer.transaction(true, || {
        for request in &sent {
            producer.send(&stage.requests, request);
        }
    });
    stage.wait_for_outcomes(shared(), sent.len());
    // Meanwhile the end offsets are polled a few more times. (The worker's report may still be
    // older than they are, so the lag is waited for.)
    std::thread::sleep(std::time::Duration::from_secs(2));
    wait_until("no request is behind", || lag(&program) == (0.0, 0.0));
    stop(program);
}

#[test]
fn the_lag_of_a_partition_moves_with_it_to_another_instance() {
    let stage = Stage::new(shared(), "moved", PARTITIONS);
    shared().produce(&stage.requests, &requests(40));
    let first = stage.run();
    wait_until("it has all partitions", || assigned(&first) == PARTITIONS);
    let rebalances = || first.metrics()["nik_stream_rebalances_total"];
    let before = rebalances();
    let second = ready(&stage.settings());
    wait_until("both have partitions", || share([&first, &second], PARTITIONS));
    assert!(rebalances() > before);
    let of_first = by_partition(&first, "nik_stream_assigned");
    for program in [&first, &second] {
        let told = by_partition(program, "nik_stream_assigned");
        assert_eq!(told.len(), PARTITIONS, "the partitions of other instances are missing");
    }
    for metric in ["nik_stream_lag_records", "nik_stream_lag_seconds"] {
        let told = by_partition(&first, metric);
        for (partition, assigned) in &of_first {
            assert_eq!(told.contains_key(partition), *assigned > 0.0, "{partition}");
        }
    }
    stop(second);
    wait_until("it has all partitions again", || {
        by_partition(&first, "nik_stream_lag_seconds").len() == PARTITIONS
    });
    stop(first);
}
