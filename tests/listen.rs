//! The addresses that HTTP listens on, over IPv6 and IPv4.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tempfile::TempDir;

use crate::cluster::{ChildProcess, ProgramSettings, ports};
use crate::traffic::stage::wait_until;

/// The body of `/livez` at this address; `None` without an answer.
fn alive(address: &str) -> Option<String> {
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

#[test]
fn an_address_of_ipv6_is_listened_on_and_the_unspecified_one_takes_both_families() {
    for (host, reached) in [("[::1]", &["[::1]"][..]), ("[::]", &["[::1]", "127.0.0.1"])] {
        let listen = format!("{host}:{}", ports::free(1));
        let dir = TempDir::new().expect("a directory");
        let variables = [
            ("NIK_STREAM__HTTP__LISTEN".to_owned(), listen.clone()),
            ("NIK_STREAM__KAFKA__BOOTSTRAP_SERVERS".to_owned(), "[::1]:1".to_owned()),
        ];
        let program = env!("CARGO_BIN_EXE_nik-stream");
        let _running = ChildProcess::start(
            program,
            &["run"],
            &variables,
            dir.path(),
            "out",
            "err",
            dir.path(),
        );
        for reached in reached {
            let address = listen.replace(host, reached);
            wait_until("it answers", || alive(&address).as_deref() == Some("alive\n"));
        }
        let health = ProgramSettings::at("[::1]:1").set("http.listen", &listen);
        let said = health.command(&["health", "--live"]).output().expect("runs");
        assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(0), &b"alive\n"[..]));
    }
}
