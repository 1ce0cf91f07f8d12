//! What actions do: named as the API names them, with all they need to be done again after a crash.

use super::rescue::Rescue;
use serde::{Deserialize, Serialize};

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
}
