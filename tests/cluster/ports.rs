//! Ports for servers that are stopped and started again while a test runs.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first of `count` neighbouring ports of 127.0.0.1 that are free.
///
/// Below the range from which the system gives ports to outgoing connections: a broker that is away for some seconds must not find
/// its port taken by a client that tries to reach it.
pub fn free(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 100).expect("below 100") * 97;
    for _ in 0..1_000 {
        let first = 20_000 + (spread + NEXT.fetch_add(count, Ordering::Relaxed)) % 9_900;
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} neighbouring ports are free between 20000 and 29900");
}
