//! The control server of the private network gives 443 up to the front door, and a device stays in the network.

use super::scene::{Scene, ip, options};
use super::{Programs, project};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local, Output};
use serde_json::Value;
use stacks::Plan;
use std::fs;
use std::time::Duration;

/// A device joins a control server that speaks TLS itself; then that one is behind the front door, with another
/// certificate, and nobody tells the device.
pub(super) fn takes_over(programs: &Programs) -> Result<()> {
    let (mut scene, plan) = Scene::prepare(programs, options(&[]))?;
    be_online()?;
    let own = scene.own_certificate("tls-of-headscale/vpn.example.org", "vpn.example.org")?;
    let trusted = [scene.read("trusted.pem")?, own].concat();
    fs::write(scene.path("device.pem"), trusted)?;
    start_control(&mut scene, &project::without_door()?, programs)?;
    let key = control(&scene, programs, &["users", "create", "operator"])
        .and_then(|_| control(&scene, programs, &["preauthkeys", "create", "--user", "1"]))?;
    join(&mut scene, programs, key["key"].as_str().context("the key")?)?;
    scene.wait("the device", || is_online(&scene, programs))?;
    let before = nodes(&scene, programs)?;

    scene.end("headscale")?;
    start_control(&mut scene, &plan, programs)?;
    scene.start_door(&plan, programs)?;
    scene.wait("the device, through the front door", || is_online(&scene, programs))?;
    let after = nodes(&scene, programs)?;
    for key in ["id", "ip_addresses", "node_key", "machine_key"] {
        ensure!(before[0][key] == after[0][key], "the device is another one: {before}, then {after}");
    }
    ensure!(after.as_array().is_some_and(|all| all.len() == 1), "there is another device: {after}");
    // Connections that switched protocols are logged when they end, and without a status.
    std::thread::sleep(Duration::from_secs(3));
    scene.end("tailscaled")?;
    for path in ["/ts2021", "/derp"] {
        let switched = |line: &str| {
            line.contains(&format!("\"RequestPath\":\"{path}\"")) && line.contains("\"DownstreamStatus\":0,")
        };
        scene.wait(path, || scene.log("traefik").is_ok_and(|log| log.lines().any(switched)))?;
    }
    Ok(())
}

/// A device looks for a way out before it asks anybody.
fn be_online() -> Result<()> {
    ip(&["link", "add", "out0", "type", "veth", "peer", "name", "out1"])?;
    ip(&["address", "add", "192.0.2.50/24", "dev", "out0"])?;
    ip(&["link", "set", "out0", "up"])?;
    ip(&["link", "set", "out1", "up"])?;
    ip(&["route", "add", "default", "via", "192.0.2.1"])
}

fn start_control(scene: &mut Scene, plan: &Plan, programs: &Programs) -> Result<()> {
    let elsewhere = [
        ("/etc/headscale-tls", "tls-of-headscale"),
        ("/etc/headscale", "headscale"),
        ("/var/lib/headscale", "state-of-headscale"),
        ("/var/run/headscale", "run-of-headscale"),
    ];
    for folder in ["state-of-headscale", "run-of-headscale"] {
        fs::create_dir_all(scene.path(folder))?;
    }
    scene.write_config(plan, "headscale", &elsewhere)?;
    let cmd =
        Cmd::new(&programs.headscale).arg("serve").arg("--config").path(scene.path("headscale/config.yaml"));
    scene.start("headscale", &cmd)?;
    scene.wait("the control server", || control(scene, programs, &["users", "list"]).is_ok())
}

fn control(scene: &Scene, programs: &Programs, args: &[&str]) -> Result<Value> {
    let cmd = Cmd::new(&programs.headscale).arg("--config").path(scene.path("headscale/config.yaml"));
    let cmd = cmd.args(["--output", "json"]).args(args.iter().copied()).env("HOME", "/root");
    let output = Local.run(&cmd.timeout(Duration::from_secs(20)))?;
    serde_json::from_slice(&output.stdout).context("what the control server says")
}

fn nodes(scene: &Scene, programs: &Programs) -> Result<Value> {
    control(scene, programs, &["nodes", "list"])
}

/// Whether the control server, as it runs now, hears of the one device.
fn is_online(scene: &Scene, programs: &Programs) -> bool {
    nodes(scene, programs).is_ok_and(|nodes| nodes[0]["online"] == true)
}

fn join(scene: &mut Scene, programs: &Programs, key: &str) -> Result<()> {
    let socket = scene.path("tailscaled.sock").display().to_string();
    let cmd = Cmd::new(&programs.tailscaled).args([
        "--tun=userspace-networking",
        "--port=41641",
        "--no-logs-no-support",
    ]);
    let cmd =
        cmd.arg(format!("--socket={socket}")).arg(format!("--statedir={}", scene.path("device").display()));
    let trusted = scene.path("device.pem");
    scene.start("tailscaled", &cmd.env("SSL_CERT_FILE", trusted).env("HOME", "/root"))?;
    let up = Cmd::new(&programs.tailscale).arg(format!("--socket={socket}")).args(["up", "--timeout=60s"]);
    let up =
        up.args(["--login-server=https://vpn.example.org", "--netfilter-mode=off", "--accept-dns=false"]);
    let tried: Result<Output, _> =
        Local.run(&up.arg(format!("--auth-key={key}")).timeout(Duration::from_secs(90)));
    let last =
        |name| scene.log(name).unwrap_or_default().lines().rev().take(12).collect::<Vec<_>>().join("\n");
    tried.map(drop).with_context(|| format!("joining:\n{}\n{}", last("tailscaled"), last("headscale")))
}
