//! Bad days of a server in use, one after the other on one machine: each ends in its sentence and exit code, and the data
//! is there when it is over.

use super::{PROGRAMS, act, identity, run_async, server_id, sql, volume_image, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use provisioner::api::model::Volume;
use serde_json::json;
use std::time::{Duration, Instant};
use tests::{Ended, Rig, World, can_run};

/// What is tried on a bad day.
enum Tried<'a> {
    /// A line in the server's shell.
    There(&'a str),
    /// A verb, with its arguments after the project's name.
    Verb(&'a str, &'a [&'a str]),
}

/// A bad day: how it is brought about, what is then tried, how that must end, how it is put right.
struct Day<'a> {
    name: &'a str,
    bring: &'a str,
    tries: &'a [(Tried<'a>, i32, &'a [&'a str])],
    mend: &'a str,
}

const RUN: &str = "/usr/local/lib/sovereign/firstboot run";

/// Days while the server runs and its volume is open.
const OPEN: &[Day<'_>] = &[
    Day {
        name: "the clock is a year ahead",
        bring: "systemctl stop chrony systemd-timesyncd 2>/dev/null; date -s '+1 year'",
        tries: &[
            (Tried::Verb("verify", &[]), 1, &["days ahead of this machine's", "chronyc makestep"]),
            (Tried::There(RUN), 0, &["done"]),
        ],
        mend: SET_CLOCK,
    },
    Day {
        name: "the clock is a year behind",
        bring: "systemctl stop chrony systemd-timesyncd 2>/dev/null; date -s '-1 year'",
        tries: &[
            (Tried::Verb("verify", &[]), 1, &["days behind this machine's"]),
            (Tried::There(RUN), 0, &["done"]),
        ],
        mend: SET_CLOCK,
    },
    Day {
        name: "the root disk is full",
        // The last of it is written: ext4 keeps some blocks from fallocate. And written on and on: journald makes room.
        bring: "set -- $(stat -f -c '%f %S' /) && fallocate -l $(($1 * $2 - 134217728)) /var/tmp/fill && \
                ! dd if=/dev/zero of=/var/tmp/fill2 bs=1M status=none 2>/dev/null && systemd-run -q --collect --unit=fill \
                sh -c 'while sleep 1; do cat /dev/zero >> /var/tmp/fill2 2>/dev/null; done'",
        tries: &[
            (Tried::There(RUN), 1, &["MiB are free", "nothing was begun", "journalctl --vacuum-size"]),
            (Tried::Verb("verify", &[]), 1, &["the root disk: ", "MiB are free"]),
            (Tried::Verb("provision", &["--yes"]), 1, &["room on the root disk", "MiB are free"]),
        ],
        mend: "systemctl stop fill; rm -f /var/tmp/fill /var/tmp/fill2",
    },
    Day {
        name: "Docker is missing",
        bring: "d=$(command -v dockerd) && mv $d $d.away",
        tries: &[(Tried::There(RUN), 1, &["docker.io", "not installed", "apt-get install"])],
        mend: "d=$(command -v dockerd.away) && mv $d ${d%.away}",
    },
];

/// Filled in with this machine's time.
const SET_CLOCK: &str = "date -s @NOW && for s in chrony systemd-timesyncd; do systemctl is-enabled -q $s 2>/dev/null && \
                         systemctl start $s; done; true";

/// Every bad day in turn.
pub(crate) fn each_ends_in_its_sentence() -> Result<()> {
    if !can_run("vm_worse_days", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let start = Instant::now();
    sql(
        &rig,
        "demo",
        "DROP TABLE IF EXISTS worse; CREATE TABLE worse (what text); INSERT INTO worse VALUES ('kept')",
    )?;
    let before = luks_uuid(&rig)?;
    a_recipient_nobody_opens(&rig)?;
    for day in OPEN {
        live(&rig, day)?;
    }
    the_network_goes_during_a_pull(&rig)?;
    the_volume_is_taken_away(&rig)?;
    while_locked(&rig)?;
    ensure!(sql(&rig, "demo", "SELECT what FROM worse")?.trim() == "kept", "the row is gone");
    ensure!(luks_uuid(&rig)? == before, "the volume is another");
    sql(&rig, "demo", "DROP TABLE worse")?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    println!("all of it: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn live(rig: &Rig, day: &Day<'_>) -> Result<()> {
    let start = Instant::now();
    let there = |line: &str| -> Result<Ended> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
        rig.xtask(&["ssh", "--project", "demo", "--", &line.replace("@NOW", &format!("@{now}"))])
    };
    there(day.bring)?.expect(0).with_context(|| format!("bringing about that {}", day.name))?;
    for (tried, code, words) in day.tries {
        let ended = match tried {
            Tried::There(line) => there(line)?,
            Tried::Verb(verb, rest) => rig.xtask(&[&[*verb, "--project", "demo"], *rest].concat())?,
        };
        says(&ended.expect(*code)?, words).with_context(|| format!("on the day {}", day.name))?;
    }
    there(day.mend)?.expect(0).with_context(|| format!("putting right that {}", day.name))?;
    println!("{}: {:.0} s", day.name, start.elapsed().as_secs_f64());
    Ok(())
}

/// Whether it said all of this, on stdout or stderr.
fn says(ended: &Ended, words: &[&str]) -> Result<()> {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let missing = words.iter().find(|word| !said.contains(**word));
    missing.map_or(Ok(()), |word| anyhow::bail!("expected {word:?} in:\n{said}"))
}

fn luks_uuid(rig: &Rig) -> Result<String> {
    let id = volume_id(rig)?;
    let line = format!("cryptsetup luksUUID /dev/disk/by-id/scsi-0HC_Volume_{id}");
    Ok(rig.xtask(&["ssh", "--project", "demo", "--", &line])?.expect(0)?.stdout)
}

fn volume_id(rig: &Rig) -> Result<u64> {
    run_async(async {
        let volumes: Vec<Volume> = rig.client()?.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok(volumes.first().context("there is no volume")?.id)
    })
}

/// An escrow to a key nobody has is refused before anything is made.
fn a_recipient_nobody_opens(rig: &Rig) -> Result<()> {
    let recipient = escrow::Identity::generate().recipients()[0].to_string();
    rig.project("nobody", &format!("[cloud]\nrehearsal = true\n[escrow]\nrecipients = [\"{recipient}\"]\n"))?;
    rig.xtask(&["provision", "--project", "nobody", "--yes"])?
        .expect(4)?
        .says(&["nobody has shown yet", "--answer"])?;
    rig.xtask(&["init", "--project", "nobody", "--answer", "guessed"])?
        .expect(4)?
        .says(&["nobody has shown yet"])?;
    Ok(std::fs::remove_dir_all(rig.projects().join("nobody"))?)
}

/// Nothing gets through to the registry any more in the middle of a pull; then it does again.
fn the_network_goes_during_a_pull(rig: &Rig) -> Result<()> {
    let start = Instant::now();
    let there = |line: &str| rig.xtask(&["ssh", "--project", "demo", "--", line]);
    let forget = "systemctl stop sovereign-stack@postgres && docker container prune --force && \
                  docker image rm --force $(docker image ls --all --quiet) && test -z \"$(docker image ls --all --quiet)\"";
    there(forget)?.expect(0)?;
    let port = "port=$(sed -n 's/.*\"address\": \".*:\\([0-9]*\\)\".*/\\1/p' /etc/sovereign/node.json | head -n 1); test -n \"$port\"";
    let rule =
        |what: &str| format!("iptables {what} OUTPUT -p tcp --dport $port -j REJECT --reject-with tcp-reset");
    let line = format!(
        "{port} && (until pgrep -x docker >/dev/null; do sleep 0.1; done; {}) & {port}; {RUN}; code=$?; {}; exit $code",
        rule("-I"),
        rule("-D"),
    );
    let gone = there(&line)?;
    let took = start.elapsed();
    let again = there(RUN)?;
    says(&gone.expect(1)?, &["the registry cannot be reached", "try again"])?;
    says(&again.expect(0)?, &["done"])?;
    println!("the network is gone during a pull: said after {:.0} s", took.as_secs_f64());
    Ok(())
}

/// The volume is detached while it is open and in use; the way back is the one the sentence names.
fn the_volume_is_taken_away(rig: &Rig) -> Result<()> {
    let start = Instant::now();
    let id = volume_id(rig)?;
    sql(rig, "demo", "CHECKPOINT")?;
    volume_action(rig, id, "detach", &json!({}))?;
    // The server's kernel hears of it a moment later.
    let gone = "for i in $(seq 150); do test -e /dev/disk/by-id/scsi-0HC_Volume_* || exit 0; sleep 0.2; done; exit 1";
    rig.xtask(&["ssh", "--project", "demo", "--", gone])?.expect(0)?;
    rig.xtask(&["status", "--project", "demo"])?
        .expect(4)
        .and_then(|ended| says(&ended, &["demo: failed", TAKEN]))?;
    let run = rig.xtask(&["ssh", "--project", "demo", "--", RUN])?;
    says(&run.expect(1)?, &[TAKEN, "cargo xtask unlock"])?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(1).and_then(|ended| says(&ended, &[TAKEN]))?;
    rig.xtask(&["provision", "--project", "demo", "--plan"])?.expect(3)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(1)?.says(&[TAKEN])?;
    println!(
        "the volume is taken away while open: said and attached again after {:.0} s",
        start.elapsed().as_secs_f64()
    );
    act(rig, "reset")?;
    wait_until_locked(rig)
}

const TAKEN: &str = "taken away while it was open";

/// A wrong key, an identity the escrow is not sealed to, and a link that leads to other disks: refused, each by its
/// name, with the volume shut.
fn while_locked(rig: &Rig) -> Result<()> {
    let unlock = |identity: &str| rig.xtask(&["unlock", "--project", "demo", "--identity", identity]);
    let there = |line: &str| rig.xtask(&["ssh", "--project", "demo", "--", line]);
    let written = || Ok::<_, anyhow::Error>(volume_image(rig)?.metadata()?.modified()?);
    let before = written()?;
    let wrong = there("echo not-the-key | /usr/local/lib/sovereign/firstboot unlock")?;
    says(&wrong.expect(4)?, &["this key does not open it", "newest"])?;
    let stranger = rig.path().join("stranger.txt");
    host::files::write(&stranger, escrow::Identity::generate().to_file_contents().expose(), 0o600)?;
    unlock(&stranger.to_string_lossy())?.expect(1)?.says(&["not sealed to this identity"])?;

    let id = volume_id(rig)?;
    let link = format!("/dev/disk/by-id/scsi-0HC_Volume_{id}");
    let right = there(&format!("readlink {link}"))?.expect(0)?.stdout;
    let other = attach_another(rig)?;
    let mut tried = Ok(());
    for target in [format!("$(readlink -f /dev/disk/by-id/scsi-0HC_Volume_{other})"), "/dev/vda".into()] {
        there(&format!("udevadm settle; ln -sfn {target} {link}"))?.expect(0)?;
        tried = tried
            .and(unlock(&identity(rig, "demo"))?.expect(1)?.says(&["serial", &id.to_string()]).map(drop));
        there("test ! -e /dev/mapper/sovereign")?.expect(0)?;
    }
    there(&format!("ln -sfn {} {link}", right.trim()))?.expect(0)?;
    remove_another(rig, other)?;
    tried?;
    ensure!(written()? == before, "the volume was written to");
    // As a connection that broke would have left it, were it not compared with what was sent.
    let halve = "f=/usr/local/lib/sovereign/firstboot; head -c $(($(stat -c %s $f) / 2)) $f > $f.half && \
                 chmod --reference=$f $f.half && mv $f.half $f";
    there(halve)?.expect(0)?;
    let unlocked = unlock(&identity(rig, "demo"))?.expect(0)?.says(&["what is missing or damaged"])?;
    println!("unlocked after all that: {:.0} s", unlocked.took.as_secs_f64());
    Ok(())
}

/// A second volume on the same server, as somebody else's project might have one.
fn attach_another(rig: &Rig) -> Result<u64> {
    let server = server_id(rig)?;
    run_async(async {
        let client = rig.client()?;
        let wanted = json!({ "name": "another", "size": 10, "server": server, "automount": false });
        let answer = client.create("making another volume", "/volumes", &wanted).await?;
        client.finish("making another volume", &answer, Duration::from_secs(60)).await?;
        let volumes: Vec<Volume> = client.list("listing volumes", "/volumes", "volumes", &[]).await?;
        Ok(volumes.iter().find(|volume| volume.name == "another").context("it is not there")?.id)
    })
}

fn remove_another(rig: &Rig, id: u64) -> Result<()> {
    volume_action(rig, id, "detach", &json!({}))?;
    run_async(async {
        let client = rig.client()?;
        client.delete("removing the other volume", &format!("/volumes/{id}")).await?;
        Ok(())
    })
}

fn volume_action(rig: &Rig, id: u64, action: &str, body: &serde_json::Value) -> Result<()> {
    run_async(async {
        let client = rig.client()?;
        let answer = client.create(action, &format!("/volumes/{id}/actions/{action}"), body).await?;
        Ok(client.finish(action, &answer, Duration::from_secs(120)).await?)
    })
}
