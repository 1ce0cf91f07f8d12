//! What actions do: named as the API names them, with all they need to be done again after a crash.

use super::rescue::Rescue;
use super::state::{State, Target};
use serde::{Deserialize, Serialize};

/// How many backups of a server are kept.
const BACKUPS_KEPT: usize = 7;
/// The hours in which backups would be made.
const BACKUP_WINDOW: &str = "22-02";

/// The work of one action. It is on disk before it begins, and every kind may be repeated from its start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Job {
    CreateServer {
        server: u64,
    },
    StartServer {
        server: u64,
    },
    /// A server that runs was told to start.
    AlreadyOn {
        server: u64,
    },
    StopServer {
        server: u64,
    },
    ResetServer {
        server: u64,
    },
    RebootServer {
        server: u64,
    },
    ShutdownServer {
        server: u64,
    },
    RebuildServer {
        server: u64,
    },
    DeleteServer {
        server: u64,
    },
    ProtectServer {
        server: u64,
        on: bool,
    },
    CreateVolume {
        volume: u64,
    },
    AttachVolume {
        volume: u64,
        server: u64,
    },
    DetachVolume {
        volume: u64,
        server: u64,
    },
    ResizeVolume {
        volume: u64,
        size: u64,
    },
    ProtectVolume {
        volume: u64,
        on: bool,
    },
    SetRules {
        firewall: u64,
    },
    ApplyFirewall {
        firewall: u64,
        server: u64,
    },
    RemoveFirewall {
        firewall: u64,
        server: u64,
    },
    AssignIp {
        ip: u64,
        server: u64,
    },
    UnassignIp {
        ip: u64,
        server: u64,
    },
    ProtectIp {
        ip: u64,
        on: bool,
    },
    ChangeDnsPtr {
        ip: u64,
        server: Option<u64>,
        address: String,
        name: Option<String>,
    },
    ProtectImage {
        image: u64,
        on: bool,
    },
    EnableRescue {
        server: u64,
        rescue: Rescue,
    },
    DisableRescue {
        server: u64,
    },
    CreateImage {
        server: u64,
        image: u64,
    },
    ChangeType {
        server: u64,
        server_type: String,
        upgrade_disk: bool,
    },
    SwitchBackup {
        server: u64,
        on: bool,
    },
    ResetPassword {
        server: u64,
    },
    RequestConsole {
        server: u64,
    },
    DetachIso {
        server: u64,
    },
    Zone {
        zone: u64,
        job: super::dns::ZoneJob,
    },
    StorageBox {
        storage_box: u64,
        job: super::storage::BoxJob,
    },
}

impl Job {
    /// The action's `command`.
    pub(crate) fn command(&self) -> &'static str {
        match self {
            Self::CreateServer { .. } => "create_server",
            Self::StartServer { .. } | Self::AlreadyOn { .. } => "start_server",
            Self::StopServer { .. } => "stop_server",
            Self::ResetServer { .. } => "reset_server",
            Self::RebootServer { .. } => "reboot_server",
            Self::ShutdownServer { .. } => "shutdown_server",
            Self::RebuildServer { .. } => "rebuild_server",
            Self::DeleteServer { .. } => "delete_server",
            Self::CreateVolume { .. } => "create_volume",
            Self::AttachVolume { .. } => "attach_volume",
            Self::DetachVolume { .. } => "detach_volume",
            Self::ResizeVolume { .. } => "resize_volume",
            Self::SetRules { .. } => "set_firewall_rules",
            Self::ApplyFirewall { .. } => "apply_firewall",
            Self::RemoveFirewall { .. } => "remove_firewall",
            Self::AssignIp { .. } => "assign_primary_ip",
            Self::UnassignIp { .. } => "unassign_primary_ip",
            Self::ChangeDnsPtr { .. } => "change_dns_ptr",
            Self::EnableRescue { .. } => "enable_rescue",
            Self::DisableRescue { .. } => "disable_rescue",
            Self::CreateImage { .. } => "create_image",
            Self::ChangeType { .. } => "change_server_type",
            Self::SwitchBackup { on: true, .. } => "enable_backup",
            Self::SwitchBackup { on: false, .. } => "disable_backup",
            Self::ResetPassword { .. } => "reset_password",
            Self::RequestConsole { .. } => "request_console",
            Self::DetachIso { .. } => "detach_iso",
            Self::Zone { job, .. } => job.command(),
            Self::StorageBox { job, .. } => job.command(),
            Self::ProtectServer { .. }
            | Self::ProtectVolume { .. }
            | Self::ProtectIp { .. }
            | Self::ProtectImage { .. } => "change_protection",
        }
    }

    /// The resources it is about, the one it is listed under first.
    pub(crate) fn resources(&self) -> Vec<(&'static str, u64)> {
        match *self {
            Self::CreateServer { server }
            | Self::StartServer { server }
            | Self::AlreadyOn { server }
            | Self::StopServer { server }
            | Self::ResetServer { server }
            | Self::RebootServer { server }
            | Self::ShutdownServer { server }
            | Self::RebuildServer { server }
            | Self::DeleteServer { server }
            | Self::ProtectServer { server, .. } => vec![("server", server)],
            Self::CreateVolume { volume }
            | Self::ResizeVolume { volume, .. }
            | Self::ProtectVolume { volume, .. } => vec![("volume", volume)],
            Self::AttachVolume { volume, server } | Self::DetachVolume { volume, server } => {
                vec![("volume", volume), ("server", server)]
            }
            Self::SetRules { firewall } => vec![("firewall", firewall)],
            Self::ApplyFirewall { firewall, server } | Self::RemoveFirewall { firewall, server } => {
                vec![("firewall", firewall), ("server", server)]
            }
            Self::AssignIp { ip, server } | Self::UnassignIp { ip, server } => {
                vec![("primary_ip", ip), ("server", server)]
            }
            Self::ProtectIp { ip, .. } => vec![("primary_ip", ip)],
            Self::ChangeDnsPtr { ip, server, .. } => match server {
                Some(server) => vec![("server", server), ("primary_ip", ip)],
                None => vec![("primary_ip", ip)],
            },
            Self::ProtectImage { image, .. } => vec![("image", image)],
            Self::CreateImage { server, image } => vec![("server", server), ("image", image)],
            Self::EnableRescue { server, .. }
            | Self::DisableRescue { server }
            | Self::ChangeType { server, .. }
            | Self::SwitchBackup { server, .. }
            | Self::ResetPassword { server }
            | Self::RequestConsole { server }
            | Self::DetachIso { server } => vec![("server", server)],
            Self::Zone { zone, .. } => vec![("zone", zone)],
            Self::StorageBox { storage_box, ref job } => job.resources(storage_box),
        }
    }

    /// Whether the resource is locked while this runs. Switches that only change a record, and firewalls,
    /// lock nothing.
    pub(crate) fn holds(&self, kind: &str, id: u64) -> bool {
        match self {
            Self::Zone { job, .. } if !job.locks() => return false,
            Self::StorageBox { job, .. } if !job.locks() => return false,
            _ => {}
        }
        let light = matches!(
            self,
            Self::ProtectServer { .. }
                | Self::ProtectVolume { .. }
                | Self::ProtectIp { .. }
                | Self::ProtectImage { .. }
                | Self::ChangeDnsPtr { .. }
                | Self::SetRules { .. }
                | Self::ApplyFirewall { .. }
                | Self::RemoveFirewall { .. }
                | Self::RequestConsole { .. }
        );
        !light && self.resources().contains(&(kind, id))
    }

    /// The server whose machine it acts on, if it does.
    pub(crate) fn machine(&self) -> Option<u64> {
        self.resources().into_iter().find(|(kind, _)| *kind == "server").map(|(_, id)| id)
    }

    /// What the records say once the work is done.
    pub(crate) fn settle(&self, state: &mut State) {
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
            Self::Zone { zone, job } => job.settle(state, *zone),
            Self::StorageBox { storage_box, job } => job.settle(state, *storage_box),
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
    pub(crate) fn fail(&self, state: &mut State, runs: bool) {
        if let Some(server) = self.machine().filter(|server| self.holds("server", *server)) {
            set_status(state, server, if runs { "running" } else { "off" });
        }
        if let Self::CreateImage { image, .. } = self {
            state.images.entry(*image).and_modify(|i| i.status = "unavailable".into());
        }
        if let Self::Zone { zone, job } = self {
            job.fail(state, *zone);
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
