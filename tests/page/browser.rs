//! A real Chromium without a window, driven by chromedriver; gone with the test.
//!
//! What is asked of the driver is a handful of calls, one after the other: the crates for it (`fantoccini`, `thirtyfour`) bring an
//! HTTP client and a runtime along.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Kept, ports};

const PATIENCE: Duration = Duration::from_mins(1);

/// A browser with one page, closed when dropped.
pub struct Browser {
    port: u16,
    session: String,
    _driver: Kept,
    dir: TempDir,
}

/// A tool that tests cannot do without: they fail, and say how to get it.
pub fn need(tool: &str) {
    let mut asked = Command::new(tool);
    let asked = asked.arg("--version").stdout(Stdio::null());
    let found = asked.stderr(Stdio::null()).status();
    assert!(
        found.is_ok_and(|status| status.success()),
        "{tool} is missing: `script/bootstrap tests` installs it"
    );
}

impl Browser {
    /// Opens `url` in a window of this size.
    pub fn open(url: &str, (width, height): (u32, u32)) -> Browser {
        need("chromium");
        need("chromedriver");
        let dir = TempDir::with_prefix("nik-stream-page-").expect("a temporary directory");
        let port = ports::free(1);
        let listen = format!("--port={port}");
        let driver = Kept::start(
            "chromedriver",
            &[&listen],
            &[],
            dir.path(),
            "driver",
            "driver",
            dir.path(),
        );
        let mut browser = Browser { port, session: String::new(), _driver: driver, dir };
        let deadline = Instant::now() + PATIENCE;
        while browser.ask("GET", "/status", &Value::Null).is_none() {
            assert!(Instant::now() < deadline, "chromedriver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let profile = browser.dir.path().join("profile");
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--remote-debugging-pipe".to_owned(), // it ends with the driver
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.display()),
            format!("--window-size={width},{height}"),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let begun = browser.ask("POST", "/session", &wanted).expect("an answer of chromedriver");
        let session = begun["sessionId"].as_str();
        session.unwrap_or_else(|| panic!("no session: {begun}")).clone_into(&mut browser.session);
        browser.resize(width, height);
        browser.call("POST", "/url", &json!({ "url": url }));
        browser
    }

    /// The page itself gets this size, whatever a window may be.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the browser says to be asked for: `prefers-color-scheme`, `prefers-reduced-motion`.
    pub fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.command("Emulation.setEmulatedMedia", &features);
    }

    /// The value of a script's `return`.
    pub fn run(&self, script: &str) -> Value {
        let script = json!({ "script": script, "args": [] });
        self.call("POST", "/execute/sync", &script)
    }

    /// The lines of a log since it was last asked for: `browser` is the console, `performance` what was loaded.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let lines = self.call("POST", "/se/log", &json!({ "type": kind }));
        lines.as_array().expect("a list").clone()
    }

    /// The picture of the page as PNG in base64.
    pub fn picture(&self) -> String {
        let picture = self.call("GET", "/screenshot", &Value::Null);
        picture.as_str().expect("base64").to_owned()
    }

    fn command(&self, name: &str, parameters: &Value) -> Value {
        let command = json!({ "cmd": name, "params": parameters });
        self.call("POST", "/goog/cdp/execute", &command)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        let answer = self.ask(method, &path, body).expect("an answer");
        assert!(answer["error"].is_null(), "{method} {path}: {answer}");
        answer
    }

    /// The value of an answer; `None` when there is none.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line.ok()?.to_lowercase();
            if let Some(told) = line.strip_prefix("content-length:") {
                length = told.trim().parse().ok()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        Some(answer["value"].clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            self.ask("DELETE", &path, &Value::Null);
        }
    }
}
