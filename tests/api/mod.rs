//! The door over HTTP: the bytes of the stream, the limits, and what it may not disturb. It needs no brokers: only a program whose end is
//! waited for has some, as without them a stop takes as long as it may.

mod document;
mod slow;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cluster::{Program, ProgramSettings, shared};
use crate::traffic::stage::{Stage, ready, wait_until};

const GOOD: &str = r#"{"nik":["3273010101900001"],"process":"limited"}"#;

/// Settings of a program whose door is open, and whose brokers are away.
fn open() -> ProgramSettings {
    let settings = ProgramSettings::at("127.0.0.1:1").set("http.api", "true");
    settings.set("kafka.workers", "1")
}

/// The same beside brokers.
fn open_beside_brokers() -> ProgramSettings {
    let settings = Stage::new(shared(), "door", 1).settings();
    settings.set("http.api", "true").set("kafka.workers", "1")
}

fn started(settings: &ProgramSettings) -> Program {
    let program = settings.run();
    wait_until("it answers", || program.get("/livez").is_some());
    program
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(it, _)| it.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

/// A connection on which a request with these headers was begun.
fn begun(program: &Program, headers: &str) -> TcpStream {
    let address = program.url("");
    let address = address.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let limit = Some(Duration::from_mins(1));
    stream.set_read_timeout(limit).expect("set");
    let head =
        format!("POST /api/nik HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).expect("taken");
    stream
}

fn answered(mut stream: TcpStream) -> Answer {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    Answer { status: status.expect("a status"), head: head.to_owned(), body: body.to_owned() }
}

fn asked_as(program: &Program, headers: &str, body: &[u8]) -> Answer {
    let headers = format!("{headers}Content-Length: {}\r\n", body.len());
    let mut stream = begun(program, &headers);
    stream.write_all(body).expect("taken to the end");
    answered(stream)
}

fn asked(program: &Program, body: impl AsRef<[u8]>) -> Answer {
    asked_as(program, "Content-Type: application/json\r\n", body.as_ref())
}

/// What `check` answers to a line, under the settings of the files.
fn checked(settings: &ProgramSettings, options: &[&str], line: &[u8]) -> String {
    let mut command = settings.command(&[&["check"], options].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(&[line, b"\n"].concat()).expect("read");
    drop(input);
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.trim_end_matches('\n').to_owned()
}

#[test]
fn a_request_over_http_is_answered_with_the_bytes_of_check_under_the_same_settings() {
    let rules = "[rules]\nmin_age = 17\nabsent = \"null\"\nreference_date = \"2020-01-01\"\nretired_codes = \"none\"\n\
                 [limits]\nniks_per_request = 3\nrequest_bytes = 1024\nresult_bytes = 1100\n";
    let settings = open().file(rules);
    let program = started(&settings);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), rules).expect("written");
    let options = ["--config", file.path().to_str().expect("a plain path")];

    let long = format!(r#"{{"nik":["{}"],"process":"full"}}"#, "1".repeat(1000));
    let requests = [
        (200, None, GOOD),
        // Born after the day of the rules, and a value that does not exist.
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
        let answer = asked(&program, request);
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("nik-failure-reason"), reason, "{request}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let expected = checked(&settings, &options, request.as_bytes());
        assert_eq!(answer.body, expected, "{request}");
    }
    // `check` without a file knows none of this.
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
    // These are what a reader of the topics can see.
    close("nik_summary_number_total", 0.0);
    close(r#"nik_stream_requests_total{outcome="result",process="limited"}"#, 0.0);
}

#[test]
fn a_body_far_beyond_the_limit_is_read_on_so_that_its_sender_gets_the_answer() {
    let program = started(&open());
    let answer = asked(&program, vec![b' '; 12 << 20]);
    assert_eq!(answer.status, 413);
    assert_eq!(answer.body, r#"{"message":"failed","data":[]}"#);
}

#[test]
fn what_is_no_request_is_refused_as_http_has_it() {
    let program = started(&open());
    for headers in [
        "",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: text/json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let answer = asked_as(&program, headers, GOOD.as_bytes());
        assert_eq!(answer.status, 415, "{headers}");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    let charset = "Content-Type: Application/JSON; charset=utf-8\r\n";
    assert_eq!(asked_as(&program, charset, GOOD.as_bytes()).status, 200);
    assert_eq!(program.get("/api/nik").expect("an answer").0, 405);

    let mut half = begun(&program, "Content-Type: application/json\r\nContent-Length: 100\r\n");
    half.write_all(GOOD.as_bytes()).expect("taken");
    half.shutdown(Shutdown::Write).expect("half shut");
    assert_eq!(answered(half).status, 400);
    let metrics = program.metrics();
    for (status, count) in [(400, 1.0), (408, 0.0), (415, 4.0), (503, 0.0)] {
        let counted = metrics[&format!("nik_api_refused_total{{status=\"{status}\"}}")];
        assert!((counted - count).abs() < 0.5, "{status}: {counted}");
    }
}

#[test]
fn the_door_is_shut_unless_it_is_asked_for() {
    let program = started(&ProgramSettings::at("127.0.0.1:1"));
    for path in ["/api/nik", "/api/openapi.yaml", "/api/schemas/failure.schema.json"] {
        assert_eq!(program.get(path).expect("an answer").0, 404, "{path}");
    }
    assert_eq!(asked(&program, GOOD).status, 404);
}

#[test]
#[cfg(feature = "kafka-tests")]
fn a_long_list_holds_neither_the_health_check_up_nor_the_stop() {
    let settings = open_beside_brokers()
        .set("limits.niks_per_request", "1000000")
        .set("limits.request_bytes", "100000000")
        .set("limits.result_bytes", "200000000");
    let mut program = ready(&settings);
    let list = vec![r#""3273010101900001""#; 500_000].join(",");
    let request = format!(r#"{{"nik":[{list}],"process":"full"}}"#);
    let headers = "Content-Type: application/json\r\n";
    let started = Instant::now();
    let (took, longest) = std::thread::scope(|scope| {
        let judged = scope.spawn(|| {
            let answer = asked_as(&program, headers, request.as_bytes());
            assert_eq!(answer.status, 200);
            started.elapsed()
        });
        let mut longest = Duration::ZERO;
        while !judged.is_finished() {
            let asked = Instant::now();
            assert_eq!(program.get("/livez").expect("an answer").0, 200);
            longest = longest.max(asked.elapsed());
        }
        (judged.join().expect("an answer"), longest)
    });
    assert!(longest < took / 2, "{longest:?} of {took:?}");

    // A request that never ends ends with the program.
    let mut endless = begun(&program, &format!("{headers}Content-Length: 1000\r\n"));
    endless.write_all(b"{").expect("taken");
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
}

#[test]
fn requests_that_never_end_take_no_more_than_their_places() {
    let program = started(&open());
    let headers = "Content-Type: application/json\r\nContent-Length: 1000\r\n";
    let endless: Vec<TcpStream> = (0..32)
        .map(|_| {
            let mut stream = begun(&program, headers);
            stream.write_all(b"{").expect("taken");
            stream
        })
        .collect();
    wait_until("every place is taken", || asked(&program, GOOD).status == 503);
    let refused = asked(&program, GOOD);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(program.get("/livez").expect("an answer").0, 200);
    drop(endless);
    wait_until("places are free again", || asked(&program, GOOD).status == 200);
}

#[test]
#[cfg(feature = "kafka-tests")]
fn no_request_over_http_leaves_a_nik_in_the_log() {
    let mut program = ready(&open_beside_brokers().set("log.level", "trace"));
    asked(&program, GOOD);
    asked(&program, r#"{"nik":["3273010101900001"],"process":"3273010101900002"}"#);
    asked_as(&program, "", GOOD.as_bytes());
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
    let log = program.stderr();
    assert!(log.contains("http.api"), "{log}");
    assert!(!log.contains("327301010190000"), "{log}");
}
