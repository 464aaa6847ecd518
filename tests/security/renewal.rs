//! Certificates and passwords are replaced while the service runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};
use tempfile::TempDir;

use super::secured;
use crate::cluster::{Program, ProgramSettings};
use crate::traffic::audit::assert_exact;
use crate::traffic::load::{Load, now_ms};
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, ready, stop, wait_until};

/// A certificate of the user `by-certificate` that expires in this many seconds, its key, and when
/// it expires in seconds since 1970.
fn issue(seconds: i64) -> (Vec<u8>, Vec<u8>, i64) {
    let dir = secured().dir.path();
    let read = |name: &str| fs::read(dir.join(name)).expect("an authority");
    let authority = X509::from_pem(&read("authority.pem")).expect("its certificate");
    let authority_key = PKey::private_key_from_pem(&read("authority.key")).expect("its key");
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let key = EcKey::generate(&group).and_then(PKey::from_ec_key).expect("a key");
    let now = now_ms() / 1000;
    let time = |seconds| Asn1Time::from_unix(seconds).expect("a time");
    let made = || -> Result<X509, openssl::error::ErrorStack> {
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "by-certificate")?;
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        certificate.set_serial_number(&*BigNum::from_u32(1)?.to_asn1_integer()?)?;
        certificate.set_subject_name(&name.build())?;
        certificate.set_issuer_name(authority.subject_name())?;
        certificate.set_not_before(&time(now - 60))?;
        certificate.set_not_after(&time(now + seconds))?;
        certificate.set_pubkey(&key)?;
        certificate.sign(&authority_key, MessageDigest::sha256())?;
        Ok(certificate.build())
    };
    let certificate = made().and_then(|it| it.to_pem()).expect("a certificate");
    (certificate, key.private_key_to_pem_pkcs8().expect("PEM"), now + seconds)
}

/// Replaces a file, so that readers see the old or the new contents.
fn replace(path: &Path, contents: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, contents).expect("written");
    fs::rename(&new, path).expect("renamed");
}

fn reloads(program: &Program, what: &str, outcome: &str) -> f64 {
    let name = format!("nik_stream_reloads_total{{outcome=\"{outcome}\",what=\"{what}\"}}");
    program.metrics()[&name]
}

/// The number of workers that have replaced their clients so far.
fn replaced(program: &Program) -> usize {
    program.stderr().matches("the worker has new clients").count()
}

/// Settings with a certificate in `dir`.
fn by_certificate(dir: &TempDir, base: ProgramSettings) -> ProgramSettings {
    let path = |name: &str| dir.path().join(name).display().to_string();
    secured()
        .by("MUTUAL", "ssl", base)
        .set("kafka.security.certificate_file", &path("client.pem"))
        .set("kafka.security.key_file", &path("client.key"))
}

#[test]
fn certificates_are_renewed_under_load_and_nothing_is_lost_or_doubled() {
    const LIFETIME: i64 = 15;
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "reload", 2);
    let dir = TempDir::new().expect("a directory");
    let (certificate, key) = (dir.path().join("client.pem"), dir.path().join("client.key"));
    let (first, first_key, mut expiry) = issue(LIFETIME);
    fs::write(&certificate, first).expect("written");
    fs::write(&key, first_key).expect("written");
    let settings = stage.settings().set("kafka.instance_id", "only");
    let program = ready(&by_certificate(&dir, settings));
    let reader = Reader::start(&secured.cluster, &stage);
    let load = Load::start(&secured.cluster, &stage.requests, 2, 200);
    let first_expiry = expiry;
    let mut renewals = 0;
    while renewals < 3 || now_ms() / 1000 < first_expiry + 2 {
        let (new, new_key, ends) = issue(LIFETIME);
        replace(&certificate, &new);
        replace(&key, &new_key);
        (expiry, renewals) = (ends, renewals + 1);
        wait_until("both workers have new clients", || replaced(&program) == 2 * renewals);
    }
    let before = reader.count();
    wait_until("new outcomes are read", || reader.count() > before + 100);
    let name = format!(
        "nik_stream_certificate_expiry_timestamp_seconds{{file=\"{}\"}}",
        certificate.display()
    );
    let expected = f64::from(u32::try_from(expiry).expect("until 2106"));
    assert!((program.metrics()[&name] - expected).abs() < 0.5);
    assert_exact(&secured.cluster, &stage, load, &reader);
    stop(program);
}

#[test]
fn a_certificate_counts_only_with_its_key() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "pairs", 1);
    let dir = TempDir::new().expect("a directory");
    let (certificate, key) = (dir.path().join("client.pem"), dir.path().join("client.key"));
    let (first, first_key, _) = issue(600);
    fs::write(&certificate, first).expect("written");
    fs::write(&key, first_key).expect("written");
    let mut program = ready(&by_certificate(&dir, stage.settings()));
    let (second, second_key, _) = issue(600);
    replace(&certificate, &second);
    wait_until("the pair is refused", || reloads(&program, "certificate", "refused") > 0.5);
    let line = "kafka.security.key_file is not the key of kafka.security.certificate_file";
    assert_eq!(program.stderr().matches(line).count(), 1, "{}", program.stderr());
    assert_eq!(replaced(&program), 0);
    replace(&key, &second_key);
    wait_until("both workers have new clients", || replaced(&program) == 2);
    program.wait_ready(WAIT_TIMEOUT);
    assert!(reloads(&program, "certificate", "taken") > 0.5);
    stop(program);
}

#[test]
fn a_wrong_password_stops_only_the_first_worker_until_it_is_corrected() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "passwords", 2);
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("password");
    fs::write(&file, "plain-secret\n").expect("written");
    let settings = secured
        .by_password("by-password", "", stage.settings())
        .set("kafka.security.password_file", &file.display().to_string());
    let mut program = ready(&settings);
    let reader = Reader::start(&secured.cluster, &stage);
    let load = Load::start(&secured.cluster, &stage.requests, 2, 100);
    replace(&file, b"wrong-secret");
    let line = "refuses the user of kafka.security";
    wait_until("the password is refused", || program.stderr().contains(line));
    let before = reader.count();
    wait_until("the other worker continues", || reader.count() > before + 300);
    assert_eq!(replaced(&program), 0);
    replace(&file, b"plain-secret");
    wait_until("both workers have new clients", || replaced(&program) == 2);
    program.wait_ready(WAIT_TIMEOUT);
    assert_eq!(program.wait(Duration::ZERO), None);
    assert_exact(&secured.cluster, &stage, load, &reader);
    assert!(!program.stderr().contains("-secret"));
    stop(program);
}
