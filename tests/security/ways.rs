//! Each way to connect, with valid and with invalid credentials.

use std::sync::atomic::Ordering;
use std::time::Duration;
use std::{fs, thread};

use super::keys::token;
use super::{Secured, provider, secured, table};
use crate::cluster::{NewRecord, ProgramSettings};
use crate::traffic::stage::{End, Stage, WAIT_TIMEOUT, ready, stop, wait_until};

/// The settings of a way to connect with the credentials that a row of the table names.
fn way(secured: &Secured, way: &str, credentials: &str, base: &ProgramSettings) -> ProgramSettings {
    let file = |name: &str| secured.file(name);
    let tls = |listener: &str| secured.by(listener, "ssl", base.clone());
    let mutual = |name: &str| {
        tls("MUTUAL")
            .set("kafka.security.certificate_file", &file(&format!("{name}.pem")))
            .set("kafka.security.key_file", &file(&format!("{name}.key")))
    };
    let proof = |mechanism: &str, password: &str| {
        secured
            .by_password("by-proof", password, base.clone())
            .set("kafka.security.sasl_mechanism", mechanism)
    };
    let bearer = || {
        secured
            .by("SASL", "sasl_ssl", base.clone())
            .set("kafka.security.sasl_mechanism", "OAUTHBEARER")
    };
    let from_file = |name: &str| bearer().set("kafka.security.oauth_token_file", &file(name));
    let by_endpoint = || secured.by_endpoint(&secured.provider.url(), base.clone());
    match (way, credentials) {
        ("TLS", "good") => tls("TLS"),
        ("TLS", "good, at an IPv6 address") => tls("SIX"),
        ("TLS", "no authority") => tls("TLS").set("kafka.security.ca_file", ""),
        ("TLS", "another authority") => {
            tls("TLS").set("kafka.security.ca_file", &file("stranger.pem"))
        }
        ("TLS", "another authority as ssl.ca.location") => secured
            .at("TLS", "ssl", base.clone())
            .set("kafka.librdkafka.ssl_ca_location", &file("stranger.pem")),
        ("TLS", "the broker's certificate is another host's") => tls("OTHER"),
        ("TLS", "the broker's certificate has expired") => tls("OLD"),
        ("mutual TLS", "good") => mutual("client"),
        ("mutual TLS", "no certificate") => tls("MUTUAL"),
        ("mutual TLS", "a certificate of another authority") => mutual("client-strange"),
        ("mutual TLS", "an expired certificate") => mutual("client-old"),
        ("mutual TLS", "a key of another certificate") => {
            mutual("client").set("kafka.security.key_file", &file("client-old.key"))
        }
        ("PLAIN over TLS", "good") => {
            secured.by_password("by-password", "plain-secret", base.clone())
        }
        ("PLAIN over TLS", "wrong password") => {
            secured.by_password("by-password", "wrong-secret", base.clone())
        }
        ("SCRAM-SHA-512 over TLS", "good") => proof("SCRAM-SHA-512", "scram-secret"),
        ("SCRAM-SHA-512 over TLS", "wrong password") => proof("SCRAM-SHA-512", "wrong-secret"),
        ("SCRAM-SHA-512 over TLS", "another mechanism than the broker's") => {
            proof("SCRAM-SHA-256", "scram-secret")
        }
        ("OAUTHBEARER over TLS", "good, from a file") => from_file("token"),
        ("OAUTHBEARER over TLS", "an expired token") => from_file("token-old"),
        ("OAUTHBEARER over TLS", "a token that the broker does not know") => {
            from_file("token-strange")
        }
        ("OAUTHBEARER over TLS", "good, from a token endpoint") => by_endpoint(),
        ("OAUTHBEARER over TLS", "a wrong client secret") => by_endpoint()
            .set("kafka.security.oauth_client_secret_file", &file("client-secret-wrong")),
        ("OAUTHBEARER over TLS", "a token for another audience") => {
            by_endpoint().set("kafka.security.oauth_audience", "another")
        }
        ("OAUTHBEARER over TLS", "no token endpoint at that address") => {
            by_endpoint().set("kafka.security.oauth_endpoint", "https://127.0.0.1:1/token")
        }
        ("OAUTHBEARER over TLS", "another authority than the token endpoint's") => {
            // The broker is not reached without a token.
            by_endpoint().set("kafka.security.ca_file", &file("stranger.pem"))
        }
        ("TLS", "a listener without TLS") => {
            tls("TLS").set("kafka.bootstrap_servers", &secured.cluster.bootstrap())
        }
        other => panic!("no way {other:?}"),
    }
}

/// The message of `topics verify`, with paths and ports replaced by fixed ones; `works` if there is none.
fn verdict(secured: &Secured, settings: &ProgramSettings) -> String {
    let said = settings.command(&["topics", "verify"]).output().expect("runs");
    let words = String::from_utf8(said.stderr).expect("text");
    if said.status.code() == Some(0) {
        return "works".to_owned();
    }
    assert_eq!(said.status.code(), Some(1), "{words}");
    let mut words = words.trim_end().replace(&secured.file(""), "/keys/");
    for port in (secured.first..).take(super::LISTENERS.len()) {
        words = words.replace(&format!("127.0.0.1:{port}"), "broker:9093");
    }
    let words = words.replace(&secured.cluster.bootstrap(), "broker:9093");
    words.strip_prefix("nik-stream: ").unwrap_or(&words).to_owned()
}

#[test]
fn each_way_to_connect_works_and_each_wrong_credential_gives_the_message_of_the_page() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "ways", 1);
    let base = stage.settings();
    let rows = table("| way | credentials | line |");
    let found: Vec<String> = thread::scope(|scope| {
        // Three at a time, since each is a process.
        let thirds: Vec<_> = rows
            .chunks(rows.len().div_ceil(3))
            .map(|rows| {
                let base = &base;
                scope.spawn(move || {
                    let say =
                        |row: &Vec<String>| verdict(secured, &way(secured, &row[0], &row[1], base));
                    rows.iter().map(say).collect::<Vec<_>>()
                })
            })
            .collect();
        let found = thirds.into_iter().map(|it| it.join().expect("a message for each row"));
        found.collect::<Vec<_>>().concat()
    });
    let line = |row: &Vec<String>, line: &String| format!("| {} | {} | {line} |\n", row[0], row[1]);
    let found: String = rows.iter().zip(&found).map(|(row, it)| line(row, it)).collect();
    let page: String = rows.iter().map(|row| line(row, &row[2])).collect();
    assert_eq!(page, found, "found:\n{found}");
}

/// A request that is answered and one that fails.
fn requests() -> [NewRecord; 2] {
    [r#"{"nik":[],"process":"limited"}"#, "{"]
        .map(|text| NewRecord { value: Some(text.into()), ..NewRecord::default() })
}

#[test]
fn requests_are_answered_exactly_once_over_each_way_to_connect_and_no_secret_is_logged() {
    let secured = secured();
    for (name, credentials) in [
        ("mutual TLS", "good"),
        ("PLAIN over TLS", "good"),
        ("SCRAM-SHA-512 over TLS", "good"),
        ("OAUTHBEARER over TLS", "good, from a file"),
        ("OAUTHBEARER over TLS", "good, from a token endpoint"),
    ] {
        let stage = Stage::new(&secured.cluster, "answers", 1);
        let settings = way(secured, name, credentials, &stage.settings())
            .set("kafka.workers", "1")
            .set("log.level", "debug")
            .file("[kafka.librdkafka]\n\"debug\" = \"security,broker\"");
        let program = ready(&settings);
        secured.cluster.produce(&stage.requests, &requests());
        let (results, failures) = stage.wait_for_outcomes(&secured.cluster, 2);
        assert_eq!((results.len(), failures.len()), (1, 1), "{name}");
        let page = program.get("/api/status").expect("answers").1;
        let words = program.stderr() + &program.stdout() + &page;
        stop(program);
        let token = fs::read_to_string(secured.file("token")).expect("a token");
        for secret in ["plain-secret", "scram-secret", provider::SECRET, "RS256", &token] {
            assert!(!words.contains(secret), "{name} logged its secret");
        }
    }
}

#[test]
fn the_service_logs_once_why_it_is_refused_and_continues_when_it_is_accepted() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "waits", 1);
    let path = secured.dir.path().join("token-renewed");
    fs::write(&path, token("by-token", -5)).expect("written");
    let settings = way(secured, "OAUTHBEARER over TLS", "an expired token", &stage.settings())
        .set("kafka.security.oauth_token_file", &path.display().to_string());
    let mut program = settings.run();
    let line = "no token for the brokers: the token of kafka.security.oauth_token_file has expired";
    wait_until("the program says why", || program.is_held_up_by(line));
    // From now on a thread renews a short-lived token, as token agents do. The program runs for longer than its first token lives,
    // and must fetch the next one in time: otherwise it would log the message again.
    let lifetime = Duration::from_secs(5);
    let end = End::default();
    let agent = thread::spawn({
        let (path, end) = (path.clone(), end.flag());
        move || {
            let new = path.with_extension("new");
            while !end.load(Ordering::Relaxed) {
                fs::write(&new, token("by-token", 5)).expect("written");
                fs::rename(&new, &path).expect("renamed"); // so that readers never see a part of it
                thread::sleep(Duration::from_millis(250));
            }
        }
    });
    program.wait_ready(WAIT_TIMEOUT);
    thread::sleep(lifetime);
    secured.cluster.produce(&stage.requests, &requests());
    stage.wait_for_outcomes(&secured.cluster, 2);
    assert_eq!(program.stderr().matches(line).count(), 1, "{}", program.stderr());
    stop(program);
    drop(end);
    agent.join().expect("it ends");
}

#[test]
fn a_wrong_password_is_reported_once_and_never_shown() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "wrong", 1);
    let settings = way(secured, "PLAIN over TLS", "wrong password", &stage.settings());
    let program = settings.clone().set("log.level", "debug").run();
    let line =
        "refuses the user of kafka.security: Authentication failed: Invalid username or password";
    wait_until("the program says why", || program.is_held_up_by(line));
    // librdkafka reports each attempt twice.
    let attempts = || program.stderr().matches("SASL authentication error").count() / 2;
    wait_until("it is refused again and again", || attempts() >= 3);
    let words = program.stderr();
    assert_eq!(words.matches(line).count(), 1, "{words}");
    let shown = settings.command(&["config", "show"]).output().expect("runs");
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("by-password"));
    for text in [words, shown] {
        assert!(!text.contains("wrong-secret"), "{text}");
    }
}
