//! The whole job, as README has it, and everything an operator does afterwards.

use super::{
    PROGRAMS, act, again_changes_nothing, identity, keep_a_row, raw, receipt, sql, volume_image,
    wait_until_locked,
};
use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use tests::{Rig, World, can_run};

pub(crate) fn main_job() -> Result<()> {
    if !can_run("vm_main_job", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    steps_ran_side_by_side(&rig)?;
    systemd_was_reloaded_seldom(&rig)?;
    again_changes_nothing(&rig)?;
    the_escrow_is_whole_and_opens(&rig)?;
    exit_codes_pass_through(&rig)?;
    another_host_key_is_refused(&rig)?;
    user_data_is_small_and_holds_no_secret(&rig)?;
    nothing_to_do_is_quick_on_the_machine(&rig)?;

    keep_a_row(&rig, "still-here-after-the-reset")?;
    a_reset_locks_and_unlock_brings_it_back(&rig)?;
    the_volume_opens_on_this_side(&rig)
}

fn the_escrow_is_whole_and_opens(rig: &Rig) -> Result<()> {
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    let shown = rig.xtask(&["escrow", "show", "--project", "demo"])?.expect(0)?;
    for entry in ["secrets/luks-key", "luks-header.img", "postgres"] {
        ensure!(shown.stdout.contains(entry), "{entry} is not in the escrow:\n{}", shown.stdout);
    }
    let bundle = bundle(rig)?;
    plain_age_and_tar_open_it(rig, &bundle)?;
    let whole = std::fs::read(&bundle)?;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&bundle, &flipped)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(1)?;
    std::fs::write(&bundle, &whole)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}

/// On the day when none of this software can be had.
fn plain_age_and_tar_open_it(rig: &Rig, bundle: &Path) -> Result<()> {
    use host::{Cmd, Host as _, Local};
    if !can_run("vm_main_job with age", &["age", "tar"])? {
        return Ok(());
    }
    let opened = Local.run(&Cmd::new("age").args(["-d", "-i", &identity(rig, "demo")]).path(bundle))?;
    let listed = Local.run(&Cmd::new("tar").arg("-t").stdin(opened.stdout))?.text();
    for entry in ["secrets/luks-key", "luks-header.img", "README.txt"] {
        ensure!(listed.lines().any(|line| line == entry), "{entry} is not in the tar:\n{listed}");
    }
    Ok(())
}

fn bundle(rig: &Rig) -> Result<PathBuf> {
    let escrow = rig.projects().join("demo/escrow");
    let current = std::fs::read_to_string(escrow.join("current"))?;
    Ok(escrow.join(current.trim()).join("bundle.age"))
}

fn exit_codes_pass_through(rig: &Rig) -> Result<()> {
    rig.xtask(&["ssh", "--project", "demo", "--", "exit 7"])?.expect(7)?;
    let id = rig.xtask(&["ssh", "--project", "demo", "--", "id -u"])?.expect(0)?;
    ensure!(id.stdout.trim() == "0", "ssh is not root: {}", id.stdout);
    Ok(())
}

fn another_host_key_is_refused(rig: &Rig) -> Result<()> {
    let path = rig.projects().join("demo/known_hosts");
    let pinned = std::fs::read_to_string(&path)?;
    let alias = pinned.split(' ').next().context("nothing is pinned")?;
    let stranger = rig.path().join("stranger");
    let keygen =
        host::Cmd::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).path(&stranger);
    host::Host::run(&host::Local, &keygen)?;
    let key = std::fs::read_to_string(stranger.with_extension("pub"))?;
    std::fs::write(&path, format!("{alias} {key}"))?;
    rig.xtask(&["ssh", "--project", "demo", "--", "true"])?
        .expect(255)?
        .says(&["Host key verification failed"])?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?
        .expect(1)?
        .says(&["another host key", "nothing was sent"])?;
    Ok(std::fs::write(&path, pinned)?)
}

fn user_data_is_small_and_holds_no_secret(rig: &Rig) -> Result<()> {
    let data = rig
        .xtask(&["ssh", "--project", "demo", "--", "curl -fsS http://169.254.169.254/hetzner/v1/userdata"])?
        .expect(0)?;
    println!("user-data: {} bytes", data.stdout.len());
    ensure!(data.stdout.len() <= 8192, "user-data has {} bytes", data.stdout.len());
    let opened = rig.path().join("opened");
    rig.xtask(&[
        "escrow",
        "open",
        "--project",
        "demo",
        "--identity",
        &identity(rig, "demo"),
        "--to",
        &opened.to_string_lossy(),
    ])?
    .expect(0)?;
    let secrets: Vec<_> = std::fs::read_dir(opened.join("secrets"))?.collect::<Result<_, _>>()?;
    ensure!(secrets.len() >= 2, "the escrow holds {} secrets", secrets.len());
    for secret in secrets {
        let value = std::fs::read_to_string(secret.path())?;
        ensure!(!data.stdout.contains(value.trim()), "{} is in the user-data", secret.path().display());
        ensure!(!receipt(rig)?.contains(value.trim()), "{} is in the receipt", secret.path().display());
    }
    Ok(())
}

/// The door was closed while the disk's keys were derived, the escrow handed over while the engine started, and the host
/// hardened while the stacks started.
fn steps_ran_side_by_side(rig: &Rig) -> Result<()> {
    let timeline = std::fs::read(rig.projects().join("demo/timeline.json"))?;
    let timeline: serde_json::Value = serde_json::from_slice(&timeline)?;
    let steps = timeline["steps"].as_array().context("the timeline has no steps")?;
    let span = |name: &str| -> Result<(u64, u64)> {
        let step = steps.iter().find(|step| step["step"] == name).context("a step is not in the timeline")?;
        let at = |key: &str| step[key].as_u64().context("a step without its time");
        Ok((at("began")?, at("began")? + at("millis")?))
    };
    for (one, other) in [("firewall", "disk"), ("escrow", "docker"), ("harden", "stacks")] {
        let ((began, ended), (other_began, other_ended)) = (span(one)?, span(other)?);
        ensure!(began < other_ended && other_began < ended, "{one} and {other} ran one after the other");
    }
    Ok(())
}

/// Once for the units, once for the hardening, perhaps once for a stack: while systemd reads every unit anew it starts none.
fn systemd_was_reloaded_seldom(rig: &Rig) -> Result<()> {
    let asked = "journalctl --boot --identifier systemd --output cat --grep 'Reload requested' | wc -l";
    let reloads = rig.xtask(&["ssh", "--project", "demo", "--", asked])?.expect(0)?.stdout;
    ensure!(reloads.trim().parse::<u8>()? <= 3, "systemd was reloaded {} times", reloads.trim());
    Ok(())
}

fn nothing_to_do_is_quick_on_the_machine(rig: &Rig) -> Result<()> {
    let line = "start=$(date +%s%N); /usr/local/lib/sovereign/firstboot run >/dev/null; code=$?; echo $(( ($(date +%s%N) - start) / 1000000 )); exit $code";
    let ran = rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?;
    println!("firstboot again, nothing to do: {} ms", ran.stdout.trim());
    Ok(())
}

fn a_reset_locks_and_unlock_brings_it_back(rig: &Rig) -> Result<()> {
    let host_key = std::fs::read_to_string(rig.projects().join("demo/known_hosts"))?;
    act(rig, "reset")?;
    wait_until_locked(rig)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(4)?.says(&["locked", "unlock"])?;
    let stranger = rig.path().join("stranger.txt");
    host::files::write(&stranger, escrow::Identity::generate().to_file_contents().expose(), 0o600)?;
    rig.xtask(&["unlock", "--project", "demo", "--identity", &stranger.to_string_lossy()])?
        .expect(1)?
        .says(&["not sealed to this identity"])?;
    let unlocked =
        rig.xtask(&["unlock", "--project", "demo", "--identity", &identity(rig, "demo")])?.expect(0)?;
    println!("unlock: {:.1} s", unlocked.took.as_secs_f64());
    ensure!(
        sql(rig, "demo", "SELECT what FROM kept")?.trim() == "still-here-after-the-reset",
        "the row is gone"
    );
    ensure!(
        std::fs::read_to_string(rig.projects().join("demo/known_hosts"))? == host_key,
        "the host key changed"
    );
    rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    Ok(())
}

/// What reads LUKS2 and ext4 in Python.
const READERS: [&str; 4] = ["dissect.fve", "dissect.extfs", "argon2-cffi", "pycryptodome"];

/// Installs the readers, which cannot be fetched from where a trial runs.
pub(crate) fn fetch_readers() -> Result<()> {
    tests::python_environment(&READERS).map(drop)
}

/// Opens the volume's image with the escrowed key on this side, by an implementation of LUKS2 that is not cryptsetup:
/// this machine's kernel may have no dm-crypt.
fn the_volume_opens_on_this_side(rig: &Rig) -> Result<()> {
    let key = rig
        .xtask(&[
            "escrow",
            "open",
            "--project",
            "demo",
            "--identity",
            &identity(rig, "demo"),
            "--show",
            "secrets/luks-key",
        ])?
        .expect(0)?;
    act(rig, "poweroff")?;
    let volume = raw(&volume_image(rig)?, rig.path())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open_volume.py");
    let found = tests::python(
        &READERS,
        &script,
        &[&volume.to_string_lossy(), "still-here-after-the-reset"],
        key.stdout.trim(),
    )?;
    println!("the volume's image, opened on this side: {}", found.trim());
    Ok(())
}

pub(crate) fn destroyed_is_gone_but_for_what_holds_data() -> Result<()> {
    if !can_run("vm_destroyed", &PROGRAMS)? {
        return Ok(());
    }
    let rig = &World::Ready.fork()?;
    rig.xtask(&["destroy", "--project", "demo"])?.expect(4)?.says(&["nothing was changed"])?;
    rig.xtask(&["destroy", "--project", "demo", "--yes"])?.expect(0)?.says(&["stays volume demo-data"])?;
    let status = rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    ensure!(status.stdout.contains("demo: absent"), "{}", status.stdout);
    ensure!(volume_image(rig)?.exists(), "the volume went with the server");
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}
