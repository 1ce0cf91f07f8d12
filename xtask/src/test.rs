//! `test`: the tiers, by name.

use crate::screen::screen;
use anyhow::{Result, bail};
use host::Cmd;
use provisioner::packages::{self, Answer};

/// For `test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// fast: units, golden files, the API, clients; clients: only those; vm: a real machine;
    /// cloud: the real Hetzner, with a token; all: everything but that.
    /// None: all that this machine can run.
    #[arg(value_enum)]
    tier: Option<Tier>,
    /// Only tests whose name contains this.
    #[arg(long)]
    only: Option<String>,
}

/// A tier of tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// Units, golden files, the API against the rehearsal cloud, faults; clients.
    Fast,
    /// Programs that others wrote for Hetzner, against the rehearsal cloud.
    Clients,
    /// firstboot on a real aarch64 machine: LUKS, UFW, Docker, reboots, power cuts.
    Vm,
    /// The real Hetzner: only with HCLOUD_TOKEN, spends money, is in no other tier.
    Cloud,
    /// Everything but the real Hetzner.
    All,
}

/// What the tests run besides what `provision` needs: programs, or files of packages that have none, and their packages.
const TOOLS: [(&str, &str); 10] = [
    ("age", "age"),
    ("cloud-init", "cloud-init"),
    ("cryptsetup", "cryptsetup-bin"),
    ("file", "file"),
    ("ip", "iproute2"),
    ("nmap", "nmap"),
    ("python3", "python3"),
    ("/usr/share/doc/python3-venv/copyright", "python3-venv"),
    ("ssh", "openssh-client"),
    // Not `tang`, which would serve on port 80.
    ("/usr/libexec/tangd", "tang-common"),
];

/// Runs them; everything runs even when something failed.
pub(crate) fn run(options: &Options) -> Result<u8> {
    let tier = options.tier.unwrap_or(Tier::All);
    let mut failed = Vec::new();
    let needed: Vec<_> = TOOLS
        .into_iter()
        .chain(rehearsal::host_packages(rehearsal::Architecture::Arm).iter().copied())
        .chain(images::HOST_PACKAGES.iter().copied())
        .collect();
    if let Err(error) = packages::ensure(&needed, Answer::Yes, &*screen()) {
        host::say::err(format_args!("{error:#}\ntests that need what is missing will say SKIPPED"));
    }
    if matches!(tier, Tier::Fast | Tier::All)
        && !cargo(&["test", "--workspace", "--exclude", "tests"], options.only.as_deref())?
    {
        failed.push("units");
    }
    let tiers: &[&str] = match tier {
        Tier::Fast => &["fast", "clients"],
        Tier::Clients => &["clients"],
        Tier::Vm => &["vm"],
        Tier::Cloud => &["cloud"],
        Tier::All => &["fast", "clients", "vm"],
    };
    for tier in tiers {
        let filter = options.only.as_deref().unwrap_or(tier);
        if !cargo(&["test", "--package", "tests", "--test", tier], (filter != *tier).then_some(filter))? {
            failed.push(tier);
        }
    }
    if failed.is_empty() {
        return Ok(0);
    }
    bail!("testing: failed in {}", failed.join(", "))
}

/// Runs cargo with the caller's own environment, since the toolchain is found through it.
fn cargo(args: &[&str], filter: Option<&str>) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let cmd = Cmd::new(cargo).args(args.iter().copied()).args(filter).whole_env_from_parent();
    Ok(cmd.run_inherited()? == 0)
}
