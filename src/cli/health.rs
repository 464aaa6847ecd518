//! `nik-stream health`: the health check of the local service, for containers without curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::config::Files;
use super::written;

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_RESPONSE_BYTES: u64 = 1 << 16;

/// Checks whether the local service is ready (exit 0); if not, prints why (exit 1)
///
/// The service is reached at `http.listen`, so pass the same settings as to the service.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream health --config /etc/nik-stream.toml
  nik-stream health --live")]
pub struct HealthArgs {
    #[command(flatten)]
    files: Files,

    /// Checks liveness instead of readiness: whether a restart of the service is needed
    #[arg(long)]
    live: bool,
}

pub fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let address = local_address(args.files.load()?.settings.http.listen);
    let path = if args.live { "/livez" } else { "/readyz" };
    let response = get(address, path)
        .with_context(|| format!("cannot reach http://{address}{path} (http.listen)"))?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let exit = written(io::stdout().write_all(body.as_bytes()))?;
    let is_ok = head.split(' ').nth(1) == Some("200");
    Ok(if is_ok { exit } else { ExitCode::FAILURE })
}

/// The address to reach the local listener.
fn local_address(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, RESPONSE_TIMEOUT)?;
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE_BYTES).read_to_string(&mut response)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_loopback() {
        for (listen, reached) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("192.0.2.7:9464", "192.0.2.7:9464"),
        ] {
            let reached = reached.parse().unwrap();
            assert_eq!(local_address(listen.parse().unwrap()), reached, "{listen}");
        }
    }
}
