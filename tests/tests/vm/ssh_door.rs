//! With `[ssh] from = []` the cloud's firewall lets nobody in but while a command of the operator's works: on a server in
//! use, on a locked one, and after a command that was killed.

use super::{PROGRAMS, act, address, identity, keep_a_row, sql, wait_until_locked};
use anyhow::{Context as _, Result, ensure};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tests::{Rig, World, can_run};

const SSH: u16 = 2222;
const ROW: &str = "there-behind-a-shut-door";
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) fn shut_but_for_a_command() -> Result<()> {
    if !can_run("vm_ssh_is_shut", &PROGRAMS)? {
        return Ok(());
    }
    let rig = &World::Ready.fork()?;
    let start = Instant::now();
    keep_a_row(rig, ROW)?;
    let address = address(rig)?;
    ensure!(answers(address)?, "ssh does not answer where everybody is let in");
    let file = rig.projects().join("demo/project.toml");
    let text = std::fs::read_to_string(&file)?;
    let shut = text.replace("[ssh]\n", "[ssh]\nfrom = []\n");
    ensure!(shut != text, "the project has no [ssh]");
    std::fs::write(&file, shut)?;
    behind_the_door(rig, address)?;
    rig.demo("demo")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    ensure!(answers(address)?, "ssh does not answer where everybody is let in again");
    println!("behind a shut door: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn behind_the_door(rig: &Rig, address: Ipv4Addr) -> Result<()> {
    let stays_shut = |after: &str| -> Result<()> {
        ensure!(!answers(address)?, "ssh answers after {after}");
        Ok(())
    };
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?.says(&["confirming from outside"])?;
    stays_shut("provision")?;
    rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    stays_shut("status")?;
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    stays_shut("verify")?;

    let works = ["ssh", "--project", "demo", "--", "echo at work >&2; sleep 10"];
    let mut open = Ok(false);
    let (_, killed) = rig.run_until(&works, |line| {
        let at_work = line == "at work";
        if at_work {
            open = answers(address);
        }
        at_work
    })?;
    ensure!(killed && open?, "ssh does not answer while a command works");
    ensure!(answers(address)?, "somebody shut the door after a command that was killed");
    rig.xtask(&["status", "--project", "demo"])?.expect(0)?;
    stays_shut("the command after one that was killed")?;

    act(rig, "reset")?;
    wait_until_locked(rig)?;
    stays_shut("looking at a locked server")?;
    let unlock = |identity: &str| rig.xtask(&["unlock", "--project", "demo", "--identity", identity]);
    let stranger = rig.path().join("no-such-identity.txt");
    host::files::write(&stranger, escrow::Identity::generate().to_file_contents().expose(), 0o600)?;
    unlock(&stranger.to_string_lossy())?.expect(1)?;
    stays_shut("an unlock that failed")?;
    let unlocked = unlock(&identity(rig, "demo"))?.expect(0)?;
    println!("  unlock through the door: {:.1} s", unlocked.took.as_secs_f64());
    stays_shut("unlock")?;
    let row = sql(rig, "demo", "SELECT what FROM kept")?;
    ensure!(row.trim() == ROW, "the row is {row:?}");
    stays_shut("ssh")
}

/// Whether sshd greets whoever comes.
fn answers(address: Ipv4Addr) -> Result<bool> {
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from((address, SSH)), PATIENCE) else {
        return Ok(false);
    };
    stream.set_read_timeout(Some(PATIENCE)).context("limiting the wait")?;
    let mut greeting = [0; 4];
    Ok(stream.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-")
}
