//! A second network for a rehearsed server: a cable into a network namespace of the test's own, where somebody else
//! may live. Nothing else of this machine is on it.

use crate::Rig;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local, Output};
use provisioner::api::Client;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The server's addresses on it; nobody else in the world has these (RFC 5737, RFC 3849).
pub const SERVER: [&str; 2] = ["192.0.2.10", "2001:db8:77::10"];
/// The neighbour's.
pub const NEIGHBOUR: [&str; 2] = ["192.0.2.1", "2001:db8:77::1"];

/// One cable, plugged in. Dropped, it is pulled out and the namespace is gone.
pub struct Wire<'a> {
    rig: &'a Rig,
    server: u64,
    name: String,
}

impl<'a> Wire<'a> {
    /// Lays it to a server that runs; the server's end gets its addresses by [`Wire::addresses`].
    pub fn lay(rig: &'a Rig, server: u64) -> Result<Self> {
        let name = format!("wire{}", std::process::id());
        let wire = Self { rig, server, name };
        let ip = |words: &str| Local.run(&Cmd::new("ip").args(words.split(' ')));
        let name = &wire.name;
        ip(&format!("netns add {name}"))?;
        ip(&format!("tuntap add mode tap name {name}"))?;
        // QEMU opens the device here, and keeps it open wherever it is moved.
        wire.order("PUT", Some(&serde_json::json!({ "tap": name })))?;
        ip(&format!("link set {name} netns {name}"))?;
        for (address, bits) in NEIGHBOUR.iter().zip([24, 64]) {
            let nodad = if bits == 64 { " nodad" } else { "" };
            ip(&format!("-n {name} addr add {address}/{bits} dev {name}{nodad}"))?;
        }
        ip(&format!("-n {name} link set {name} up"))?;
        Ok(wire)
    }

    /// The shell line that gives the server its addresses; they are gone after a reboot.
    pub fn addresses() -> String {
        let [v4, v6] = SERVER;
        format!(
            "for i in $(seq 60); do card=$(ip -o link | grep -i 'link/ether 92:01:' | cut -d: -f2 | tr -d ' '); \
             [ -z \"$card\" ] || break; sleep 0.5; done; ip link set $card up && ip addr replace {v4}/24 dev $card && ip -6 addr replace {v6}/64 dev $card nodad"
        )
    }

    fn order(&self, method: &str, body: Option<&serde_json::Value>) -> Result<()> {
        let endpoint = rehearsal::find(&self.rig.cloud())?.context("finding the rig's cloud")?;
        let base = format!("{}/_rehearsal", endpoint.url.trim_end_matches("/v1"));
        let admin = Client::new(&base, &endpoint.token, Arc::new(|_: &str| {}))?;
        let path = format!("/servers/{}/tap", self.server);
        let method = method.parse().context("a method")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(admin.change("plugging the second network", method, &path, body))?;
        Ok(())
    }

    /// The neighbour's end of the cable.
    pub fn device(&self) -> &str {
        &self.name
    }

    /// A program run by the neighbour.
    pub fn neighbour(&self, program: &str) -> Cmd {
        Cmd::new("ip").args(["netns", "exec", &self.name, program])
    }

    /// Runs a program by the neighbour to its end, which need not be a good one.
    pub fn probe(&self, program: &str, args: &str, limit: Duration) -> Result<Output> {
        Ok(Local.probe(&self.neighbour(program).args(args.split(' ')).timeout(limit))?)
    }

    /// Whether the neighbour gets a TCP connection within a few seconds, from an address of its own choice or any.
    pub fn connects(&self, address: &str, port: u16, from: Option<&str>) -> Result<bool> {
        let from = from.map_or("None".into(), |own| format!("('{own}', 0)"));
        let script = format!("import socket; socket.create_connection(('{address}', {port}), 5, {from})");
        let connect = self.neighbour("python3").args(["-c", &script]).timeout(Duration::from_secs(30));
        Ok(Local.probe(&connect)?.success())
    }

    /// Starts a program of the neighbour's; dropped, it ends.
    pub fn start(&self, program: &str, args: &[&str]) -> Result<Running> {
        let mut command = self.neighbour(program).args(args.iter().copied()).to_std()?;
        Ok(Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Wire<'_> {
    fn drop(&mut self) {
        // The cloud may be gone already, and its machines with it.
        let _ = self.order("DELETE", None);
        for words in [["-n", &self.name, "link", "del", &self.name].as_slice(), &["netns", "del", &self.name]]
        {
            let _ = Local.probe(&Cmd::new("ip").args(words.iter().copied()));
        }
    }
}

/// A program at work.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
