//! Keys, certificates and tokens, which openssl's command line makes for each run.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::traffic::load::now_ms;

/// Two authorities, of which the broker trusts one; valid and invalid certificates of the broker and of clients.
const SCRIPT: &str = r#"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
authority() { key "$1"; openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days 30 -out "$1.pem"; }
# $1: its file, $2: who signs it, $3: whose it is, $4: for which host, $5: days from now to its end
signed() {
    key "$1"
    openssl req -new -key "$1.key" -subj "/CN=$3" -out "$1.csr"
    echo "subjectAltName=$4" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -days "$5" -extfile "$1.ext" -out "$1.pem"
    cat "$1.key" "$1.pem" >"$1.both"
}
authority authority
authority stranger
signed broker authority broker IP:127.0.0.1,IP:::1 30
signed other authority broker DNS:other.example 30
signed old authority broker IP:127.0.0.1 -1
signed client authority by-certificate DNS:client 30
signed client-old authority by-certificate DNS:client -1
signed client-strange stranger by-certificate DNS:client 30
"#;

pub fn make(dir: &Path) {
    let made = Command::new("sh")
        .args(["-euc", SCRIPT])
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::write(dir.join("token"), token("by-token", 3600)).expect("written");
    fs::write(dir.join("token-old"), token("by-token", -5)).expect("written");
    fs::write(dir.join("token-strange"), "no.token").expect("written");
}

/// An unsecured token, as Kafka's test handler accepts it, that expires in this many seconds.
pub fn token(user: &str, seconds: i64) -> String {
    let now = now_ms() / 1000;
    let (begin, end) = (now - 60, now + seconds);
    let claims = format!(r#"{{"sub":"{user}","iat":{begin},"exp":{end}}}"#);
    format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims))
}
