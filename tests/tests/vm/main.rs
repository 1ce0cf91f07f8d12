//! Real aarch64 machines: the whole job as an operator does it, and its bad days. Those that share a server come one after
//! the other; those with a machine of their own run [beside them](apart).

mod apart;
mod bad_days;
mod builds;
mod drift;
mod hardening;
mod keys;
mod leases;
mod main_job;
mod packets;
mod power_cuts;
mod reboots;
mod rebuilt;
mod secrets;
mod ssh_door;
mod vpn;
mod worse_days;

use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use libtest_mimic::Arguments;
use provisioner::api::model::{Server, Volume};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tests::{Rig, timed};

fn main() -> Result<()> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let shared = vec![
        timed("vm_main_job", 17, main_job::main_job),
        // Before the root disk is overwritten: the audit log of the whole first boot is on it.
        timed("vm_no_secret_lies_outside_the_volume", 7, secrets::none_outside_the_volume),
        timed("vm_an_edit_by_hand_is_shown_and_never_overwritten", 3, drift::shown_and_never_overwritten),
        timed("vm_the_host_is_hardened", 2, hardening::holds),
        timed("vm_only_declared_ports_answer", 14, packets::only_declared),
        timed("vm_only_a_confirmed_closing_stays", 9, packets::closings_nobody_confirms),
        timed("vm_worse_days_each_end_in_their_sentence", 11, worse_days::each_ends_in_its_sentence),
        timed("vm_ssh_is_shut_but_for_a_command_of_the_operators", 8, ssh_door::shut_but_for_a_command),
        timed("vm_keys_change_and_the_volume_grows", 12, keys::keys_and_growth),
        timed("vm_a_server_rebuilt_in_place_keeps_its_data", 15, rebuilt::rebuilt_in_place),
        timed(
            "vm_destroyed_is_gone_but_for_what_holds_data",
            3,
            main_job::destroyed_is_gone_but_for_what_holds_data,
        ),
        timed("vm_two_builds_give_the_same_bytes", 6, builds::two_builds),
    ];
    // The longest first: what is left at the end is small enough to be shared.
    let mut apart = vec![
        timed("vm_power_cut_at_every_step_and_the_operator_killed", 36, power_cuts::at_every_step),
        timed("vm_three_reboots_in_each_mode_of_unlock", 40, reboots::three_in_each_mode),
        timed("vm_administrators_come_in_over_the_private_network_only", 30, vpn::private_network),
        timed("vm_registry_unreachable_then_tampered_then_well", 14, bad_days::registry_bad_days),
        timed("vm_a_leased_server_is_removed_whatever_happens", 10, leases::removed_whatever_happens),
        timed("vm_a_volume_that_is_not_blank_is_refused_untouched", 9, bad_days::volume_not_blank),
    ];
    if std::env::var_os("CI").is_some() {
        // There is time for one or two of the three longest; the next commit begins with another one.
        apart[..3].rotate_left(commits()? % 3);
    }
    std::process::exit(apart::run(&arguments, shared, apart)?.into())
}

/// How many commits this tree has behind it.
fn commits() -> Result<usize> {
    let count = Cmd::new("git").arg("-C").path(Path::new(env!("CARGO_MANIFEST_DIR")));
    let count = Local.run(&count.args(["rev-list", "--count", "HEAD"]))?.text();
    count.trim().parse().context("counting the commits")
}

static STANDING: std::sync::Mutex<Option<Arc<Rig>>> = std::sync::Mutex::new(None);

/// The server that trials share, ready and unlocked, in project `demo`: whichever trial comes first provisions it, and
/// each leaves it as it found it. A machine of its own for every trial would cost minutes each.
pub(crate) fn standing() -> Result<Arc<Rig>> {
    let Ok(mut standing) = STANDING.lock() else {
        anyhow::bail!("an earlier trial broke down while it made the server")
    };
    if let Some(rig) = &*standing {
        return Ok(Arc::clone(rig));
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    secrets::record_from_the_first_moment(&rig)?;
    let first = rig
        .xtask(&["provision", "--project", "demo", "--yes"])?
        .expect(0)?
        .says(&["is ready at", "first boot: disk"])?;
    println!("provision, from the connection on: {:.1} s", first.took.as_secs_f64());
    Ok(Arc::clone(standing.insert(Arc::new(rig))))
}

/// Takes the shared server out of use: it ends with the last that holds it.
pub(crate) fn dismiss() -> Option<Arc<Rig>> {
    STANDING.lock().ok()?.take()
}

pub(crate) const PROGRAMS: [&str; 3] = ["qemu-system-aarch64", "qemu-img", "docker-registry"];

pub(crate) fn identity(rig: &Rig, name: &str) -> String {
    rig.projects().join(name).join("offline-identity.txt").to_string_lossy().into_owned()
}

/// Runs a line of SQL on the server's database.
pub(crate) fn sql(rig: &Rig, name: &str, line: &str) -> Result<String> {
    let command =
        format!("docker exec -i postgres-postgres-1 psql -U postgres -At -v ON_ERROR_STOP=1 -c \"{line}\"");
    Ok(rig.xtask(&["ssh", "--project", name, "--", &command])?.expect(0)?.stdout)
}

/// Puts this row, and no other, into the table `kept`, durably.
pub(crate) fn keep_a_row(rig: &Rig, what: &str) -> Result<()> {
    let lines = "DROP TABLE IF EXISTS kept; CREATE TABLE kept (what text)";
    sql(rig, "demo", &format!("{lines}; INSERT INTO kept VALUES ('{what}'); CHECKPOINT"))?;
    Ok(())
}

/// What the rig's server is reached by.
pub(crate) fn address(rig: &Rig) -> Result<Ipv4Addr> {
    let status = rig.xtask(&["status", "--project", "demo", "--json"])?.expect(0)?.stdout;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let address = status["address"].as_str().context("the status has no address")?;
    Ok(address.parse()?)
}

/// The id of the rig's server.
pub(crate) fn server_id(rig: &Rig) -> Result<u64> {
    run_async(async {
        let servers: Vec<Server> = rig.client()?.list("listing servers", "/servers", "servers", &[]).await?;
        Ok(servers.first().context("there is no server")?.id)
    })
}

/// Waits until the server is up and locked, as after a reset.
pub(crate) fn wait_until_locked(rig: &Rig) -> Result<()> {
    for _ in 0..60 {
        let status = rig.xtask(&["status", "--project", "demo"])?;
        if status.stdout.starts_with("demo: locked") {
            status.expect(4)?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(3));
    }
    anyhow::bail!("the server did not become locked")
}

/// Runs a shell line on a server that is just being started, as soon as it lets anybody in; it must succeed.
pub(crate) fn once_it_answers(rig: &Rig, line: &str) -> Result<()> {
    let ssh = || rig.xtask(&["ssh", "--project", "demo", "--", line]);
    let mut last = ssh()?;
    for _ in 0..100 {
        if last.code != Some(255) {
            break;
        }
        std::thread::sleep(Duration::from_secs(2));
        last = ssh()?;
    }
    last.expect(0)?;
    Ok(())
}

/// Asks the cloud for a power action on the rig's server, and waits for it.
pub(crate) fn act(rig: &Rig, action: &str) -> Result<()> {
    let path = format!("/servers/{}/actions/{action}", server_id(rig)?);
    run_async(async {
        let client = rig.client()?;
        let answer = client.create(action, &path, &serde_json::json!({})).await?;
        Ok(client.finish(action, &answer, Duration::from_secs(120)).await?)
    })
}

pub(crate) fn run_async<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

pub(crate) fn volume_image(rig: &Rig) -> Result<PathBuf> {
    let id = run_async(async {
        let volumes: Vec<Volume> = rig.client()?.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok(volumes.first().context("there is no volume")?.id)
    })?;
    Ok(rehearsal::volume_file(&rig.cloud(), id))
}

pub(crate) fn again_changes_nothing(rig: &Rig) -> Result<()> {
    let before = receipt(rig)?;
    let again = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["No changes"])?;
    println!("provision again: {:.2} s", again.took.as_secs_f64());
    ensure!(receipt(rig)? == before, "a second run changed the receipt");
    rig.xtask(&["provision", "--project", "demo", "--plan"])?.expect(0)?;
    rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}

/// Files the receipt of what was run on the server itself, or by an unlock, as the operator's next `provision` would.
pub(crate) fn file_receipt(rig: &Rig) -> Result<()> {
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["No changes"])?;
    Ok(())
}

pub(crate) fn receipt(rig: &Rig) -> Result<String> {
    Ok(std::fs::read_to_string(rig.projects().join("demo/receipt.json"))?)
}
