use std::path::PathBuf;

/// Why the disk step does not touch a volume. Nothing was written in any of these cases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such device.
    #[error(
        "looking for the volume: {link} is not there; attach the volume to this server at the cloud, then try again"
    )]
    NotAttached {
        /// The link that is missing.
        link: PathBuf,
    },
    /// The link leads to another disk.
    #[error(
        "checking {device}: its serial says it is volume {found:?}, not {wanted}; nothing was written. \
         Detach what does not belong to this server, then try again"
    )]
    Serial {
        /// Where the link led.
        device: PathBuf,
        /// What the disk itself says.
        found: String,
        /// The volume meant.
        wanted: u64,
    },
    /// Not a size this volume can have.
    #[error(
        "checking {device}: it has {found} bytes, the volume was ordered with {wanted_gb} GB; nothing was written. \
         Correct the size in the project file, or find out which volume this is"
    )]
    Size {
        /// The device.
        device: PathBuf,
        /// Its size.
        found: u64,
        /// As ordered.
        wanted_gb: u64,
    },
    /// The disk has become smaller than what lies on it.
    #[error(
        "checking {device}: it has {found} bytes, but its file system needs {needed}; nothing was written, and nothing \
         is ever made smaller. Ask the cloud's support what became of the volume"
    )]
    Shrunk {
        /// The device.
        device: PathBuf,
        /// Its size.
        found: u64,
        /// What the file system and the LUKS header take.
        needed: u64,
    },
    /// A sector that cannot be read is not a sector that is empty.
    #[error(
        "reading {device} at byte {offset}: {why}; what cannot be read is never overwritten. \
         Ask the cloud's support about the volume, or create another one"
    )]
    Unreadable {
        /// The device.
        device: PathBuf,
        /// Where.
        offset: u64,
        /// What the kernel said.
        why: String,
    },
    /// Something is on it.
    #[error(
        "checking {device}: it carries {found}; nothing was written. If its content is not needed, delete the volume \
         at the cloud and let the project create a new one"
    )]
    Signature {
        /// The device.
        device: PathBuf,
        /// What.
        found: String,
    },
    /// Something is on it that has no name.
    #[error(
        "checking {device}: it is not empty, byte {at} is not zero; nothing was written. If its content is not needed, \
         delete the volume at the cloud and let the project create a new one"
    )]
    NotEmpty {
        /// The device.
        device: PathBuf,
        /// The first byte that is not zero.
        at: u64,
    },
    /// Empty, but nobody said it may be formatted.
    #[error(
        "checking {device}: it carries no LUKS volume, and the node spec holds no leave to format it; nothing was \
         written. Only a volume that this project's own run created is formatted"
    )]
    NoToken {
        /// The device.
        device: PathBuf,
    },
    /// The leave to format speaks of another volume.
    #[error(
        "checking {device}: the leave to format is for volume {token}, this is volume {wanted}; nothing was written. \
         Run `cargo xtask provision --project NAME` again"
    )]
    TokenForAnother {
        /// The device.
        device: PathBuf,
        /// The volume the token names.
        token: u64,
        /// The volume meant.
        wanted: u64,
    },
    /// This server already had another volume.
    #[error(
        "checking {device}: this server keeps its data on volume {recorded}, the node spec names volume {wanted}; \
         nothing was written. Attach the volume that is in the receipt again, and give this one to no server"
    )]
    OtherVolume {
        /// The device.
        device: PathBuf,
        /// The volume in the receipt.
        recorded: u64,
        /// The volume meant.
        wanted: u64,
    },
    /// The secrets of this volume are in the operator's hands: it may hold data.
    #[error(
        "checking {device}: its escrow was acknowledged, so it may hold data and is never formatted again; nothing \
         was written. Restore its LUKS header from the escrow, as docs/recovery.md says, or begin anew with another volume"
    )]
    Escrowed {
        /// The device.
        device: PathBuf,
    },
    /// We formatted it, and what we wrote is no longer there.
    #[error(
        "checking {device}: this server's LUKS header {uuid} should be on it, but it carries {found}; nothing was \
         written. Restore the header from the escrow with `cryptsetup luksHeaderRestore`"
    )]
    HeaderLost {
        /// The device.
        device: PathBuf,
        /// The UUID recorded.
        uuid: String,
        /// What is there instead.
        found: String,
    },
    /// Our header, holding more than a header, and the bootstrap key does not open it.
    #[error(
        "opening {device}: its LUKS header {uuid} is ours, but the bootstrap key does not open it; nothing was \
         written. Delete the volume at the cloud and let the project create a new one"
    )]
    OursButShut {
        /// The device.
        device: PathBuf,
        /// The UUID.
        uuid: String,
    },
    /// It changed between two looks.
    #[error(
        "checking {device} once more before formatting: it has changed meanwhile; nothing was written. Find out who else writes to it"
    )]
    Changed {
        /// The device.
        device: PathBuf,
    },
    /// Inside LUKS lies something else than our file system.
    #[error(
        "checking the opened volume: it carries {found:?} instead of ext4; nothing was written. \
         Find out what wrote it; what the volume held must come from a copy of yours"
    )]
    ForeignContent {
        /// What.
        found: String,
    },
}
