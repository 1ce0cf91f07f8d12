//! System images that Hetzner has and this cloud knows only by their records: clients find them as they do there.

use crate::cloud::state::{Image, State};
use crate::config::Architecture::{self, Arm, X86};

/// Their size at Hetzner, in GB.
const DISK_GB: u64 = 5;

struct Record {
    id: u64,
    /// Its name is the same in lower case, with a hyphen.
    description: &'static str,
    architecture: Architecture,
    created: &'static str,
}

const fn record(
    id: u64,
    description: &'static str,
    architecture: Architecture,
    created: &'static str,
) -> Record {
    Record { id, description, architecture, created }
}

/// Where the ids and times are from: of `debian-12` a published `hcloud image list`, and for x86 the documentation of
/// Terraform's provider; of `ubuntu-22.04` a published answer of the API, and for Arm the documentation of hetzner-k3s; of
/// `ubuntu-24.04` published inventories of 2026. Three times are not known: `ubuntu-22.04` for Arm has that of its other
/// image, `ubuntu-24.04` that of its release.
const RECORDS: [Record; 6] = [
    record(114_690_387, "Debian 12", X86, "2023-06-13T06:00:02+00:00"),
    record(114_690_389, "Debian 12", Arm, "2023-06-13T06:00:03+00:00"),
    record(67_794_396, "Ubuntu 22.04", X86, "2022-04-21T13:32:38+00:00"),
    record(103_908_130, "Ubuntu 22.04", Arm, "2022-04-21T13:32:38+00:00"),
    record(161_547_269, "Ubuntu 24.04", X86, "2024-04-25T00:00:00+00:00"),
    record(161_547_270, "Ubuntu 24.04", Arm, "2024-04-25T00:00:00+00:00"),
];

/// Puts the records into the state of which there is no image that can be booted.
pub(super) fn add(state: &mut State) {
    for record in &RECORDS {
        let image = record.image();
        let name = image.name.as_deref().unwrap_or_default();
        if !state.images.values().any(|other| other.is_current(name, image.architecture)) {
            state.images.insert(record.id, image);
        }
    }
}

impl Record {
    fn image(&self) -> Image {
        let name = self.description.to_lowercase();
        let (flavor, version) = name.split_once(' ').unwrap_or((&name, ""));
        Image {
            name: Some(format!("{flavor}-{version}")),
            description: self.description.into(),
            kind: "system".into(),
            status: "available".into(),
            architecture: self.architecture,
            os_flavor: flavor.into(),
            os_version: Some(version.into()),
            labels: Default::default(),
            created: self.created.into(),
            protected: false,
            disk_bytes: 0,
            disk: Default::default(),
            boot: None,
            source: String::new(),
            replaced: false,
            created_from: None,
            bound_to: None,
            disk_gb: Some(DISK_GB),
            stored_bytes: None,
            deleted: false,
            record_only: true,
        }
    }
}
