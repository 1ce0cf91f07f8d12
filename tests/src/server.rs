//! What a trial does to the one server of its rig, project `demo`, past the verbs.

use crate::Rig;
use anyhow::{Context as _, Result};
use provisioner::api::model::Server;
use std::time::Duration;

const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a server that is being started may let nobody in.
const PATIENCE: u32 = 200;

/// Leaves cloud-init out of every later start of the server: there it does no more than name the network card, and takes an
/// emulated machine longer than firstboot does.
pub const WITHOUT_CLOUD_INIT: &str =
    "touch /etc/cloud/cloud-init.disabled; card=$(cat /sys/class/net/eth0/address)
    printf '[Match]\\nMACAddress=%s\\n[Link]\\nName=eth0\\n' $card > /etc/systemd/network/10-eth0.link
    sync\n";

/// The id of the rig's server.
pub fn server_id(rig: &Rig) -> Result<u64> {
    run_async(async {
        let servers: Vec<Server> = rig.client()?.list("listing servers", "/servers", "servers", &[]).await?;
        Ok(servers.first().context("there is no server")?.id)
    })
}

/// Asks the cloud for a power action on the rig's server, and waits for it.
pub fn act(rig: &Rig, action: &str) -> Result<()> {
    let path = format!("/servers/{}/actions/{action}", server_id(rig)?);
    run_async(async {
        let client = rig.client()?;
        let answer = client.create(action, &path, &serde_json::json!({})).await?;
        Ok(client.finish(action, &answer, Duration::from_secs(120)).await?)
    })
}

/// Runs a shell line on a server that is just being started, as soon as it lets anybody in; it must succeed.
pub fn once_it_answers(rig: &Rig, line: &str) -> Result<()> {
    let ssh = || rig.xtask(&["ssh", "--project", "demo", "--", line]);
    let mut last = ssh()?;
    for _ in 0..PATIENCE {
        if last.code != Some(255) {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
        last = ssh()?;
    }
    last.expect(0)?;
    Ok(())
}

/// Puts the server's clock right, which stands still while it sleeps.
pub(crate) fn set_clock(rig: &Rig) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    once_it_answers(rig, &format!("date --set=@{now} >/dev/null"))
}

/// Runs what waits for the cloud to its end.
pub fn run_async<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
