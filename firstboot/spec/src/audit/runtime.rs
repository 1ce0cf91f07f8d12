use super::Item;

/// Section 5: running containers.
pub(super) const RUNTIME: &[Item] = &[
    Item::new("docker-5.1", "swarm mode is off", "it opens ports nobody asked for"),
    Item::new(
        "docker-5.2",
        "every container is confined by AppArmor",
        "it holds when all else in the container fell",
    ),
    Item::new(
        "docker-5.4",
        "every container has dropped all capabilities",
        "each one is a part of root's power",
    ),
    Item::new("docker-5.5", "no container is privileged", "it is root on the host under another name"),
    Item::new(
        "docker-5.6",
        "no container has a directory of the host's system",
        "what is mounted from the host can be changed on the host",
    ),
    Item::new("docker-5.7", "no container runs sshd", "it is a second way in, with keys nobody looks after"),
    Item::new(
        "docker-5.8",
        "no container publishes a privileged port nobody declared",
        "a port below 1024 is taken for the host's own service",
    ),
    Item::new(
        "docker-5.9",
        "containers publish declared ports only",
        "what answers on the network is attacked on the network",
    ),
    Item::new(
        "docker-5.10",
        "no container shares the host's network",
        "it reaches what listens on loopback, and sniffs",
    ),
    Item::new(
        "docker-5.11",
        "every container's memory is limited",
        "one that leaks takes the others with it",
    ),
    Item::new(
        "docker-5.12",
        "every container's share of the processors is limited",
        "one that spins starves the others",
    ),
    Item::new(
        "docker-5.13",
        "every container's root file system is read-only",
        "what cannot be written cannot be made to stay",
    ),
    Item::new(
        "docker-5.14",
        "published ports are bound to an address, or declared as open",
        "a port on every address is also one on the networks nobody thought of",
    ),
    Item::new(
        "docker-5.15",
        "a container that fails is started again at most five times",
        "one that always fails must not take the server's time for ever",
    ),
    Item::new("docker-5.16", "no container sees the host's processes", "it could signal and trace them"),
    Item::new(
        "docker-5.17",
        "no container shares the host's IPC",
        "shared memory of host programs would be its own",
    ),
    Item::new("docker-5.18", "no container has a device of the host's", "a disk's device is the whole disk"),
    Item::new(
        "docker-5.19",
        "no container has limits of its own above the default",
        "one must not use up what all share",
    ),
    Item::new(
        "docker-5.20",
        "no mount is propagated as shared",
        "what a container mounts would appear on the host",
    ),
    Item::new("docker-5.21", "no container shares the host's name", "it could change the host's name"),
    Item::new(
        "docker-5.22",
        "no container has seccomp switched off",
        "most flaws in the kernel are in calls no service needs",
    ),
    Item::new(
        "docker-5.25",
        "every container is in the default control group",
        "elsewhere the limits above do not hold",
    ),
    Item::new(
        "docker-5.26",
        "no container may gain new privileges",
        "a set-user-id program gives nothing then",
    ),
    Item::new(
        "docker-5.27",
        "every container is found healthy",
        "a service that does not serve is not secure either",
    ),
    Item::new(
        "docker-5.28",
        "every container's image is pinned by digest",
        "a name can mean another image tomorrow",
    ),
    Item::new("docker-5.29", "every container's processes are limited", "a fork bomb takes the host with it"),
    Item::new(
        "docker-5.30",
        "no container is on Docker's default bridge",
        "there, containers of all stacks meet",
    ),
    Item::new(
        "docker-5.31",
        "no container undoes the mapping of users",
        "it would be root on the host again",
    ),
    Item::new(
        "docker-5.32",
        "no container has the daemon's socket",
        "who may speak to the daemon is root on the host",
    ),
];
