//! Real aarch64 machines: the whole job as an operator does it, and its bad days. One after the other, since a
//! machine is as much as two cores bear.

mod rebuilt;

use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Arguments;
use provisioner::api::model::{Server, Volume};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tests::{Rig, can_run, sha256_file, trial};

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = vec![
        trial("vm_main_job", main_job),
        trial("vm_every_step_cut_off_and_the_operator_killed", every_step_cut_off),
        trial("vm_a_volume_that_is_not_blank_is_refused_untouched", volume_not_blank),
        trial("vm_a_server_rebuilt_in_place_keeps_its_data", rebuilt::rebuilt_in_place),
        trial("vm_two_builds_give_the_same_bytes", two_builds),
        trial("vm_registry_unreachable_then_tampered_then_well", registry_bad_days),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

const PROGRAMS: [&str; 3] = ["qemu-system-aarch64", "qemu-img", "docker-registry"];

fn identity(rig: &Rig, name: &str) -> String {
    rig.projects().join(name).join("offline-identity.txt").to_string_lossy().into_owned()
}

/// Runs a line of SQL on the server's database.
fn sql(rig: &Rig, name: &str, line: &str) -> Result<String> {
    let command =
        format!("docker exec -i postgres-postgres-1 psql -U postgres -At -v ON_ERROR_STOP=1 -c \"{line}\"");
    Ok(rig.xtask(&["ssh", "--project", name, "--", &command])?.expect(0)?.stdout)
}

fn main_job() -> Result<()> {
    if !can_run("vm_main_job", &PROGRAMS)? {
        return Ok(());
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let first = rig
        .xtask(&["provision", "--project", "demo", "--yes"])?
        .expect(0)?
        .says(&["is ready at", "first boot: disk"])?;
    println!("provision: {:.1} s", first.took.as_secs_f64());

    again_changes_nothing(&rig)?;
    the_escrow_is_whole_and_opens(&rig)?;
    exit_codes_pass_through(&rig)?;
    another_host_key_is_refused(&rig)?;
    user_data_is_small_and_holds_no_secret(&rig)?;
    nothing_to_do_is_quick_on_the_machine(&rig)?;

    sql(
        &rig,
        "demo",
        "CREATE TABLE kept (what text); INSERT INTO kept VALUES ('still-here-after-the-reset'); CHECKPOINT",
    )?;
    a_reset_locks_and_unlock_brings_it_back(&rig)?;
    the_volume_opens_on_this_side(&rig)?;
    destroyed_is_gone_but_for_what_holds_data(&rig)
}

fn again_changes_nothing(rig: &Rig) -> Result<()> {
    let before = receipt(rig)?;
    let again = rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["No changes"])?;
    println!("provision again: {:.2} s", again.took.as_secs_f64());
    ensure!(receipt(rig)? == before, "a second run changed the receipt");
    rig.xtask(&["provision", "--project", "demo", "--plan"])?.expect(0)?;
    rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}

fn receipt(rig: &Rig) -> Result<String> {
    Ok(std::fs::read_to_string(rig.projects().join("demo/receipt.json"))?)
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

fn nothing_to_do_is_quick_on_the_machine(rig: &Rig) -> Result<()> {
    let line = "start=$(date +%s%N); /usr/local/lib/sovereign/firstboot run >/dev/null; code=$?; echo $(( ($(date +%s%N) - start) / 1000000 )); exit $code";
    let ran = rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?;
    println!("firstboot again, nothing to do: {} ms", ran.stdout.trim());
    Ok(())
}

fn a_reset_locks_and_unlock_brings_it_back(rig: &Rig) -> Result<()> {
    let host_key = std::fs::read_to_string(rig.projects().join("demo/known_hosts"))?;
    act(rig, "reset")?;
    wait_for(rig, "locked", 4)?;
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

/// Asks the cloud for a power action on the rig's server, and waits for it.
fn act(rig: &Rig, action: &str) -> Result<()> {
    run_async(async {
        let client = rig.client()?;
        let servers: Vec<Server> = client.list("listing servers", "/servers", "servers", &[]).await?;
        let server = servers.first().context("there is no server")?;
        let path = format!("/servers/{}/actions/{action}", server.id);
        let answer = client.create(action, &path, &serde_json::json!({})).await?;
        Ok(client.finish(action, &answer, Duration::from_secs(120)).await?)
    })
}

fn run_async<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

fn wait_for(rig: &Rig, state: &str, code: i32) -> Result<()> {
    for _ in 0..60 {
        let status = rig.xtask(&["status", "--project", "demo"])?;
        if status.stdout.starts_with(&format!("demo: {state}")) {
            status.expect(code)?;
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(3));
    }
    anyhow::bail!("the server did not become {state}")
}

/// Opens the volume's image with the escrowed key on this side, by an implementation of LUKS2 that is not cryptsetup:
/// this machine's kernel may have no dm-crypt.
fn the_volume_opens_on_this_side(rig: &Rig) -> Result<()> {
    let volume = volume_image(rig)?;
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
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/open_volume.py");
    let found = tests::python(
        &["dissect.fve", "dissect.extfs", "argon2-cffi", "pycryptodome"],
        &script,
        &[&volume.to_string_lossy(), "still-here-after-the-reset"],
        key.stdout.trim(),
    )?;
    println!("the volume's image, opened on this side: {}", found.trim());
    act(rig, "poweron")?;
    Ok(())
}

fn volume_image(rig: &Rig) -> Result<PathBuf> {
    let id = run_async(async {
        let volumes: Vec<Volume> = rig.client()?.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok(volumes.first().context("there is no volume")?.id)
    })?;
    Ok(rehearsal::volume_file(&rig.cloud(), id))
}

fn destroyed_is_gone_but_for_what_holds_data(rig: &Rig) -> Result<()> {
    rig.xtask(&["destroy", "--project", "demo"])?.expect(4)?.says(&["nothing was changed"])?;
    rig.xtask(&["destroy", "--project", "demo", "--yes"])?.expect(0)?.says(&["stays volume demo-data"])?;
    let status = rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    ensure!(status.stdout.contains("demo: absent"), "{}", status.stdout);
    ensure!(volume_image(rig)?.exists(), "the volume went with the server");
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}

/// Kills the operator's command and cuts the server's power at the start of every step in turn; the command run
/// again goes on and finishes, with one server, one volume and one escrow.
fn every_step_cut_off() -> Result<()> {
    if !can_run("vm_every_step_cut_off", &PROGRAMS)? {
        return Ok(());
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let mut sealed = None;
    for step in spec::StepName::ALL {
        let begins = format!("... first boot: {step}");
        let (ended, killed) =
            rig.run_until(&["provision", "--project", "demo", "--yes"], |line| line.starts_with(&begins))?;
        println!("cut at {step}: {}", if killed { "killed" } else { "the run had ended" });
        if !killed {
            ended.expect(0)?;
            continue;
        }
        act(&rig, "poweroff")?;
        let escrow = std::fs::read_to_string(rig.projects().join("demo/escrow/current")).ok();
        ensure!(sealed.is_none() || sealed == escrow, "an acknowledged escrow was replaced at {step}");
        sealed = escrow;
    }
    let last = rig.xtask(&["provision", "--project", "demo", "--yes"])?;
    // Cut off in the very last step, the key that opens the volume by itself may be gone already: then it is locked.
    if last.code == Some(4) {
        rig.xtask(&["unlock", "--project", "demo", "--identity", &identity(&rig, "demo")])?.expect(0)?;
        rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    } else {
        last.expect(0)?;
    }
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    let (servers, volumes) = run_async(async {
        let client = rig.client()?;
        let servers: Vec<Server> = client.list("listing servers", "/servers", "servers", &[]).await?;
        let volumes: Vec<Volume> = client.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok((servers.len(), volumes.len()))
    })?;
    ensure!((servers, volumes) == (1, 1), "{servers} servers, {volumes} volumes");
    Ok(())
}

/// A volume that turns out to carry a file system: firstboot names it and leaves every byte.
fn volume_not_blank() -> Result<()> {
    if !can_run("vm_volume_not_blank", &PROGRAMS)? {
        return Ok(());
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    // Another program sits on the server's ssh port, on every address: the cloud says who and what to do.
    let squatter = std::net::TcpListener::bind("0.0.0.0:2222").context("taking port 2222")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["2222", "process"])?;
    drop(squatter);
    // Long before the disk step, somebody's data appears on the volume.
    let (_, killed) = rig
        .run_until(&["provision", "--project", "demo", "--yes"], |line| line.starts_with("... connecting"))?;
    ensure!(killed, "the run ended before it connected");
    let volume = volume_image(&rig)?;
    let mkfs = host::Cmd::new("mkfs.ext4").args(["-q", "-F", "-L", "precious"]).path(&volume);
    host::Host::run(&host::Local, &mkfs)?;
    let before = sha256_file(&volume)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["disk", "ext4"])?;
    act(&rig, "poweroff")?;
    ensure!(sha256_file(&volume)? == before, "the volume was written to");
    Ok(())
}

/// firstboot, the disk image and the container image, built in two caches that know nothing of each other.
fn two_builds() -> Result<()> {
    if !can_run("vm_two_builds", &PROGRAMS)? {
        return Ok(());
    }
    let digests = |ended: tests::Ended| -> Vec<String> {
        ended
            .stdout
            .lines()
            .filter_map(|line| line.rsplit_once(' ').map(|(digest, _)| digest.to_owned()))
            .collect()
    };
    let one = digests(Rig::new()?.xtask(&["images", "build"])?.expect(0)?);
    let other = Rig::new()?;
    let cache = other.path().join("cache");
    let other = other.with_cache(&cache);
    let two = digests(other.xtask(&["images", "build"])?.expect(0)?);
    ensure!(one.len() >= 5 && one == two, "{one:#?} is not {two:#?}");
    one.iter().for_each(|digest| println!("the same twice: {digest}"));
    let list = host::Host::run(&host::Local, &host::Cmd::new("file").path(firstboot_in(&cache)?))?.text();
    ensure!(list.contains("ARM aarch64") && list.contains("static"), "{list}");
    Ok(())
}

fn firstboot_in(cache: &Path) -> Result<PathBuf> {
    let built = cache.join("firstboot/aarch64");
    for entry in std::fs::read_dir(&built).with_context(|| format!("reading {}", built.display()))? {
        let path = entry?.path().join("firstboot");
        if path.is_file() {
            return Ok(path);
        }
    }
    anyhow::bail!("no firstboot below {}", built.display())
}

/// The registry is down, then serves other bytes than the digest says, then is well again.
fn registry_bad_days() -> Result<()> {
    if !can_run("vm_registry_bad_days", &PROGRAMS)? {
        return Ok(());
    }
    let rig = Rig::new()?;
    rig.demo("demo")?;
    let registry = rig.path().join("state/registry");
    let mut stopped = Ok(());
    let gone = |line: &str| {
        if line.starts_with("... first boot: docker") {
            stopped = rig.registry().stop();
        }
        false
    };
    let (ended, _) = rig.run_until(&["provision", "--project", "demo", "--yes"], gone)?;
    stopped?;
    ended.expect(1)?.says(&["stacks", "the registry cannot be reached", "try again"])?;

    let layer = largest_file(&registry.join("storage"))?;
    let whole = layer.with_extension("whole");
    std::fs::rename(&layer, &whole)?;
    let mut bytes = std::fs::read(&whole)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&layer, bytes)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&["stacks", "digest"])?;

    std::fs::rename(&whole, &layer)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["is ready at"])?;
    Ok(())
}

fn largest_file(dir: &Path) -> Result<PathBuf> {
    let mut largest = (0, PathBuf::new());
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.len() > largest.0 {
                largest = (meta.len(), entry.path());
            }
        }
    }
    Ok(largest.1)
}
