//! A headless Chromium, driven over WebDriver.

use fantoccini::Client;
use fantoccini::ClientBuilder;
use fantoccini::Locator;
use fantoccini::actions::InputSource;
use fantoccini::actions::KeyAction;
use fantoccini::actions::KeyActions;
use fantoccini::elements::Element;
use fantoccini::key::Key;
use fantoccini::wd::WebDriverCompatibleCommand;
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::Value;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use url::ParseError;
use url::Url;

/// How often the page is looked at for what is to come, and after what pause.
const LOOKS: u32 = 150;
const PAUSE: Duration = Duration::from_millis(100);

/// What keeps the browser from asking the network for anything of its own; and as root there is no sandbox.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--window-size=1280,900",
];

/// `chromedriver`, for one browser.
struct Driver {
    child: Child,
    url: String,
    /// The browser's own folder.
    folder: PathBuf,
}

impl Driver {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let folder = std::env::temp_dir().join(format!("rxp-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver; `cargo xtask page` installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_string())
            })
            .expect("chromedriver says its port");
        Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            folder,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A command that Chromium adds to WebDriver.
#[derive(Debug)]
struct Chromium {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Chromium {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// The page, open in a browser of its own.
pub(crate) struct Page {
    client: Client,
    /// Where the page is from, without the final slash.
    origin: String,
    _driver: Driver,
}

impl Page {
    pub(crate) async fn open(origin: &str) -> Self {
        let driver = Driver::start();
        let mut arguments: Vec<_> = ARGUMENTS.map(str::to_string).into();
        arguments.push(format!("--user-data-dir={}", driver.folder.display()));
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&driver.url)
            .await
            .unwrap();
        let page = Self {
            client,
            origin: origin.to_string(),
            _driver: driver,
        };
        // What the browser showed of its own when it started is of no interest.
        page.client.goto("about:blank").await.unwrap();
        page.chromium("se/log", json!({ "type": "performance" }))
            .await;
        page.client.goto(&format!("{origin}/")).await.unwrap();
        page.until("return document.querySelector('.node') && document.querySelector('#connection').dataset.state == 'live'").await;
        page
    }

    async fn chromium(&self, path: &'static str, body: Value) -> Value {
        self.client
            .issue_cmd(Chromium { path, body })
            .await
            .unwrap()
    }

    /// Sets what a user's device is like.
    pub(crate) async fn emulate(&self, what: &str, parameters: Value) {
        self.chromium(
            "goog/cdp/execute",
            json!({ "cmd": format!("Emulation.{what}"), "params": parameters }),
        )
        .await;
    }

    /// What a script's body returns.
    pub(crate) async fn script(&self, body: &str) -> Value {
        self.client.execute(body, Vec::new()).await.unwrap()
    }

    /// Waits until a script's body returns something that is true, and gives that.
    pub(crate) async fn until(&self, body: &str) -> Value {
        for _ in 0..LOOKS {
            let value = self.script(body).await;
            if !matches!(value, Value::Null | Value::Bool(false)) {
                return value;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let text = self.script("return document.body.innerText").await;
        panic!("this never came true: {body}\nThe page says: {text}");
    }

    pub(crate) async fn find(&self, selector: &str) -> Element {
        self.client.find(Locator::Css(selector)).await.unwrap()
    }

    /// Waits for an element, and gives its text.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let text = self
            .until(&format!(
                "return document.querySelector(`{selector}`)?.textContent"
            ))
            .await;
        text.as_str().unwrap().to_string()
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.until(&format!(
            "return Boolean(document.querySelector(`{selector}`))"
        ))
        .await;
        self.find(selector).await.click().await.unwrap();
    }

    /// Clicks the button with these words.
    pub(crate) async fn press(&self, words: &str) {
        let path = format!("//button[text()='{words}']");
        let button = self
            .client
            .wait()
            .for_element(Locator::XPath(&path))
            .await
            .unwrap();
        button.click().await.unwrap();
    }

    /// Opens what has this name, by a click, and waits for its registers.
    pub(crate) async fn open_item(&self, name: &str) {
        self.click(&format!("[data-name='{name}'] .name")).await;
        self.until(&format!(
            "return document.querySelector('#panel-title').textContent == '{name}' && Boolean(document.querySelector('.register'))"
        ))
        .await;
    }

    /// Presses a key, wherever the focus is.
    pub(crate) async fn key(&self, key: Key) {
        let value = char::from(key);
        let press = KeyActions::new("keyboard".to_string())
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
        self.client.perform_actions(press).await.unwrap();
    }

    /// Keeps a picture of the page as it is.
    pub(crate) async fn keep_picture(&self, name: &str) {
        // Not half way from one colour to another.
        self.until("return document.getAnimations().every((animation) => animation.playState == 'finished')")
            .await;
        let folder = match std::env::var_os("PAGE_SCREENSHOTS") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        };
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.unwrap();
        std::fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// What the browser complained of, and what it asked for from elsewhere.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.chromium("se/log", json!({ "type": "browser" })).await;
        let mut complaints: Vec<_> = log
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["message"].as_str().unwrap().to_string())
            .collect();
        let mut requests = 0;
        for entry in self
            .chromium("se/log", json!({ "type": "performance" }))
            .await
            .as_array()
            .unwrap()
        {
            let entry: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &entry["message"];
            if message["method"] != "Network.requestWillBeSent" {
                continue;
            }
            requests += 1;
            let url = message["params"]["request"]["url"].as_str().unwrap();
            if !url.starts_with(&format!("{}/", self.origin)) {
                complaints.push(format!("asked for {url}"));
            }
        }
        assert!(requests > 0, "requests are recorded");
        complaints
    }

    pub(crate) async fn close(self) {
        self.client.close().await.unwrap();
    }
}
