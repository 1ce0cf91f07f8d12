//! The networks of containers, as the plan has them: made before anything is started in one, and never by Compose.

use super::compose::compose;
use crate::machine::digest::sha256;
use crate::run::Cx;
use crate::steps::docker::engine;
use ::stacks::plan::Network;
use anyhow::{Context as _, Result};
use host::{Cmd, Host as _};

/// Says of a network what it was made as.
const DIGEST: &str = "sovereign.network";

/// What is not as the plan has it; nothing where all is well.
pub(crate) fn complaints(cx: &Cx<'_>) -> Result<Vec<String>> {
    let there = engine::networks(cx)?;
    let mut wrong = Vec::new();
    for network in &cx.plan()?.networks {
        match there.iter().find(|there| there.name == network.name) {
            None => wrong.push(format!("network {} is not there", network.name)),
            Some(there) if there.label(DIGEST) != Some(&digest(network)) => {
                wrong.push(format!("network {} is not as planned", network.name));
            }
            Some(_) => {}
        }
    }
    wrong.extend(surplus(cx, &there)?.map(|network| format!("network {} is left over", network.name)));
    Ok(wrong)
}

/// Makes them so. Whoever is in a network that has to go is taken down first, and started again with the others.
pub(super) fn ensure(cx: &Cx<'_>) -> Result<()> {
    let there = engine::networks(cx)?;
    for left in surplus(cx, &there)? {
        remove(cx, left)?;
    }
    for network in &cx.plan()?.networks {
        let found = there.iter().find(|there| there.name == network.name);
        if found.is_some_and(|found| found.label(DIGEST) == Some(&digest(network))) {
            continue;
        }
        if let Some(old) = found {
            cx.say(format!("making network {} anew", network.name))?;
            remove(cx, old)?;
        }
        cx.run(&create(network)).with_context(|| format!("making network {}", network.name))?;
    }
    Ok(())
}

/// Those of ours, or that Compose made for a stack under an earlier release, that the plan does not have.
fn surplus<'n>(
    cx: &Cx<'_>,
    there: &'n [engine::Network],
) -> Result<impl Iterator<Item = &'n engine::Network>> {
    let planned: Vec<String> = cx.plan()?.networks.iter().map(|network| network.name.clone()).collect();
    let stacks: Vec<String> = cx.spec.stacks.iter().map(|stack| stack.name.clone()).collect();
    let of_ours = move |network: &engine::Network| {
        network.label(DIGEST).is_some()
            || network
                .label(engine::PROJECT)
                .is_some_and(|project| stacks.iter().any(|stack| stack == project))
    };
    Ok(there.iter().filter(move |network| !planned.contains(&network.name) && of_ours(network)))
}

fn remove(cx: &Cx<'_>, network: &engine::Network) -> Result<()> {
    for stack in engine::stacks_in(cx, &network.name)? {
        cx.run(&compose(&stack, &["down"]))
            .with_context(|| format!("taking stack {stack} out of {}", network.name))?;
    }
    // Where Compose had made it, it went with the stack.
    if engine::networks(cx)?.iter().all(|there| there.name != network.name) {
        return Ok(());
    }
    let cmd = Cmd::new("docker").args(["network", "rm", &network.name]).env("HOME", "/root");
    cx.run(&cmd).with_context(|| format!("removing network {}", network.name))?;
    Ok(())
}

fn create(network: &Network) -> Cmd {
    let subnet = network.subnet;
    let mut cmd = Cmd::new("docker").args(["network", "create", "--driver", "bridge", "--label"]);
    cmd = cmd.arg(format!("{DIGEST}={}", digest(network)));
    cmd = cmd.args(["--subnet", &subnet.to_string(), "--ip-range", &subnet.for_docker()]);
    cmd = cmd.args(["--gateway", &subnet.gateway().to_string()]);
    if let Some(subnet6) = network.subnet6 {
        cmd = cmd.args(["--ipv6", "--subnet", &subnet6.to_string()]);
    }
    if network.internal {
        cmd = cmd.arg("--internal");
    }
    cmd.arg(&network.name).env("HOME", "/root")
}

/// Of all that it is made by; who is in it is no part of that.
fn digest(network: &Network) -> String {
    let subnet6 = network.subnet6.map(|subnet| subnet.to_string());
    let all = format!("{} {} {}", network.subnet, subnet6.as_deref().unwrap_or("-"), network.internal);
    sha256(all.as_bytes())[..16].to_owned()
}
