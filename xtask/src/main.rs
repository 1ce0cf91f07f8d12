//! The front door of Sovereign: `cargo xtask help` lists the verbs, each `--help` has an example.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

/// Says a line on stdout; see [`host::say`].
macro_rules! say {
    ($($text:tt)*) => { host::say::out(format!("{}\n", format_args!($($text)*))) };
}

mod arch;
mod args;
mod artifacts;
mod ask;
mod check;
mod cloud;
mod drift;
mod ephemeral;
mod escrow;
mod keys;
mod made;
mod places;
mod project;
mod provision;
mod screen;
mod stacks;
mod summary;
mod test;
#[cfg(test)]
mod texts;
mod verbs;
mod vpn;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// A hardened, self-hosted workplace on one Hetzner server: made by one command, brought back by another.
#[derive(Parser)]
#[command(name = "cargo xtask", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Where the project folders are.
    #[arg(long, global = true, default_value = "projects", value_name = "DIR")]
    projects: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Plan, show, apply, wait, confirm. Run again, it changes nothing.
    ///
    /// Example: cargo xtask provision --project demo --yes
    Provision(provision::Options),
    /// Show what is there, in the cloud and on the server.
    ///
    /// Example: cargo xtask status --project demo --json
    Status(verbs::Status),
    /// Check from outside and on the server that all is as it must be.
    ///
    /// Example: cargo xtask verify --project demo
    Verify(verbs::Verify),
    /// Look into the escrow: is it whole, what is in it, open it.
    #[command(subcommand)]
    Escrow(escrow::Escrow),
    /// Files of ours that were edited by hand on the server: show the edits, keep one, put one back.
    #[command(subcommand)]
    Drift(drift::Drift),
    /// The volume's keys: list them, give a slot a new one, take one away. The server keeps running.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// The private network: its devices and their keys, and the certificate they trust.
    #[command(subcommand)]
    Vpn(vpn::Vpn),
    /// The stacks on the server: what there is of each; remove one that was taken out, with its data.
    #[command(subcommand)]
    Stacks(stacks::Stacks),
    /// Open the volume after a reboot, with the key from the escrow.
    ///
    /// Example: cargo xtask unlock --project demo --identity projects/demo/offline-identity.txt
    Unlock(verbs::Unlock),
    /// A root shell, or one command, over the pinned host key.
    ///
    /// Example: cargo xtask ssh --project demo -- systemctl --failed
    Ssh(verbs::Ssh),
    /// Take the server away. The volume, the addresses and the escrow stay unless named.
    ///
    /// Example: cargo xtask destroy --project demo
    Destroy(verbs::Destroy),
    /// Lease a throw-away server for one command; it is removed whatever happens, and the exit code is the command's.
    ///
    /// Example: cargo xtask ephemeral --project demo --ttl 30m -- sh -c 'ssh -F "$SOVEREIGN_SSH_CONFIG" server uname -m'
    Ephemeral(ephemeral::Options),
    /// Remove what throw-away servers left behind whose lease is over, by its labels alone.
    ///
    /// Example: cargo xtask reap --plan
    Reap(ephemeral::Reap),
    /// Write a commented project.toml; prove the offline keys.
    ///
    /// Example: cargo xtask init --project prod --recipient age1...
    Init(verbs::Init),
    /// Disk and container images.
    #[command(subcommand)]
    Images(artifacts::Images),
    /// The rehearsal cloud on this machine.
    #[command(subcommand)]
    Cloud(cloud::Cloud),
    /// Run the tests: all that this machine can run, or one tier.
    ///
    /// Example: cargo xtask test fast
    Test(test::Options),
    /// Formatting, lints, documentation, dependency arrows, licences.
    ///
    /// Example: cargo xtask check
    Check(args::Print),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = tokio::runtime::Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let done = runtime.block_on(run(cli));
        // What was broken off may still wait for a server that is gone; nobody waits for it.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            host::say::err(format_args!("error: {error:#}"));
            ExitCode::from(provisioner::exit_code(&error))
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<u8> {
    let projects = &cli.projects;
    match cli.verb {
        Verb::Provision(options) => provision::run(projects, &options).await,
        Verb::Status(options) => verbs::status(projects, &options).await,
        Verb::Verify(options) => verbs::verify(projects, &options).await,
        Verb::Escrow(verb) => escrow::run(projects, &verb),
        Verb::Drift(verb) => drift::run(projects, &verb).await,
        Verb::Vpn(verb) => vpn::run(projects, &verb).await,
        Verb::Keys(verb) => keys::run(projects, &verb).await,
        Verb::Stacks(verb) => stacks::run(projects, &verb).await,
        Verb::Unlock(options) => verbs::unlock(projects, &options).await,
        Verb::Ssh(options) => verbs::ssh(projects, &options).await,
        Verb::Destroy(options) => verbs::destroy(projects, &options).await,
        Verb::Ephemeral(options) => ephemeral::run(projects, &options).await,
        Verb::Reap(options) => ephemeral::reap(projects, &options).await,
        Verb::Init(options) => verbs::init(projects, &options),
        Verb::Images(verb) => artifacts::run(projects, &verb),
        Verb::Cloud(verb) => cloud::run(&verb).await,
        Verb::Test(options) => test::run(&options),
        Verb::Check(options) => check::run(options.json),
    }
}
