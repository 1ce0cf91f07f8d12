//! A server whose root disk is overwritten in place.

use super::{PROGRAMS, again_changes_nothing, identity, keep_a_row, run_async, sql};
use anyhow::{Context as _, Result, ensure};
use provisioner::api::model::Server;
use tests::{Rig, World, can_run};

/// The root disk is overwritten, twice: once as the manual says it, once with the operator killed right after it, so
/// that `unlock` finds a server nobody has told anything. The row, the password and the addresses stay.
pub(crate) fn rebuilt_in_place() -> Result<()> {
    if !can_run("vm_a_server_rebuilt_in_place", &PROGRAMS)? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let unlock = ["unlock", "--project", "demo", "--identity", &identity(&rig, "demo")];
    keep_a_row(&rig, "still-here")?;
    let (before, first_key) = (server(&rig)?, pinned(&rig)?);

    let rebuild = ["provision", "--project", "demo", "--rebuild", "--yes"];
    let rebuilt = rig.xtask(&rebuild)?.expect(4)?.says(&["cargo xtask unlock --project demo"])?;
    println!("rebuild until it is locked: {:.1} s", rebuilt.took.as_secs_f64());
    rig.xtask(&["status", "--project", "demo"])?.expect(4)?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(4)?.says(&["locked"])?;
    let unlocked = rig.xtask(&unlock)?.expect(0)?.says(&["first boot: escrow", "is ready at"])?;
    println!("unlock and the rest of first boot: {:.1} s", unlocked.took.as_secs_f64());
    the_data_stayed(&rig, &before)?;
    let second_key = pinned(&rig)?;
    ensure!(second_key != first_key, "the host key of the overwritten disk is still pinned");

    let (_, killed) = rig.run_until(&rebuild, |line| line.starts_with("... connecting"))?;
    ensure!(killed, "the run ended before it connected");
    // Killed a moment earlier, it leaves the overwritten disk's key pinned beside the throw-away one.
    let throw_away = pinned(&rig)?;
    std::fs::write(rig.projects().join("demo/known_hosts"), format!("{second_key}{throw_away}"))?;
    let unlocked = rig.xtask(&unlock)?.expect(0)?.says(&["handed over", "is ready at"])?;
    println!("unlock of a server that was told nothing: {:.1} s", unlocked.took.as_secs_f64());
    the_data_stayed(&rig, &before)?;
    let last_key = pinned(&rig)?;
    ensure!(last_key != second_key && last_key != throw_away, "not the lasting key is pinned: {last_key}");
    Ok(())
}

/// The same server at the same addresses with the same row, as it must be, with nothing left to do.
fn the_data_stayed(rig: &Rig, before: &str) -> Result<()> {
    ensure!(sql(rig, "demo", "SELECT what FROM kept")?.trim() == "still-here", "the row is gone");
    // Over the network the database asks for the password it was made with.
    let login = "docker exec postgres-postgres-1 sh -c 'PGPASSWORD=$(cat /run/secrets/postgres-superuser-password) \
                 psql -h 127.0.0.1 -U postgres -At -c \"SELECT what FROM kept\"'";
    let login = rig.xtask(&["ssh", "--project", "demo", "--", login])?.expect(0)?;
    ensure!(login.stdout.trim() == "still-here", "the password is another: {}", login.stderr);
    ensure!(server(rig)? == before, "{} became {before}", server(rig)?);
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    rig.xtask(&["escrow", "verify", "--project", "demo"])?.expect(0)?;
    again_changes_nothing(rig)
}

/// The server's id and addresses, and its volume's id.
fn server(rig: &Rig) -> Result<String> {
    run_async(async {
        let servers: Vec<Server> = rig.client()?.list("listing servers", "/servers", "servers", &[]).await?;
        let server = servers.first().context("there is no server")?;
        Ok(format!("{} {:?} {:?}", server.id, server.public_net, server.volumes))
    })
}

/// The one host key that is pinned.
fn pinned(rig: &Rig) -> Result<String> {
    let text = std::fs::read_to_string(rig.projects().join("demo/known_hosts"))?;
    ensure!(text.lines().count() == 1, "not one key is pinned:\n{text}");
    Ok(text)
}
