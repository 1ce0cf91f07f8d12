//! The host's own node: two programs out of a pinned image, a unit, and its place in the network. All of it lies on the
//! volume, so a locked server is in no network.

use super::control::Control;
use crate::run::Cx;
use crate::steps::docker::engine;
use crate::steps::stacks::certificate;
use crate::system::{FollowUp, managed, systemd, units};
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use serde_json::Value;
use spec::{VpnSpec, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOCKET: &str = "/run/sovereign-vpn/tailscaled.sock";
/// Where a key waits for the moments in which it is used; memory only.
const KEY: &str = "/run/sovereign/vpn-key";
/// How long the server's own key may be used.
const KEY_LASTS: &str = "3m";
const JOIN: Duration = Duration::from_secs(150);
/// How long a node that is in the network may take to find its way back after it was started.
const COMES_BACK: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

/// It has to read its files.
const RESTART: FollowUp = FollowUp("vpn");

pub(super) fn folder() -> PathBuf {
    Path::new(paths::DATA).join("vpn")
}

fn program(name: &str) -> PathBuf {
    folder().join("bin").join(name)
}

/// The image that the programs come from.
fn image<'c>(cx: &'c Cx<'_>) -> Result<&'c str> {
    let (stack, network) = cx
        .plan()?
        .private_network()
        .context("looking for the node's programs: no stack serves the network")?;
    let wanted = cx.spec.stacks.iter().find(|wanted| wanted.name == stack.name);
    let image = wanted.and_then(|wanted| wanted.images.get(network.node.as_str()));
    image.map(String::as_str).with_context(|| {
        format!("looking for the node's programs: stack {} names no image of them", stack.name)
    })
}

/// What the node's own file of host names says: it asks the control server over Docker's network and not over the internet.
fn hosts(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<String> {
    let address =
        cx.plan()?.private_network_address().context("looking for the control server: it has no address")?;
    Ok(format!("127.0.0.1 localhost\n::1 localhost\n{address} {}\n", vpn.host))
}

/// Whom it trusts.
fn environment(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<String> {
    let certificate = certificate::of_network(cx, vpn)?;
    Ok(certificate.map_or_else(String::new, |certificate| {
        format!("SSL_CERT_FILE={}\nSSL_CERT_DIR=/nonexistent\n", certificate.file().display())
    }))
}

/// As what, and whereto, it joined.
fn joined(cx: &Cx<'_>, vpn: &VpnSpec) -> String {
    format!("{} {}\n", vpn.host, cx.spec.server.name)
}

/// Whether programs, names and unit are what they must be.
fn installed(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<bool> {
    let from = format!("{}\n", image(cx)?);
    Ok(managed::holds(cx, folder().join("bin/from"), from.as_bytes())?
        && managed::holds(cx, folder().join("hosts"), hosts(cx, vpn)?.as_bytes())?
        && managed::holds(cx, folder().join("environment"), environment(cx, vpn)?.as_bytes())?
        && units::is_wanted(cx, units::VPN)?)
}

/// The addresses it has in the network, the IPv4 one first; none while it is not in it.
pub(super) fn addresses(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<Vec<String>> {
    if !installed(cx, vpn)?
        || RESTART.is_due(cx)?
        || !managed::holds(cx, folder().join("joined"), joined(cx, vpn).as_bytes())?
    {
        return Ok(Vec::new());
    }
    let Some(status) = status(cx)?.filter(|status| status["BackendState"] == "Running") else {
        return Ok(Vec::new());
    };
    let listed = status["Self"]["TailscaleIPs"].as_array().into_iter().flatten();
    Ok(listed.filter_map(Value::as_str).map(str::to_owned).collect())
}

/// What the node says of itself; `None` while it does not run.
fn status(cx: &Cx<'_>) -> Result<Option<Value>> {
    if !cx.machine().exists(SOCKET)? {
        return Ok(None);
    }
    let output = cx.probe(&tailscale().args(["status", "--json", "--peers=false"]))?;
    // It answers with 1 where it is not in a network yet, and says so all the same.
    Ok(serde_json::from_slice(&output.stdout).ok())
}

fn tailscale() -> Cmd {
    Cmd::new(program("tailscale")).arg(format!("--socket={SOCKET}"))
}

/// Puts it there and has it join, where it is not in the network.
pub(super) fn ensure_joined(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<()> {
    // What runs has read the old files.
    let restart = || Ok(systemd::systemctl(cx, ["try-restart", units::VPN]).map(drop)?);
    RESTART.ensure(cx, installed(cx, vpn)?, || install(cx, vpn), restart)?;
    systemd::systemctl(cx, ["start", units::VPN])
        .context("starting this server's node; see `journalctl -u sovereign-vpn`")?;
    wait_while_it_starts(cx)?;
    if addresses(cx, vpn)?.is_empty() {
        join(cx, vpn)?;
    }
    Ok(())
}

/// systemd takes the node for started once it listens; whether it is in the network it knows only later. One that is must
/// not join again: it would get another key, and every device would have to learn that.
fn wait_while_it_starts(cx: &Cx<'_>) -> Result<()> {
    let start = cx.machine().ticks();
    while cx.machine().ticks().saturating_sub(start) < COMES_BACK {
        let status = status(cx)?.unwrap_or_default();
        if !["NoState", "Starting"].iter().any(|state| status["BackendState"] == *state) {
            break;
        }
        cx.machine().sleep(POLL);
    }
    Ok(())
}

fn install(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<()> {
    let machine = cx.machine();
    for dir in ["", "bin"] {
        machine.make_dir(&folder().join(dir), 0o755, 0, 0)?;
    }
    machine.make_dir(&folder().join("state"), 0o700, 0, 0)?;
    let image = image(cx)?;
    let from = format!("{image}\n");
    if !managed::holds(cx, folder().join("bin/from"), from.as_bytes())? {
        cx.say("taking this server's node out of its image")?;
        cx.probe(&Cmd::new("systemctl").args(["stop", units::VPN]))?;
        extract_programs(cx, image)?;
        // docker syncs nothing: after a power cut the note would vouch for half a program.
        machine.sync_all();
        cx.write(&folder().join("bin/from"), from.as_bytes(), 0o644)?;
    }
    managed::ensure_file(cx, folder().join("hosts"), hosts(cx, vpn)?.as_bytes(), 0o644)?;
    managed::ensure_file(cx, folder().join("environment"), environment(cx, vpn)?.as_bytes(), 0o644)?;
    units::want(cx, [units::VPN])
}

/// Copies the programs out of the pinned image, by way of a container that is never started.
fn extract_programs(cx: &Cx<'_>, image: &str) -> Result<()> {
    const CONTAINER: &str = "sovereign-vpn-programs";
    let docker = |args: &[&str]| Cmd::new("docker").args(args.to_vec()).env("HOME", "/root");
    cx.probe(&docker(&["rm", "--force", CONTAINER]))?;
    cx.run(&docker(&["create", "--pull", "never", "--network", "none", "--name", CONTAINER, image]))?;
    for name in ["tailscale", "tailscaled"] {
        let to = program(name);
        let copy = docker(&["cp", &format!("{CONTAINER}:/usr/local/bin/{name}")]).path(&to);
        cx.run(&copy).with_context(|| format!("taking {name} out of {image}"))?;
        cx.machine().chown(&to, 0, 0)?;
    }
    cx.run(&docker(&["rm", "--force", CONTAINER]))?;
    Ok(())
}

/// Joins with a key that is made for it, lasts minutes and works once.
fn join(cx: &Cx<'_>, vpn: &VpnSpec) -> Result<()> {
    cx.say("joining the private network")?;
    let control = Control::find(cx)?;
    // A tag needs an owner that is there.
    control.operator()?;
    let key = control.key_for_server(KEY_LASTS)?;
    cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    cx.write(Path::new(KEY), key.value.expose(), 0o400)?;
    let up = tailscale().args(["up", "--reset", "--force-reauth", "--timeout=120s"]);
    let up = up.args([format!("--login-server=https://{}", vpn.host), format!("--auth-key=file:{KEY}")]);
    // Our own firewall decides alone: with no rules of the node's, nothing rewrites where a packet came from. Neither
    // does the network decide on this server's resolver or routes.
    let up = up.args(["--netfilter-mode=off", "--accept-dns=false", "--accept-routes=false"]);
    let up = up.arg(format!("--hostname={}", cx.spec.server.name)).timeout(JOIN);
    let tried = cx.run(&up);
    cx.machine().shred(Path::new(KEY))?;
    control.expire(key.id)?;
    tried.context("joining the private network; see `journalctl -u sovereign-vpn`")?;
    cx.write(&folder().join("joined"), joined(cx, vpn).as_bytes(), 0o644)?;
    if addresses(cx, vpn)?.is_empty() {
        bail!(
            "joining the private network: the node has no address in it; see `journalctl -u sovereign-vpn`"
        );
    }
    Ok(())
}

/// Whether there is anything of a node, where the project has no private network.
pub(super) fn left_over(cx: &Cx<'_>) -> Result<bool> {
    units::is_wanted(cx, units::VPN)
}

/// Stops the node of a network that the project no longer has. Its files stay on the volume.
pub(super) fn leave(cx: &Cx<'_>) -> Result<()> {
    systemd::systemctl(cx, ["stop", units::VPN])?;
    units::unwant(cx, units::VPN)
}

/// Whether the control server answers for this stack at all.
pub(super) fn control_runs(cx: &Cx<'_>) -> Result<bool> {
    let Some((stack, network)) = cx.plan()?.private_network() else { return Ok(false) };
    let containers = engine::containers(cx, &stack.name)?;
    let its = |found: &&Value| engine::service(found) == Some(network.service.as_str());
    Ok(containers.iter().filter(its).any(engine::healthy))
}
