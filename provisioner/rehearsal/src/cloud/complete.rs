//! How the work of actions ends up in the records.

use super::dns::ZoneJob;
use super::job::Job;
use super::state::{State, Target};
use super::storage::BoxJob;

/// How many backups of a server are kept.
const BACKUPS_KEPT: usize = 7;
/// The hours in which backups would be made.
const BACKUP_WINDOW: &str = "22-02";

impl Job {
    /// What the records say once the work is done.
    pub(super) fn complete(&self, state: &mut State) {
        match self {
            Self::CreateServer { server } | Self::StopServer { server } => set_status(state, *server, "off"),
            Self::StartServer { server }
            | Self::ResetServer { server }
            | Self::RebootServer { server }
            | Self::RebuildServer { server }
            | Self::ChangeType { server, .. } => {
                set_status(state, *server, "running");
                state.servers.entry(*server).and_modify(|s| s.rescue = None);
            }
            Self::DeleteServer { server } => delete_server(state, *server),
            Self::ProtectServer { server, on } => {
                state.servers.entry(*server).and_modify(|s| s.protected = *on);
            }
            Self::CreateVolume { volume } => {
                state.volumes.entry(*volume).and_modify(|v| v.status = "available".into());
            }
            Self::AttachVolume { volume, server } => {
                state.volumes.entry(*volume).and_modify(|v| v.server = Some(*server));
            }
            Self::DetachVolume { volume, .. } => {
                state.volumes.entry(*volume).and_modify(|v| v.server = None);
            }
            Self::ResizeVolume { volume, size } => {
                state.volumes.entry(*volume).and_modify(|v| v.size = *size);
            }
            Self::ProtectVolume { volume, on } => {
                state.volumes.entry(*volume).and_modify(|v| v.protected = *on);
            }
            Self::AssignIp { ip, server } => {
                state.primary_ips.entry(*ip).and_modify(|i| i.assignee = Some(*server));
            }
            Self::UnassignIp { ip, .. } => {
                state.primary_ips.entry(*ip).and_modify(|i| i.assignee = None);
            }
            Self::ProtectIp { ip, on } => {
                state.primary_ips.entry(*ip).and_modify(|i| i.protected = *on);
            }
            Self::ChangeDnsPtr { ip, address, name, .. } => {
                state.primary_ips.entry(*ip).and_modify(|i| match name {
                    Some(name) => drop(i.dns_ptr.insert(address.clone(), name.clone())),
                    None => drop(i.dns_ptr.remove(address)),
                });
            }
            Self::ProtectImage { image, on } => {
                state.images.entry(*image).and_modify(|i| i.protected = *on);
            }
            Self::EnableRescue { server, rescue } => {
                state.servers.entry(*server).and_modify(|s| s.rescue = Some(rescue.clone()));
            }
            Self::DisableRescue { server } => {
                state.servers.entry(*server).and_modify(|s| s.rescue = None);
            }
            Self::CreateImage { server, image } => {
                state.images.entry(*image).and_modify(|i| i.status = "available".into());
                delete_backups(state, *server, BACKUPS_KEPT);
            }
            Self::SwitchBackup { server, on } => {
                let window = on.then(|| BACKUP_WINDOW.to_owned());
                state.servers.entry(*server).and_modify(|s| s.backup_window = window);
                if !on {
                    delete_backups(state, *server, 0);
                }
            }
            Self::Zone { zone, job: ZoneJob::DeleteZone } => drop(state.zones.remove(zone)),
            Self::Zone { zone, .. } => {
                state.zones.entry(*zone).and_modify(|z| z.failed = false);
            }
            Self::StorageBox { storage_box, job: BoxJob::Delete } => {
                state.storage_boxes.remove(storage_box);
            }
            Self::StorageBox { storage_box, job } => {
                state.storage_boxes.entry(*storage_box).and_modify(|record| job.change(record));
            }
            // A shut-down server is off when its machine has ended, which is watched;
            // a firewall's record changed when it was asked for.
            Self::ShutdownServer { .. }
            | Self::AlreadyOn { .. }
            | Self::SetRules { .. }
            | Self::ApplyFirewall { .. }
            | Self::RemoveFirewall { .. }
            | Self::ResetPassword { .. }
            | Self::RequestConsole { .. }
            | Self::DetachIso { .. } => {}
        }
    }

    /// What the records say when the work failed, given whether the server's machine runs.
    pub(super) fn fail(&self, state: &mut State, runs: bool) {
        if let Some(server) = self.machine().filter(|server| self.holds("server", *server)) {
            set_status(state, server, if runs { "running" } else { "off" });
        }
        if let Self::CreateImage { image, .. } = self {
            state.images.entry(*image).and_modify(|i| i.status = "unavailable".into());
        }
        if let Self::Zone { zone, job } = self
            && *job != ZoneJob::DeleteZone
        {
            state.zones.entry(*zone).and_modify(|z| z.failed = true);
        }
    }
}

fn set_status(state: &mut State, server: u64, status: &str) {
    state.servers.entry(server).and_modify(|s| {
        s.status = status.into();
        if status == "off" {
            s.forwards.clear();
        }
    });
}

/// Deletes the oldest backups of a server until no more than these are left.
fn delete_backups(state: &mut State, server: u64, kept: usize) {
    let backups = state.images.values_mut().filter(|i| i.bound_to == Some(server) && !i.deleted);
    for image in backups.rev().skip(kept) {
        image.deleted = true;
    }
}

fn delete_server(state: &mut State, server: u64) {
    state.servers.remove(&server);
    delete_backups(state, server, 0);
    for volume in state.volumes.values_mut().filter(|v| v.server == Some(server)) {
        volume.server = None;
    }
    state.primary_ips.retain(|_, ip| ip.assignee != Some(server) || !ip.auto_delete || ip.protected);
    for ip in state.primary_ips.values_mut().filter(|ip| ip.assignee == Some(server)) {
        ip.assignee = None;
    }
    for firewall in state.firewalls.values_mut() {
        firewall.applied_to.retain(|target| *target != Target::Server(server));
    }
}
