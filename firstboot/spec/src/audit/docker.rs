use super::Item;

/// Section 1: the host Docker runs on.
pub(super) const HOST: &[Item] = &[
    Item::new(
        "docker-1.1.1",
        "Docker's data has a file system of its own",
        "images and logs that grow must not fill the disk the system runs on",
    ),
    Item::new(
        "docker-1.1.2",
        "nobody is in the group docker",
        "who may speak to the daemon is root on the host",
    ),
    Item::new("docker-1.1.3", "the audit log watches dockerd", "a replaced daemon is a replaced root"),
    Item::new(
        "docker-1.1.4",
        "the audit log watches /run/containerd",
        "who writes there steers running containers",
    ),
    Item::new(
        "docker-1.1.5",
        "the audit log watches Docker's data",
        "what is changed below a container's feet leaves no other trace",
    ),
    Item::new(
        "docker-1.1.6",
        "the audit log watches /etc/docker",
        "the daemon's configuration and authorities lie there",
    ),
    Item::new(
        "docker-1.1.7",
        "the audit log watches docker.service",
        "it says how the daemon is started, as root",
    ),
    Item::new(
        "docker-1.1.8",
        "the audit log watches containerd's socket",
        "who speaks to containerd is root without asking Docker",
    ),
    Item::new("docker-1.1.9", "the audit log watches docker.socket", "it says who may speak to the daemon"),
    Item::new(
        "docker-1.1.10",
        "the audit log watches /etc/default/docker",
        "it adds options to the daemon's command line",
    ),
    Item::new(
        "docker-1.1.11",
        "the audit log watches daemon.json",
        "every hardening of the daemon stands in it",
    ),
    Item::new(
        "docker-1.1.12",
        "the audit log watches containerd's config.toml",
        "it says where containerd's data lies",
    ),
    Item::new("docker-1.1.14", "the audit log watches containerd", "it runs every container, as root"),
    Item::new(
        "docker-1.1.15",
        "the audit log watches containerd-shim",
        "it stands between the host and each container",
    ),
    Item::new(
        "docker-1.1.16",
        "the audit log watches containerd-shim-runc-v1",
        "it stands between the host and each container",
    ),
    Item::new(
        "docker-1.1.17",
        "the audit log watches containerd-shim-runc-v2",
        "it stands between the host and each container",
    ),
    Item::new("docker-1.1.18", "the audit log watches runc", "it sets up every confinement a container has"),
];

/// Section 4: images.
pub(super) const IMAGES: &[Item] = &[
    Item::new(
        "docker-4.1",
        "every container runs as a user that is not root",
        "root in a container is one kernel flaw from root on the host",
    ),
    Item::new(
        "docker-4.2",
        "every container's image is one the project names",
        "an image from anywhere else is somebody else's program",
    ),
    Item::new(
        "docker-4.5",
        "content trust is on",
        "an image whose publisher nobody vouches for may have been exchanged",
    ),
    Item::new(
        "docker-4.6",
        "every container says how its health is checked",
        "a program that hangs looks well to everybody who only counts processes",
    ),
];
