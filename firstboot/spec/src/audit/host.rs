use super::Item;

/// The host's own items.
pub(super) const ITEMS: &[Item] = &[
    Item::new(
        "host-1.1",
        "/dev/shm and /run, and /tmp where it is a mount of its own, honour no set-user-id bit",
        "anybody may write there",
    ),
    Item::new("host-1.2", "/dev/shm holds no devices", "a device node made there would be the disk itself"),
    Item::new(
        "host-1.3",
        "swap is off or encrypted",
        "keys in memory would else lie on the root disk in the clear",
    ),
    Item::new(
        "host-1.4",
        "the volume's header has no keyslot nobody knows of",
        "a forgotten slot is a key somebody else may hold",
    ),
    Item::new("host-1.5", "crash dumps of programs are not kept", "a dump of a program holds its secrets"),
    Item::new(
        "host-1.6",
        "no key of the volume lies on the server in the clear",
        "a key on the same machine protects nothing but a volume that is discarded alone",
    ),
    Item::new("host-2.1", "no user has an empty password", "it is an open door on the console"),
    Item::new(
        "host-2.2",
        "no user can log in with a password",
        "the offline key and ssh keys are the ways in, and are all",
    ),
    Item::new("host-2.3", "root alone has user id 0", "a second root is a door under another name"),
    Item::new(
        "host-2.4",
        "/etc/passwd, group and shadow cannot be written by others",
        "they say who may do what",
    ),
    Item::new(
        "host-2.5",
        "passwords' hashes can be read by root alone",
        "a hash that was read can be guessed at home",
    ),
    Item::new("host-3.1", "sshd takes keys only", "passwords are guessed all day long"),
    Item::new("host-3.2", "sshd forwards nothing", "what it forwards passes the firewall"),
    Item::new(
        "host-3.3",
        "sshd's configuration and private keys belong to root alone",
        "who has the key is the server",
    ),
    Item::new("host-3.4", "sshd ends what does not log in", "half-open connections keep others out"),
    Item::new(
        "host-4.1",
        "the kernel hides its addresses and messages",
        "knowing them is half of breaking in",
    ),
    Item::new("host-4.2", "the kernel places programs at random", "an exploit has to guess where things are"),
    Item::new(
        "host-4.3",
        "links in shared directories are protected",
        "else a link in /tmp makes root write elsewhere",
    ),
    Item::new("host-4.4", "programs of others cannot be traced", "who can trace a program has its secrets"),
    Item::new(
        "host-4.5",
        "set-user-id programs leave no core",
        "a core of such a program holds root's memory",
    ),
    Item::new(
        "host-4.6",
        "packets with forged senders and redirects are refused",
        "a neighbour must not lead traffic through itself",
    ),
    Item::new(
        "host-4.7",
        "floods of half-open connections are borne",
        "else a few packets a second keep everybody out",
    ),
    Item::new("host-4.8", "AppArmor is on and enforces profiles", "it holds when all else fell"),
    Item::new(
        "host-4.9",
        "kernel modules of protocols nobody uses cannot be loaded",
        "any user may have them loaded, and they are where holes are found",
    ),
    Item::new("host-5.1", "the audit daemon runs and has rules", "what nobody recorded nobody can look up"),
    Item::new(
        "host-5.2",
        "the journal outlives a restart and is limited",
        "logs must survive a crash and not fill the disk",
    ),
    Item::new("host-5.3", "a time service runs", "certificates and one-time passwords need the clock"),
    Item::new(
        "host-5.4",
        "security upgrades are installed without anybody",
        "most break-ins use what was mended long ago",
    ),
    Item::new("host-5.5", "who guesses at ssh is shut out", "guessing must not be free"),
    Item::new("host-5.6", "no service has failed", "a guard that fell over guards nothing"),
    Item::new("host-6.1", "the firewall is on at boot", "between boot and the first rule everything is open"),
    Item::new(
        "host-6.2",
        "nothing listens on a port that is not declared",
        "what answers on the network is attacked there",
    ),
    Item::new(
        "host-7.1",
        "what this product wrote has the modes it gave",
        "a key others can read is everybody's key",
    ),
    Item::new(
        "host-7.2",
        "no file can be written by everybody",
        "what root reads or runs from there is anybody's",
    ),
    Item::new(
        "host-7.3",
        "directories everybody may write have the sticky bit",
        "else anybody removes anybody's files",
    ),
    Item::new(
        "host-7.4",
        "only known programs have set-user-id or set-group-id",
        "each is a way to become somebody else",
    ),
    Item::new(
        "host-7.5",
        "every file belongs to somebody",
        "a new user would inherit what belongs to nobody",
    ),
];
