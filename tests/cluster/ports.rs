//! Ports for servers that a test stops and restarts.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// The first of `count` consecutive ports of 127.0.0.1 that are free.
///
/// They are below the range that the system uses for outgoing connections: otherwise a client that
/// tries to reach a stopped broker could occupy the broker's port.
pub fn free(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 100).expect("below 100") * 97;
    for _ in 0..1_000 {
        let first = 20_000 + (spread + NEXT.fetch_add(count, Ordering::Relaxed)) % 9_900;
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no {count} consecutive ports are free between 20000 and 29900");
}
