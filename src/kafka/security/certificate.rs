//! Why a certificate is not taken: the broker's, of which librdkafka only says that it is not trusted, or this program's own, of which
//! brokers say little.

use std::fs;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslVerifyMode};
use openssl::x509::{X509, X509VerifyResult};

use crate::config::Security;

/// It answered just now: it is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the verification of the certificate at `address` finds, asked once more for the reason alone.
pub fn why_untrusted(address: &str, security: &Security) -> Option<String> {
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

/// What is wrong with the days of the first certificate in `file`, this program's: a broker calls one that has expired "unknown".
pub fn why_out_of_date(file: &Path) -> Option<&'static str> {
    let certificate = X509::from_pem(&fs::read(file).ok()?).ok()?;
    let now = Asn1Time::days_from_now(0).ok()?;
    if certificate.not_after() < now {
        Some("it has expired")
    } else if certificate.not_before() > now {
        Some("it is not valid yet")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;

    use super::*;

    /// What is said of a certificate that is valid from one time on to another, in seconds since 1970.
    fn said(from: i64, to: i64) -> Option<&'static str> {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap();
        let mut made = X509::builder().unwrap();
        made.set_pubkey(&key).unwrap();
        made.set_not_before(&Asn1Time::from_unix(from).unwrap()).unwrap();
        made.set_not_after(&Asn1Time::from_unix(to).unwrap()).unwrap();
        made.sign(&key, MessageDigest::sha256()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), made.build().to_pem().unwrap()).unwrap();
        why_out_of_date(file.path())
    }

    #[test]
    fn a_certificate_is_out_of_date_before_its_first_day_and_after_its_last() {
        let now = crate::telemetry::now_ms() / 1000;
        let day = 24 * 60 * 60;
        assert_eq!(said(now - 2 * day, now - day), Some("it has expired"));
        assert_eq!(said(now + day, now + 2 * day), Some("it is not valid yet"));
        assert_eq!(said(now - day, now + day), None);
        assert_eq!(why_out_of_date(Path::new("/dev/null")), None);
    }
}
