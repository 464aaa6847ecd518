//! An identity provider with a token endpoint over TLS, for client credentials. Its tokens are
//! signed, and the broker checks them with Kafka's own validator.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
use serde_json::json;

use crate::traffic::load::now_ms;

/// The secret of the only client, `nik-stream`. It has characters that Basic authentication encodes.
pub const SECRET: &str = "s: 100 %";
pub const ISSUER: &str = "https://idp.example";
/// The scope of a token that lives this many seconds is `seconds-` and the number.
const LIFETIME: i64 = 600;

pub struct Provider {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    key: PKey<Private>,
    issued: AtomicUsize,
    is_away: AtomicBool,
}

/// Makes the provider's key in `dir`, and the file from which the broker learns its public part.
pub fn make_key(dir: &Path) {
    let key = Rsa::generate(2048).expect("a key");
    let number = |number: &openssl::bn::BigNumRef| URL_SAFE_NO_PAD.encode(number.to_vec());
    let public = json!({"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": number(key.n()), "e": number(key.e())});
    fs::write(dir.join("jwks.json"), json!({"keys": [public]}).to_string()).expect("written");
    fs::write(dir.join("provider.key"), key.private_key_to_pem().expect("PEM")).expect("written");
    fs::write(dir.join("client-secret"), format!("{SECRET}\n")).expect("written");
    fs::write(dir.join("client-secret-wrong"), "wrong").expect("written");
}

impl Provider {
    /// Serves `https://127.0.0.1:port/token` with the certificate of the broker in `dir`, until the
    /// process ends.
    pub fn start(dir: &Path) -> Provider {
        let key = fs::read(dir.join("provider.key")).expect("make_key was called");
        let key = PKey::private_key_from_pem(&key).expect("a key");
        let mut tls = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("TLS");
        tls.set_private_key_file(dir.join("broker.key"), SslFiletype::PEM).expect("its key");
        tls.set_certificate_chain_file(dir.join("broker.pem")).expect("its certificate");
        let tls = tls.build();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state =
            Arc::new(State { key, issued: AtomicUsize::new(0), is_away: AtomicBool::new(false) });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if !shared.is_away.load(Ordering::SeqCst) {
                    // The client may refuse the certificate.
                    let _ = tls.accept(stream).map(|stream| shared.answer(stream));
                }
            }
        });
        Provider { port, state }
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/token", self.port)
    }

    /// Closes each connection at once, or no longer does.
    pub fn set_away(&self, away: bool) {
        self.state.is_away.store(away, Ordering::SeqCst);
    }

    /// The number of tokens so far.
    pub fn issued(&self) -> usize {
        self.state.issued.load(Ordering::SeqCst)
    }
}

impl State {
    fn answer(&self, mut stream: openssl::ssl::SslStream<TcpStream>) {
        let (mut length, mut credentials) = (0, String::new());
        let mut reader = BufReader::new(&mut stream);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "authorization" => value.clone_into(&mut credentials),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let body = String::from_utf8(body).expect("text");
        let parameter = |name: &str| {
            let mut all = body.split('&').filter_map(|pair| pair.split_once('='));
            all.find(|(it, _)| *it == name).map(|(_, value)| value)
        };
        let (status, answer) = if credentials != expected() {
            (401, json!({"error": "invalid_client", "error_description": "hunter2"}))
        } else if parameter("grant_type") != Some("client_credentials") {
            (400, json!({"error": "unsupported_grant_type"}))
        } else {
            let scope = parameter("scope").and_then(|scope| scope.strip_prefix("seconds-"));
            let lifetime = scope.map_or(LIFETIME, |it| it.parse().expect("a number"));
            self.issued.fetch_add(1, Ordering::SeqCst);
            let token = self.token(lifetime, parameter("audience").unwrap_or_default());
            (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": lifetime}))
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} -\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            answer.len()
        );
        let _ = stream.write_all((head + &answer).as_bytes());
        let _ = stream.shutdown();
    }

    fn token(&self, lifetime: i64, audience: &str) -> String {
        let now = now_ms() / 1000;
        let claims = json!({"sub": "by-provider", "iss": ISSUER, "aud": audience, "iat": now, "exp": now + lifetime});
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let content = format!("{}.{}", encode(json!({"alg": "RS256", "kid": "1"})), encode(claims));
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
        let signature = signer.sign_oneshot_to_vec(content.as_bytes()).expect("signed");
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The header of the right client, form-encoded as RFC 6749 requires.
fn expected() -> String {
    format!("Basic {}", STANDARD.encode("nik-stream:s%3A%20100%20%25"))
}
