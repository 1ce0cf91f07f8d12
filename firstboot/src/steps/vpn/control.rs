//! The control server's own command line, inside its container: users and keys.

use crate::run::Cx;
use crate::steps::docker::engine;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Secret};
use serde_json::Value;
use std::time::Duration;

/// The user whom the operator's devices belong to.
const OPERATOR: &str = "operator";
/// How long one command may take on a slow machine.
const ANSWER: Duration = Duration::from_secs(60);

/// The running control server.
pub(super) struct Control<'c, 'm> {
    cx: &'c Cx<'m>,
    container: String,
}

/// A key that lets one device in, once.
pub(super) struct Key {
    /// The control server's number for it.
    pub(super) id: u64,
    /// The key itself.
    pub(super) value: Secret,
}

impl<'c, 'm> Control<'c, 'm> {
    /// Finds its container.
    pub(super) fn find(cx: &'c Cx<'m>) -> Result<Self> {
        let (stack, network) =
            cx.plan()?.private_network().context("looking for the control server: no stack serves one")?;
        let containers = engine::containers(cx, &stack.name)?;
        let its = |found: &&Value| engine::service(found) == Some(network.service.as_str());
        let container = containers.iter().find(its).map(|found| engine::name(found).to_owned());
        let container = container.with_context(|| {
            format!("looking for the control server: stack {} has no container", stack.name)
        })?;
        Ok(Self { cx, container })
    }

    fn ask(&self, args: &[&str]) -> Result<Vec<u8>> {
        let cmd = Cmd::new("docker").args(["exec", &self.container, "headscale", "--output", "json"]);
        let output = self.cx.run(&cmd.args(args.to_vec()).env("HOME", "/root").timeout(ANSWER))?;
        Ok(output.stdout)
    }

    /// The operator's number; the user is made where there is none.
    pub(super) fn operator(&self) -> Result<u64> {
        let named = |user: &&Value| user["name"] == OPERATOR;
        let users: Value = parse(&self.ask(&["users", "list"])?, "the users")?;
        if let Some(user) = users.as_array().into_iter().flatten().find(named) {
            return number(user);
        }
        number(&parse(&self.ask(&["users", "create", OPERATOR])?, "the new user")?)
    }

    /// A key for a device of the operator's.
    pub(super) fn key_for_device(&self, operator: u64, lasts: &str) -> Result<Key> {
        self.key(&["--user", &operator.to_string(), "--expiration", lasts])
    }

    /// A key for this server itself, which carries the server's tag.
    pub(super) fn key_for_server(&self, lasts: &str) -> Result<Key> {
        self.key(&["--tags", "tag:server", "--expiration", lasts])
    }

    fn key(&self, args: &[&str]) -> Result<Key> {
        let said = Secret::new(self.ask(&[&["preauthkeys", "create"], args].concat())?);
        // Not into `Value`, whose strings would not be wiped: it is read with the key and dropped at once.
        let made: Made = serde_json::from_slice(said.expose()).context("reading the new key's number")?;
        Ok(Key { id: made.id, value: Secret::new(made.key.into_bytes()) })
    }

    /// Makes a key worthless, whether it was used or not. One that is gone is fine.
    pub(super) fn expire(&self, id: u64) -> Result<()> {
        let cmd =
            Cmd::new("docker").args(["exec", &self.container, "headscale", "preauthkeys", "expire", "--id"]);
        let cmd = cmd.arg(id.to_string()).env("HOME", "/root").timeout(ANSWER);
        let output = self.cx.probe(&cmd)?;
        if !output.success() && !output.stderr.contains("not found") {
            output.into_success(&cmd).with_context(|| format!("making key {id} of a device worthless"))?;
        }
        Ok(())
    }
}

/// What of a new key is read.
#[derive(serde::Deserialize)]
struct Made {
    id: u64,
    key: String,
}

fn parse(json: &[u8], what: &str) -> Result<Value> {
    // With no users at all it prints `null`, and an older one nothing.
    if json.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(json).with_context(|| format!("reading {what} of the control server"))
}

fn number(of: &Value) -> Result<u64> {
    of["id"].as_u64().context("reading the control server's answer: it names no id")
}
