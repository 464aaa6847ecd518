//! `nik-stream health`: asks the service on this machine how it is, where there is no curl (a container).

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::config::Files;
use super::written;

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than any answer has.
const LONGEST: u64 = 1 << 16;

/// Asks the service on this machine whether it is ready (exit 0), or why not (exit 1)
///
/// It is looked for at `http.listen`, so give it the settings of the service.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  nik-stream health --config /etc/nik-stream.toml
  nik-stream health --live")]
pub struct HealthArgs {
    #[command(flatten)]
    files: Files,

    /// Only whether it lives: a restart mends that, and nothing of what `ready` rests on
    #[arg(long)]
    live: bool,
}

/// Runs the command.
pub fn run(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let address = from_here(args.files.load()?.settings.http.listen);
    let path = if args.live { "/livez" } else { "/readyz" };
    let answer = ask(address, path)
        .with_context(|| format!("nobody answers at http://{address}{path} (http.listen)"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let exit = written(io::stdout().write_all(body.as_bytes()))?;
    let is_well = head.split(' ').nth(1) == Some("200");
    Ok(if is_well { exit } else { ExitCode::FAILURE })
}

/// Where this machine reaches what listens at `listen`.
fn from_here(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_by_the_loopback_address() {
        for (listen, reached) in [
            ("0.0.0.0:9464", "127.0.0.1:9464"),
            ("[::]:9464", "[::1]:9464"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("192.0.2.7:9464", "192.0.2.7:9464"),
        ] {
            let reached = reached.parse().unwrap();
            assert_eq!(from_here(listen.parse().unwrap()), reached, "{listen}");
        }
    }
}
