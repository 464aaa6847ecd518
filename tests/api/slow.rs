//! Whoever sends or reads slowly: neither waits for ever, nor takes more than a place.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{GOOD, answered, asked, begun, open, started};
use crate::cluster::{Program, ProgramSettings};
use crate::traffic::stage::wait_until;

const JSON: &str = "Content-Type: application/json\r\n";
/// What the page promises; a busy machine may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings under which an answer can be larger than what the system keeps for a reader that takes nothing.
fn roomy() -> ProgramSettings {
    open()
        .set("limits.niks_per_request", "200000")
        .set("limits.request_bytes", "10000000")
        .set("limits.result_bytes", "100000000")
}

/// A connection whose answer has begun, and of which nothing was read: some 30 MB, which no pair of sockets holds.
fn unread(program: &Program) -> TcpStream {
    // Different ones: a NIK that stands twice is told once.
    let niks = (0..80_000).map(|number| format!(r#""32730101{number:08}""#));
    let niks = niks.collect::<Vec<_>>().join(",");
    let request = format!(r#"{{"nik":[{niks}],"process":"full"}}"#);
    let headers = format!("{JSON}Content-Length: {}\r\n", request.len());
    let mut stream = begun(program, &headers);
    stream.write_all(request.as_bytes()).expect("taken");
    stream.peek(&mut [0]).expect("an answer begins");
    stream
}

fn unsent(program: &Program) -> TcpStream {
    let mut stream = begun(program, &format!("{JSON}Content-Length: 1000\r\n"));
    stream.write_all(b"{").expect("taken");
    stream
}

/// Whether the program has its end of this connection open, as the system has it.
fn is_open(program: &Program, stream: &TcpStream) -> bool {
    let near = stream.local_addr().expect("bound").port();
    let far = stream.peer_addr().expect("connected").port();
    assert!(program.url("").ends_with(&format!(":{far}")));
    let ends = format!("0100007F:{far:04X} 0100007F:{near:04X} 01 "); // 01: established
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    table.lines().any(|line| line.contains(&ends))
}

#[test]
fn who_sends_or_reads_too_slowly_is_let_go_after_half_a_minute() {
    let program = started(&roomy());
    let begin = Instant::now();
    let mut reader = unread(&program);
    assert!(is_open(&program, &reader));
    let sender = unsent(&program);
    let mut head = TcpStream::connect(program.url("").trim_start_matches("http://"));
    let head = head.as_mut().expect("it listens");
    head.set_read_timeout(Some(2 * PATIENCE)).expect("set");
    head.write_all(b"POST /api/nik HTTP/1.1\r\nHost: a\r\n").expect("taken");

    let answer = answered(sender);
    assert!(begin.elapsed() >= PATIENCE);
    assert_eq!(answer.status, 408, "{}", answer.head);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(answer.body, "the body takes too long to come\n");
    let metrics = program.metrics();
    let counted = metrics[r#"nik_api_refused_total{status="408"}"#];
    assert!((counted - 1.0).abs() < 0.5, "{counted}");

    let mut rest = String::new();
    head.read_to_string(&mut rest).expect("closed");

    // Then the program has let go of the answer: what is left is what the system still holds.
    wait_until("its connection is closed", || !is_open(&program, &reader));
    assert!(begin.elapsed() >= PATIENCE);
    let mut bytes = Vec::new();
    // Cut off in the middle, however that shows.
    drop(reader.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|it| it.lines().next()?.parse::<usize>().ok());
    assert!(body.len() < length.expect("a length"), "{}", body.len());
    assert_eq!(asked(&program, GOOD).status, 200);
}

#[test]
fn an_answer_that_is_not_read_keeps_its_place() {
    let program = started(&roomy());
    let reader = unread(&program);
    let senders: Vec<TcpStream> = (0..31).map(|_| unsent(&program)).collect();
    wait_until("every place is taken", || asked(&program, GOOD).status == 503);
    drop(reader);
    wait_until("its place is free", || asked(&program, GOOD).status == 200);
    drop(senders);
}
