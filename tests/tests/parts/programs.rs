//! Programs of images, made for this machine, run without a container around them.

use crate::front_door::Programs;
use anyhow::Result;
use images::{Arch, Silent};
use std::path::{Path, PathBuf};

/// What the trials of the front door run, from the recipes that servers' images are made by.
pub(crate) fn of_the_front_door() -> Result<Programs> {
    let stacks = "firstboot/stacks/catalogue";
    let of = |stack: &str, image: &str| made(&format!("{stacks}/{stack}/images/{image}"));
    let (traefik, gate) = (of("traefik", "traefik")?, of("oauth2-proxy", "oauth2-proxy")?);
    let (headscale, tailscale) = (of("headscale", "headscale")?, of("headscale", "tailscale")?);
    Ok(Programs {
        traefik: traefik.join("usr/local/bin/traefik"),
        gate: gate.join("bin/oauth2-proxy"),
        authority: made("tests/images/pebble")?.join("usr/bin/pebble"),
        // Debian's own. Where it is missing, the one trial that runs it says so.
        haproxy: PathBuf::from("haproxy"),
        headscale: headscale.join("ko-app/headscale"),
        tailscale: tailscale.join("usr/local/bin/tailscale"),
        tailscaled: tailscale.join("usr/local/bin/tailscaled"),
    })
}

fn made(recipe: &str) -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = images::recipe::read(&here.parent().unwrap_or(here).join(recipe))?;
    Ok(images::made(&tests::cache()?, &recipe, Arch::of_this_machine()?, &Silent)?)
}
