use super::Item;

/// Section 2: the daemon's configuration.
pub(super) const DAEMON: &[Item] = &[
    Item::new(
        "docker-2.1",
        "the daemon does not run as root",
        "a flaw in the daemon is a flaw in whoever runs it",
    ),
    Item::new(
        "docker-2.2",
        "containers of the default bridge cannot talk to each other",
        "a container that was taken over must not reach its neighbours",
    ),
    Item::new(
        "docker-2.3",
        "the daemon logs at level info",
        "less hides what happened, more hides it in noise",
    ),
    Item::new(
        "docker-2.4",
        "the daemon makes its own firewall rules",
        "networks are kept apart by them; without them every container sees every other",
    ),
    Item::new(
        "docker-2.5",
        "no registry is spoken to without TLS",
        "what comes in the clear can be exchanged on the way",
    ),
    Item::new(
        "docker-2.6",
        "the storage driver is not aufs",
        "it is unmaintained and known to crash kernels",
    ),
    Item::new(
        "docker-2.7",
        "the daemon's API is not on the network without TLS",
        "who reaches it is root on the host",
    ),
    Item::new(
        "docker-2.8",
        "containers have a default limit on open files",
        "one container must not use up what all share",
    ),
    Item::new(
        "docker-2.9",
        "containers' users are mapped to others of the host",
        "root in a container is then nobody on the host",
    ),
    Item::new(
        "docker-2.10",
        "containers live in the default control group",
        "elsewhere the limits set above them do not hold",
    ),
    Item::new(
        "docker-2.11",
        "the base device's size is left alone",
        "a larger one lets a container fill the disk",
    ),
    Item::new(
        "docker-2.12",
        "a plugin authorises each request to the daemon",
        "without one, who may speak to the daemon may do anything",
    ),
    Item::new(
        "docker-2.13",
        "logs leave the server",
        "who takes a server over can rewrite what only lies on it",
    ),
    Item::new(
        "docker-2.14",
        "containers cannot gain new privileges by default",
        "a set-user-id program in an image gives nothing then",
    ),
    Item::new("docker-2.15", "live restore is on", "containers go on while the daemon is updated"),
    Item::new(
        "docker-2.16",
        "the userland proxy is off",
        "it hides where connections come from, and runs as root",
    ),
    Item::new(
        "docker-2.17",
        "seccomp filters what containers may ask of the kernel",
        "most flaws in the kernel are in calls no service needs",
    ),
    Item::new(
        "docker-2.18",
        "experimental features are off, but for the rules for IPv6 that engines up to 26 count among them",
        "they are not what anybody has tried for long",
    ),
];

/// Section 3: the daemon's files.
pub(super) const FILES: &[Item] = &[
    Item::new("docker-3.1", "docker.service belongs to root", "who can write it starts anything as root"),
    Item::new(
        "docker-3.2",
        "docker.service has mode 0644 or less",
        "who can write it starts anything as root",
    ),
    Item::new(
        "docker-3.3",
        "docker.socket belongs to root",
        "who can write it decides who speaks to the daemon",
    ),
    Item::new(
        "docker-3.4",
        "docker.socket has mode 0644 or less",
        "who can write it decides who speaks to the daemon",
    ),
    Item::new(
        "docker-3.5",
        "/etc/docker belongs to root",
        "the daemon's configuration and authorities lie there",
    ),
    Item::new(
        "docker-3.6",
        "/etc/docker has mode 0755 or less",
        "the daemon's configuration and authorities lie there",
    ),
    Item::new(
        "docker-3.7",
        "the registries' certificates belong to root",
        "another authority vouches for another image",
    ),
    Item::new(
        "docker-3.8",
        "the registries' certificates have mode 0444 or less",
        "another authority vouches for another image",
    ),
    Item::new(
        "docker-3.15",
        "the daemon's socket belongs to root and the group docker",
        "who may write to it is root",
    ),
    Item::new("docker-3.16", "the daemon's socket has mode 0660 or less", "who may write to it is root"),
    Item::new("docker-3.17", "daemon.json belongs to root", "every hardening of the daemon stands in it"),
    Item::new(
        "docker-3.18",
        "daemon.json has mode 0644 or less",
        "every hardening of the daemon stands in it",
    ),
    Item::new(
        "docker-3.19",
        "/etc/default/docker belongs to root",
        "it adds options to the daemon's command line",
    ),
    Item::new(
        "docker-3.20",
        "/etc/default/docker has mode 0644 or less",
        "it adds options to the daemon's command line",
    ),
    Item::new("docker-3.23", "containerd's socket belongs to root", "who may write to it is root"),
    Item::new("docker-3.24", "containerd's socket has mode 0660 or less", "who may write to it is root"),
];
