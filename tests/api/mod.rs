//! `POST /api/nik`: it answers with the bytes of the stream, keeps its limits, and disturbs neither
//! health checks nor shutdown. Most tests run without brokers; those that wait for the program's
//! end have some, since without brokers a stop takes its whole budget.

pub mod client;
mod document;
mod slow;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cluster::{Program, ProgramSettings, shared};
use crate::traffic::stage::{Stage, ready, wait_until};
use client::Response;

const VALID: &str = r#"{"nik":["3273010101900001"],"process":"limited"}"#;
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Settings of a program that serves `POST /api/nik` without brokers.
fn enabled() -> ProgramSettings {
    let settings = ProgramSettings::at("127.0.0.1:1").set("http.api", "true");
    settings.set("kafka.workers", "1")
}

/// The same with brokers.
fn enabled_with_brokers() -> ProgramSettings {
    let settings = Stage::new(shared(), "api", 1).settings();
    settings.set("http.api", "true").set("kafka.workers", "1")
}

fn started(settings: &ProgramSettings) -> Program {
    let program = settings.run();
    wait_until("it answers", || program.get("/livez").is_some());
    program
}

fn post_as(program: &Program, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let response = client::request("POST", &program.url("/api/nik"), headers, Some(body));
    response.expect("a response")
}

fn post(program: &Program, body: impl AsRef<[u8]>) -> Response {
    post_as(program, &[JSON], body.as_ref())
}

/// Where the program listens.
fn address(program: &Program) -> String {
    program.url("").replace("http://", "")
}

/// A connection on which the head of a request for JSON of `length` bytes was sent.
fn begin(address: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
    let head = format!(
        "POST /api/nik HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    stream
}

/// A connection on which a request was begun and never ends.
fn begin_endless(address: &str) -> TcpStream {
    let mut stream = begin(address, 1000);
    stream.write_all(b"{").expect("sent");
    stream
}

/// Reads the response up to the end of the connection.
fn read_response(mut stream: TcpStream) -> Response {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a response");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Response { status, headers, body: body.to_owned() }
}

/// The answer of `check` to a line.
fn checked(settings: &ProgramSettings, options: &[&str], line: &[u8]) -> String {
    let mut command = settings.command(&[&["check"], options].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(&[line, b"\n"].concat()).expect("read");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.trim_end_matches('\n').to_owned()
}

#[test]
fn a_request_over_http_gets_the_bytes_of_check_under_the_same_settings() {
    let rules = "[rules]\nmin_age = 17\nabsent = \"null\"\nreference_date = \"2020-01-01\"\nretired_codes = \"none\"\n\
                 [limits]\nniks_per_request = 3\nrequest_bytes = 1024\nresult_bytes = 1100\n";
    let settings = enabled().file(rules);
    let program = started(&settings);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), rules).expect("written");
    let options = ["--config", file.path().to_str().expect("a plain path")];

    let long = format!(r#"{{"nik":["{}"],"process":"full"}}"#, "1".repeat(1000));
    let requests = [
        (200, None, VALID),
        // Born after the reference date; a null.
        (200, None, r#"{"nik":["3273010101250001",null,7],"process":"full"}"#),
        (400, Some("malformed_json"), ""),
        (400, Some("malformed_json"), r#"{"nik":[0123],"process":"full"}"#),
        (400, Some("invalid_request"), "[]"),
        (400, Some("unknown_process"), r#"{"nik":["1", 2],"process":"fast"}"#),
        (400, Some("too_many_niks"), r#"{"nik":[1,2,3,4],"process":"full"}"#),
        (
            400,
            Some("result_too_large"),
            r#"{"nik":["3273010101900001","3273010101900002","3273010101900003"],"process":"full"}"#,
        ),
        (413, Some("request_too_large"), &long),
    ];
    for (status, reason, request) in requests {
        let answer = post(&program, request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("nik-failure-reason"), reason, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let expected = checked(&settings, &options, request.as_bytes());
        assert_eq!(answer.body, expected, "{request}");
    }
    // Without the file, `check` accepts what exceeds its limits.
    let answer = checked(&settings, &[], requests[6].2.as_bytes());
    assert!(answer.starts_with(r#"{"message":"success""#), "{answer}");

    let metrics = program.metrics();
    let count = |name: &str| metrics[name];
    let close = |name: &str, value: f64| assert!((count(name) - value).abs() < 0.5, "{name}");
    close(r#"nik_api_requests_total{outcome="result",process="limited"}"#, 1.0);
    close(r#"nik_api_requests_total{outcome="failure",process="full"}"#, 2.0);
    close(r#"nik_api_requests_total{outcome="failure",process="none"}"#, 5.0);
    close(r#"nik_api_failures_total{reason="malformed_json"}"#, 2.0);
    close("nik_api_duration_seconds_count", 9.0);
    // The counters of the stream do not count requests over HTTP.
    close("nik_summary_number_total", 0.0);
    close(r#"nik_stream_requests_total{outcome="result",process="limited"}"#, 0.0);
}

#[test]
fn a_body_far_beyond_the_limit_is_discarded_so_that_its_sender_reads_the_answer() {
    let program = started(&enabled());
    let answer = post(&program, vec![b' '; 12 << 20]);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body, r#"{"message":"failed","data":[]}"#);
}

#[test]
fn a_request_that_is_not_plain_json_or_incomplete_is_refused() {
    let program = started(&enabled());
    for headers in [
        &[][..],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "text/json")],
        &[JSON, ("Content-Encoding", "gzip")],
    ] {
        let answer = post_as(&program, headers, VALID.as_bytes());
        assert_eq!(answer.status, 415, "{headers:?}");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    let charset = ("Content-Type", "Application/JSON; charset=utf-8");
    assert_eq!(post_as(&program, &[charset], VALID.as_bytes()).status, 200);
    assert_eq!(program.get("/api/nik").expect("an answer").0, 405);

    let mut incomplete = begin(&address(&program), 100);
    incomplete.write_all(VALID.as_bytes()).expect("sent");
    incomplete.shutdown(Shutdown::Write).expect("half closed");
    assert_eq!(read_response(incomplete).status, 400);
    let metrics = program.metrics();
    for (status, count) in [(400, 1.0), (408, 0.0), (415, 4.0), (503, 0.0)] {
        let counted = metrics[&format!("nik_api_refused_total{{status=\"{status}\"}}")];
        assert!((counted - count).abs() < 0.5, "{status}: {counted}");
    }
}

#[test]
fn the_endpoints_do_not_exist_unless_enabled() {
    let program = started(&ProgramSettings::at("127.0.0.1:1"));
    for path in ["/api/nik", "/api/openapi.yaml", "/api/schemas/failure.schema.json"] {
        assert_eq!(program.get(path).expect("an answer").0, 404, "{path}");
    }
    assert_eq!(post(&program, VALID).status, 404);
}

#[test]
#[cfg(feature = "kafka-tests")]
fn a_long_list_delays_neither_health_checks_nor_a_stop() {
    let settings = enabled_with_brokers()
        .set("limits.niks_per_request", "1000000")
        .set("limits.request_bytes", "100000000")
        .set("limits.result_bytes", "200000000");
    let mut program = ready(&settings);
    let list = vec![r#""3273010101900001""#; 500_000].join(",");
    let request = format!(r#"{{"nik":[{list}],"process":"full"}}"#);
    let started = Instant::now();
    let (took, longest) = std::thread::scope(|scope| {
        let posted = scope.spawn(|| {
            assert_eq!(post(&program, &request).status, 200);
            started.elapsed()
        });
        let mut longest = Duration::ZERO;
        while !posted.is_finished() {
            let asked = Instant::now();
            assert_eq!(program.get("/livez").expect("an answer").0, 200);
            longest = longest.max(asked.elapsed());
        }
        (posted.join().expect("an answer"), longest)
    });
    assert!(longest < took / 2, "{longest:?} of {took:?}");

    // A request that never ends ends with the program.
    let _endless = begin_endless(&address(&program));
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
}

#[test]
fn requests_that_never_end_occupy_only_their_slots() {
    let program = started(&enabled());
    let endless: Vec<_> = (0..32).map(|_| begin_endless(&address(&program))).collect();
    wait_until("every slot is occupied", || post(&program, VALID).status == 503);
    let refused = post(&program, VALID);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(program.get("/livez").expect("an answer").0, 200);
    drop(endless);
    wait_until("slots are free again", || post(&program, VALID).status == 200);
}

#[test]
#[cfg(feature = "kafka-tests")]
fn no_request_over_http_leaves_a_nik_in_the_log() {
    let mut program = ready(&enabled_with_brokers().set("log.level", "trace"));
    post(&program, VALID);
    post(&program, r#"{"nik":["3273010101900001"],"process":"3273010101900002"}"#);
    post_as(&program, &[], VALID.as_bytes());
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
    let log = program.stderr();
    assert!(log.contains("http.api"), "{log}");
    assert!(!log.contains("327301010190000"), "{log}");
}
