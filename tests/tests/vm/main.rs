//! Real aarch64 machines: the whole job as an operator does it, and its bad days. Each trial forks a [`World`] that was
//! provisioned once, or makes servers of its own, and runs in a [lane](tests::lanes) beside another one.

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
use provisioner::api::model::Volume;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::Rig;
use tests::lanes::{self, Place, Subject};
pub(crate) use tests::server::{act, once_it_answers, run_async, server_id};

fn main() -> Result<()> {
    let apart = |name, run: fn() -> Result<()>| Subject { name, run, place: Place::Apart };
    // The longest first, so that the lanes end together; those that make worlds are long.
    let trials = vec![
        apart("vm_administrators_come_in_over_the_private_network_only", vpn::private_network),
        apart("vm_main_job", main_job::main_job),
        Subject { name: "vm_two_builds_give_the_same_bytes", run: builds::two_builds, place: Place::Here },
        apart("vm_power_cut_up_to_the_disk", power_cuts::up_to_the_disk),
        apart("vm_power_cut_up_to_the_images", power_cuts::up_to_the_images),
        apart("vm_power_cut_up_to_the_end", power_cuts::up_to_the_end),
        apart("vm_only_declared_ports_answer", packets::only_declared),
        apart("vm_a_server_rebuilt_in_place_keeps_its_data", rebuilt::rebuilt_in_place),
        apart("vm_three_reboots_opened_by_tang", reboots::opened_by_tang),
        apart("vm_three_reboots_opened_by_a_key_file", reboots::opened_by_a_key_file),
        apart("vm_three_reboots_opened_by_the_operator", reboots::opened_by_the_operator),
        apart("vm_keys_change_and_the_volume_grows", keys::keys_and_growth),
        apart("vm_worse_days_each_end_in_their_sentence", worse_days::each_ends_in_its_sentence),
        apart("vm_a_leased_server_is_removed_whatever_happens", leases::removed_whatever_happens),
        apart("vm_no_secret_lies_outside_the_volume", secrets::none_outside_the_volume),
        apart("vm_only_a_confirmed_closing_stays", packets::closings_nobody_confirms),
        apart("vm_ssh_is_shut_but_for_a_command_of_the_operators", ssh_door::shut_but_for_a_command),
        apart("vm_registry_unreachable_then_tampered_then_well", bad_days::registry_bad_days),
        apart("vm_a_volume_that_is_not_blank_is_refused_untouched", bad_days::volume_not_blank),
        apart("vm_an_edit_by_hand_is_shown_and_never_overwritten", drift::shown_and_never_overwritten),
        apart("vm_the_host_is_hardened", hardening::holds),
        apart(
            "vm_destroyed_is_gone_but_for_what_holds_data",
            main_job::destroyed_is_gone_but_for_what_holds_data,
        ),
    ];
    std::process::exit(lanes::run(trials, fetch)?.into())
}

/// What trials need of the world outside, or of more than a part of a core.
fn fetch() -> Result<()> {
    main_job::fetch_readers()?;
    hardening::ssh_audit()?;
    vpn::compile()
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

/// The file behind the rig's volume, in QEMU's own format.
pub(crate) fn volume_image(rig: &Rig) -> Result<PathBuf> {
    let id = run_async(async {
        let volumes: Vec<Volume> = rig.client()?.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok(volumes.first().context("there is no volume")?.id)
    })?;
    Ok(rehearsal::volume_file(&rig.cloud(), id))
}

/// A disk of a server that is switched off, byte for byte, as it would be read by whoever has it.
pub(crate) fn raw(image: &Path, to: &Path) -> Result<PathBuf> {
    let raw = to.join("disk.raw");
    let convert = Cmd::new("qemu-img").args(["convert", "-O", "raw"]).path(image).path(&raw);
    Local.run(&convert.timeout(Duration::from_secs(600)))?;
    Ok(raw)
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
