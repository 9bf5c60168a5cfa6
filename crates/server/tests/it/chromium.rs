//! A headless Chromium that reaches this machine and nothing else, driven over chromedriver's WebDriver protocol. Both are Debian's.

#![expect(clippy::indexing_slicing, clippy::panic, reason = "a test may fail loudly, in its helpers too")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::DEADLINE;

/// Where WebDriver puts the name of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
pub(crate) struct Browser {
    driver: Child,
    address: String,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts chromedriver on a free port, and by it a browser with a profile of its own.
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--log-level=WARNING"])
            // Whatever Chromium writes beside its profile goes there too.
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts: `make deps-test` installs it");
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| port_in(&line));
        let address = format!("127.0.0.1:{}", port.expect("chromedriver tells its port"));
        let mut browser = Self { driver, address, session: String::new(), profile };
        let data = format!("--user-data-dir={}", browser.profile.path().join("data").display());
        let options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--window-size=1280,1000",
            &data,
        ];
        let millis = u64::try_from(DEADLINE.as_millis()).expect("a deadline in milliseconds");
        let wanted = json!({
            "goog:chromeOptions": { "args": options },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": millis, "pageLoad": millis },
        });
        let session = browser.call("POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = session["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Loads a page.
    pub(crate) fn open(&self, url: &str) {
        self.ask("url", &json!({ "url": url }));
    }

    /// What a script in the page returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression in the page is true, and fails at the deadline.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, expression: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => {{ if ({expression}) {{ clearInterval(timer); done(true); }} }};
             const timer = setInterval(look, 20); look();"
        );
        let answer = self.try_ask("execute/async", &json!({ "script": script, "args": [] }));
        if answer != Ok(Value::Bool(true)) {
            panic!("not in time: {what}: {answer:?}; the page says: {}", self.run("return document.body.innerText.slice(0, 2000)"));
        }
    }

    /// Clicks on what a selector finds, as a person would: it must be there and not be covered.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.wait(selector, &format!("document.querySelector({}) !== null", json!(selector)));
        self.ask(&format!("element/{}/click", self.find(selector)), &json!({}));
    }

    /// Replaces what is in a field by typing.
    #[track_caller]
    pub(crate) fn type_in(&self, selector: &str, text: &str) {
        self.wait(selector, &format!("document.querySelector({}) !== null", json!(selector)));
        let element = self.find(selector);
        // U+E009 is the control key; U+E000 lets go of it. Clearing a field by WebDriver escapes React's notice.
        self.ask(&format!("element/{element}/value"), &json!({ "text": format!("\u{e009}a\u{e000}\u{e003}{text}") }));
    }

    fn find(&self, selector: &str) -> String {
        let found = self.ask("element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    /// Pretends that the reader prefers a dark or a light page.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.ask("goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": features }));
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.ask("window/rect", &json!({ "width": width, "height": height }));
    }

    /// Saves what is seen as `<name>.png` in the folder that `KVSTORE_TEST_SCREENSHOTS` names, if it names one.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("KVSTORE_TEST_SCREENSHOTS") else { return };
        let encoded = self.call("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        let path = std::path::Path::new(&folder).join(format!("{name}.png"));
        let bytes = STANDARD.decode(encoded.as_str().expect("a picture")).expect("base64");
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display())).expect("the picture is saved");
    }

    /// What the console has said since it was last asked, but for what pages only tell.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.ask("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a log").iter();
        entries.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG").map(Value::to_string).collect()
    }

    /// The URLs that were asked for since it was last asked, those that were refused included.
    pub(crate) fn requests(&self) -> Vec<String> {
        let entries = self.ask("se/log", &json!({ "type": "performance" }));
        let events = entries.as_array().expect("a log").iter().map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str().expect("an event")).expect("JSON");
            event["message"].clone()
        });
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().expect("a URL").to_owned()).collect()
    }

    /// A command of the session.
    #[track_caller]
    fn ask(&self, command: &str, body: &Value) -> Value {
        self.try_ask(command, body).unwrap_or_else(|error| panic!("{command} with {body}: {error}"))
    }

    fn try_ask(&self, command: &str, body: &Value) -> Result<Value, String> {
        self.try_call("POST", &format!("/session/{}/{command}", self.session), body)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_call(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// One exchange with chromedriver, on a connection of its own.
    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(&self.address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(2 * DEADLINE)).map_err(|error| error.to_string())?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}", self.address, body.len());
        write!(stream, "{head}\r\nContent-Type: application/json\r\n\r\n{body}").map_err(|error| error.to_string())?;
        let answer = read_body(stream)?;
        let value = serde_json::from_slice::<Value>(&answer).map_err(|error| error.to_string())?["value"].take();
        if value["error"].is_string() { Err(format!("{}: {}", value["error"], value["message"])) } else { Ok(value) }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; what is left of it otherwise ends with its driver.
        let _ = self.try_call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// chromedriver keeps the connection, whatever it is told: the length says where the answer ends.
fn read_body(stream: TcpStream) -> Result<Vec<u8>, String> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|error| error.to_string())?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| line.clone())?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|error| error.to_string())?;
    Ok(body)
}

fn port_in(line: &str) -> Option<u16> {
    line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
}
