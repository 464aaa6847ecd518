//! A headless Chromium, driven by chromedriver, that ends with the test.
//!
//! The tests need only a few calls of the `WebDriver` protocol. The crates for it (`fantoccini`,
//! `thirtyfour`) would bring an async client along.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::client;
use crate::cluster::{ChildProcess, need, ports};

/// How long chromedriver may take to start.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A browser with one page, which is closed on drop.
pub struct Browser {
    port: u16,
    session: String,
    _driver: ChildProcess,
    dir: TempDir,
}

impl Browser {
    /// Opens `url` in a window of this size.
    pub fn open(url: &str, (width, height): (u32, u32)) -> Browser {
        need("chromium");
        need("chromedriver");
        let dir = TempDir::with_prefix("nik-stream-page-").expect("a temporary directory");
        let port = ports::free(1);
        let listen = format!("--port={port}");
        let driver = ChildProcess::start(
            "chromedriver",
            &[&listen],
            &[],
            dir.path(),
            "driver",
            "driver",
            dir.path(),
        );
        let mut browser = Browser { port, session: String::new(), _driver: driver, dir };
        let deadline = Instant::now() + START_TIMEOUT;
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
            "--remote-debugging-pipe".to_owned(), // Chromium ends with the driver
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={}", profile.display()),
            format!("--window-size={width},{height}"),
        ];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session =
            browser.ask("POST", "/session", &capabilities).expect("an answer of chromedriver");
        let id = session["sessionId"].as_str();
        id.unwrap_or_else(|| panic!("no session: {session}")).clone_into(&mut browser.session);
        browser.resize(width, height);
        browser.call("POST", "/url", &json!({ "url": url }));
        browser
    }

    /// Sets the size of the page, regardless of the window's.
    pub fn resize(&self, width: u32, height: u32) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Emulates a media feature of the user: `prefers-color-scheme`, `prefers-reduced-motion`.
    pub fn prefer(&self, feature: &str, value: &str) {
        let features = json!({ "features": [{ "name": feature, "value": value }] });
        self.command("Emulation.setEmulatedMedia", &features);
    }

    /// Runs a script and returns the value of its `return`.
    pub fn run(&self, script: &str) -> Value {
        let script = json!({ "script": script, "args": [] });
        self.call("POST", "/execute/sync", &script)
    }

    /// The entries of a log since the last call: `browser` is the console, `performance` the loaded
    /// resources.
    pub fn log(&self, kind: &str) -> Vec<Value> {
        let lines = self.call("POST", "/se/log", &json!({ "type": kind }));
        lines.as_array().expect("a list").clone()
    }

    /// A screenshot of the page, PNG in base64.
    pub fn screenshot(&self) -> String {
        let screenshot = self.call("GET", "/screenshot", &Value::Null);
        screenshot.as_str().expect("base64").to_owned()
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

    /// The value of an answer; `None` without an answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let body = (!body.is_null()).then(|| body.to_string());
        let answer = client::request(method, &url, &[], body.as_deref().map(str::as_bytes))?;
        let answer: Value = serde_json::from_str(&answer.body).ok()?;
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
