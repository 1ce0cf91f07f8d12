use crate::common::{Reply, ask};
use crate::{paper, schema};
use rehearsal::{Config, Running};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A cloud of its own for one test.
pub(crate) struct World {
    pub(crate) config: Config,
    served: Option<(Running, Runtime)>,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = paper::config(&dir.path().join("c"));
        change(&mut config);
        let mut world = Self { config, served: None, _dir: dir };
        world.restart();
        world
    }

    /// The daemon crashes and is started again.
    pub(crate) fn restart(&mut self) {
        if let Some((running, runtime)) = self.served.take() {
            drop(running);
            runtime.shutdown_timeout(Duration::from_secs(10));
        }
        let runtime = Runtime::new().unwrap();
        let running = runtime.block_on(rehearsal::start(self.config.clone())).unwrap();
        self.served = Some((running, runtime));
    }

    /// A world whose actions do not end before [`World::hurry`].
    pub(crate) fn slow() -> Self {
        Self::with(|config| config.action_ms = 3_600_000)
    }

    /// Lets the actions end, those that run too.
    pub(crate) fn hurry(&mut self) {
        self.config.action_ms = 0;
        self.restart();
    }

    pub(crate) fn url(&self) -> String {
        self.served.as_ref().unwrap().0.url()
    }

    pub(crate) fn token(&self) -> String {
        self.served.as_ref().unwrap().0.token().to_owned()
    }

    /// Waits for what the served cloud itself can tell.
    pub(crate) fn block_on<'a, F: Future>(&'a self, what: impl FnOnce(&'a Running) -> F) -> F::Output {
        let (running, runtime) = self.served.as_ref().unwrap();
        runtime.block_on(what(running))
    }

    /// Asks, and compares what comes back with the schema.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let text = body.map(Value::to_string);
        let reply = ask(&self.url(), &self.token(), method, path, text.as_deref()).unwrap();
        schema::check(method, path, &reply);
        reply
    }

    fn expect(&self, status: u16, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = self.ask(method, path, body);
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.body);
        reply.body
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.expect(200, "GET", path, None)
    }

    pub(crate) fn put(&self, path: &str, body: Value) -> Value {
        self.expect(200, "PUT", path, Some(&body))
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Value {
        self.expect(201, "POST", path, Some(&body))
    }

    /// Posts and waits for every action in the answer to succeed.
    pub(crate) fn done(&self, path: &str, body: Value) -> Value {
        let body = self.post(path, body);
        self.complete(&body);
        body
    }

    pub(crate) fn delete(&self, path: &str) {
        let reply = self.ask("DELETE", path, None);
        assert!(matches!(reply.status, 200 | 201 | 204), "DELETE {path}: {}", reply.body);
        if reply.status != 204 {
            self.complete(&reply.body);
        }
    }

    /// Expects a refusal.
    pub(crate) fn refused(&self, status: u16, code: &str, method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { None } else { Some(body) };
        let reply = self.ask(method, path, body.as_ref());
        assert_eq!(
            (reply.status, reply.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{method} {path}: {}",
            reply.body
        );
        reply.body["error"].clone()
    }

    /// Waits for the actions in an answer; gives back the last one.
    pub(crate) fn wait(&self, body: &Value) -> Value {
        let lists = [&body["next_actions"], &body["actions"]]
            .map(|list| list.as_array().cloned().unwrap_or_default());
        let actions = [vec![body["action"].clone()], lists.concat()].concat();
        let mut last = Value::Null;
        for action in actions.iter().filter(|action| !action.is_null()) {
            let start = Instant::now();
            loop {
                last = self.get(&format!("/v1/actions/{}", action["id"]))["action"].clone();
                if last["status"] != "running" {
                    break;
                }
                assert!(start.elapsed() < Duration::from_secs(20), "{last} does not end");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        last
    }

    fn complete(&self, body: &Value) {
        let last = self.wait(body);
        assert!(last.is_null() || last["status"] == "success", "{last}");
    }

    pub(crate) fn server(&self, name: &str) -> u64 {
        let body = json!({"name": name, "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
        self.done("/v1/servers", body)["server"]["id"].as_u64().unwrap()
    }

    pub(crate) fn volume(&self, name: &str) -> u64 {
        let body = json!({"name": name, "size": 10, "location": "fsn1"});
        self.done("/v1/volumes", body)["volume"]["id"].as_u64().unwrap()
    }

    /// Waits until a server has a status.
    pub(crate) fn until(&self, server: u64, status: &str) {
        let start = Instant::now();
        while self.get(&format!("/v1/servers/{server}"))["server"]["status"] != status {
            assert!(start.elapsed() < Duration::from_secs(20), "server {server} is not {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The names in a list, in order.
pub(crate) fn names(body: &Value, plural: &str) -> String {
    let name = |entry: &Value| entry["name"].as_str().unwrap_or_default().to_owned();
    body[plural].as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
}
