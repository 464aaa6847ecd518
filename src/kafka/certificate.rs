//! Why a broker's certificate is not trusted: librdkafka only says that it is not.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslVerifyMode};
use openssl::x509::X509VerifyResult;

use crate::config::Security;

/// It answered just now: it is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the verification of the certificate at `address` finds, asked once more for the reason alone.
pub(super) fn why_untrusted(address: &str, security: &Security) -> Option<String> {
    let socket = address.to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&socket, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let (host, _) = address.rsplit_once(':')?;
    match handshake(host, security).ok()?.connect(stream) {
        Err(HandshakeError::Failure(failed)) => {
            let found = failed.ssl().verify_result();
            (found != X509VerifyResult::OK).then(|| found.error_string().to_owned())
        }
        _ => None,
    }
}

/// The same trust that librdkafka has.
fn handshake(host: &str, security: &Security) -> Result<Ssl, ErrorStack> {
    let mut context = SslContext::builder(SslMethod::tls_client())?;
    match &security.ca_file {
        Some(file) => context.set_ca_file(file)?,
        None => context.set_default_verify_paths()?,
    }
    context.set_verify(SslVerifyMode::PEER);
    let mut ssl = Ssl::new(&context.build())?;
    let host = host.trim_matches(['[', ']']);
    if let Ok(ip) = host.parse::<IpAddr>() {
        ssl.param_mut().set_ip(ip)?;
    } else {
        ssl.set_hostname(host)?;
        ssl.param_mut().set_host(host)?;
    }
    Ok(ssl)
}
