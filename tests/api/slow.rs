//! Slow clients: whether they send or read slowly, they are disconnected in time and occupy only
//! their slots.
//!
//! The server runs in the test itself, with shorter timeouts than those of the program.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nik::region::RetiredCodes;
use nik_stream::http::api::Api;
use nik_stream::http::server::{HttpTimeouts, MAX_CONNECTIONS, serve};
use nik_stream::pipeline::judge::{Dating, Judge, JudgeInForce, ReferenceDate};
use nik_stream::pipeline::timestamps::TimestampLimits;
use nik_stream::telemetry::metrics::{BuildInfo, Metrics, RegionsInfo};
use nik_wire::Limits;
use nik_wire::process::{Processor, Settings};

use super::client::{Response, request};
use super::{JSON, VALID, begin, begin_endless, read_response};
use crate::traffic::stage::wait_until;

/// A server whose answers can be larger than the socket buffers.
struct Server {
    address: SocketAddr,
    metrics: Arc<Metrics>,
}

impl Server {
    fn start(timeouts: HttpTimeouts) -> Server {
        let settings = Settings {
            limits: Limits { niks_per_request: 200_000, request_bytes: 10_000_000 },
            result_bytes: 100_000_000,
            ..Settings::default()
        };
        let regions = nik::dataset::regions(RetiredCodes::All).expect("region data");
        let processor = Processor::new(Arc::new(regions), settings);
        let timestamps = TimestampLimits { earliest: 0, max_ahead: 0 };
        let dating = Dating { reference_date: ReferenceDate::Now, timestamps };
        let judge = Judge::new(processor, dating, None);
        let build = BuildInfo { version: "", revision: "", librdkafka: "" };
        let regions = RegionsInfo { release: "", sha256: "", counts: Vec::new() };
        let metrics = Arc::new(Metrics::new(&build, &regions, &[]));
        let api = Api::new(Arc::new(JudgeInForce::new(judge)), Arc::clone(&metrics), timeouts.body);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listener).expect("a free port");
        let address = listener.local_addr().expect("bound");
        // It serves until the test process ends.
        std::thread::spawn(move || runtime.block_on(serve(listener, api.routes(), timeouts)));
        Server { address, metrics }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn post(&self, body: &str) -> Response {
        let url = format!("http://{}/api/nik", self.address);
        request("POST", &url, &[JSON], Some(body.as_bytes())).expect("a response")
    }

    /// A connection that has an answer of some 30 MB and reads nothing of it.
    fn begin_unread(&self) -> TcpStream {
        // Different NIKs, since a result holds each NIK once.
        let niks = (0..80_000).map(|number| format!(r#""32730101{number:08}""#));
        let niks = niks.collect::<Vec<_>>().join(",");
        let request = format!(r#"{{"nik":[{niks}],"process":"full"}}"#);
        let mut stream = begin(&self.address(), request.len());
        stream.write_all(request.as_bytes()).expect("sent");
        stream.peek(&mut [0]).expect("an answer begins");
        stream
    }

    /// Whether the server still has its end of this connection open, according to the system.
    fn has_open(&self, stream: &TcpStream) -> bool {
        let (near, far) = (stream.local_addr().expect("bound").port(), self.address.port());
        let ends = format!("0100007F:{far:04X} 0100007F:{near:04X} 01 "); // 01: established
        let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
        table.lines().any(|line| line.contains(&ends))
    }
}

#[test]
fn a_client_that_sends_or_reads_too_slowly_is_disconnected() {
    let timeout = Duration::from_secs(2);
    let server = Server::start(HttpTimeouts::all(timeout));
    let begun = Instant::now();
    let mut reader = server.begin_unread();
    assert!(server.has_open(&reader));
    let sender = begin_endless(&server.address());
    let mut head = TcpStream::connect(server.address).expect("it listens");
    head.set_read_timeout(Some(Duration::from_mins(1))).expect("set");
    head.write_all(b"POST /api/nik HTTP/1.1\r\nHost: a\r\n").expect("sent");

    let answer = read_response(sender);
    assert!(begun.elapsed() >= timeout);
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    let text = server.metrics.render();
    assert!(text.contains("\nnik_api_refused_total{status=\"408\"} 1\n"), "{text}");

    head.read_to_string(&mut String::new()).expect("closed");

    // From then on only the system holds what is left of the answer.
    wait_until("its connection is closed", || !server.has_open(&reader));
    assert!(begun.elapsed() >= timeout);
    let mut bytes = Vec::new();
    // The end may show as an error or as the end of the stream.
    drop(reader.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let head = head.to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|it| it.lines().next()?.parse::<usize>().ok());
    assert!(body.len() < length.expect("a length"), "{}", body.len());
    assert_eq!(server.post(VALID).status, 200);
}

#[test]
fn an_answer_that_is_not_read_occupies_its_slot() {
    let server = Server::start(HttpTimeouts::default());
    let reader = server.begin_unread();
    let senders: Vec<TcpStream> = (0..31).map(|_| begin_endless(&server.address())).collect();
    wait_until("every slot is occupied", || server.post(VALID).status == 503);
    drop(reader);
    wait_until("its slot is free", || server.post(VALID).status == 200);
    drop(senders);
}

#[test]
fn connections_beyond_the_most_wait_until_others_end() {
    let timeout = Duration::from_secs(2);
    let server = Server::start(HttpTimeouts::all(timeout));
    let begun = Instant::now();
    let idle =
        (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(server.address).expect("it listens"));
    let idle: Vec<TcpStream> = idle.collect();
    assert_eq!(server.post(VALID).status, 200);
    assert!(begun.elapsed() >= timeout, "{:?}", begun.elapsed());
    drop(idle);
}

#[test]
fn the_program_gives_a_client_half_a_minute() {
    let HttpTimeouts { head, body, write } = HttpTimeouts::default();
    assert_eq!([head, body, write], [Duration::from_secs(30); 3]);
}
