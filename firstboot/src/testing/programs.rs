//! What the programs do to the fake server.

use super::answers::{code, get, put, says};
use super::{Content, Files, Luks, Node, State, engine, network};
use host::{Cmd, Output};
use std::path::Path;
use std::time::Duration;

const TRANSIENT: &str = "/run/systemd/transient";

/// Runs one; `torn` cuts it off half-way where it has a half-way.
pub(super) fn run(state: &mut State, cmd: &Cmd, torn: bool) -> Output {
    let (program, args) = (cmd.program(), cmd.arguments());
    let args: Vec<&str> = args.iter().map(AsRef::as_ref).collect();
    if !torn && let Some(answer) = network::run(state, cmd) {
        return answer;
    }
    match (&*program, &args[..]) {
        ("cryptsetup", args) => cryptsetup(state, args, cmd, torn),
        _ if torn && program != "mkfs.ext4" => code(0),
        ("ssh-keygen", [.., "-f", path]) if args.contains(&"-t") => {
            state.drawn = state.drawn.wrapping_add(1);
            let drawn = state.drawn;
            put(state, path, format!("host key {drawn}").as_bytes());
            put(state, &format!("{path}.pub"), format!("ssh-ed25519 AAAA{drawn} sovereign\n").as_bytes());
            code(0)
        }
        ("clevis", _) if !state.tang => {
            Output { stderr: "Error communicating with the server!\n".into(), ..code(1) }
        }
        ("clevis", ["encrypt", "sss", _]) => {
            says(&format!("head..iv.{}.tag", crate::machine::digest::hex(cmd.input())))
        }
        ("clevis", ["decrypt"]) => {
            let jwe = String::from_utf8(cmd.input().to_vec()).unwrap();
            let text = jwe.split('.').nth(3).unwrap();
            let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
            Output { stdout: (0..text.len()).step_by(2).map(byte).collect(), ..code(0) }
        }
        ("ssh-keygen", _) => says("a signature"),
        ("sshd", ["-T"]) => says(
            "port 22\nhostkey /etc/ssh/ssh_host_ed25519_key\npasswordauthentication no\n\
             kbdinteractiveauthentication no\npermitrootlogin without-password\nallowtcpforwarding no\nx11forwarding no\n",
        ),
        ("blkid", args) => blkid(state, args.last().unwrap()),
        ("mkfs.ext4", _) => {
            let mapped = state.mapped;
            let luks = opened(state);
            luks.used = true;
            assert!(luks.files.is_none(), "a file system was made over a file system");
            luks.files = (!torn).then(Files::new);
            luks.file_system = mapped / 4096 * 4096;
            code(0)
        }
        ("resize2fs", ["/dev/mapper/sovereign"]) => {
            assert!(state.mounted, "it is grown while it is in use");
            let mapped = state.mapped;
            assert!(opened(state).file_system <= mapped, "a file system was made smaller");
            opened(state).file_system = mapped / 4096 * 4096;
            code(0)
        }
        ("systemctl", args) => systemctl(state, args),
        ("systemd-run", args) => {
            let unit = args[args.iter().position(|a| *a == "--unit").unwrap() + 1];
            let after = args.iter().find_map(|a| a.strip_prefix("--on-active=")).unwrap().parse().unwrap();
            let due = state.clock + Duration::from_secs(after);
            state.timers.insert(format!("{unit}.timer"), (due, args.last().unwrap().to_string()));
            put(state, &format!("{TRANSIENT}/{unit}.timer"), b"");
            code(0)
        }
        ("/bin/sh", [script, word]) => {
            put_back(state, script, word);
            code(0)
        }
        ("/usr/lib/ufw/ufw-init", ["start"]) => {
            let confirmed = state.root.contains_key(Path::new("/var/lib/sovereign/acknowledged/firewall"));
            assert!(
                state.timers.contains_key("sovereign-put-back-firewall.timer") || confirmed,
                "the door was closed with nothing to open it again"
            );
            let again = std::mem::replace(&mut state.closed, true);
            says(if again { "Firewall already started, use 'force-reload'" } else { "" })
        }
        ("iptables-restore" | "ip6tables-restore", ["--wait", "--noflush"]) => {
            state.passed_over = false;
            code(0)
        }
        ("iptables", _) => says(&kernel_rules(state, "")),
        ("ip6tables", _) => says(&kernel_rules(state, "6")),
        ("apt-get", ["indextargets", .., "Codename: bookworm"]) => says("http://mirror.test/debian/\n"),
        ("apt-get", [.., "install", "--yes", "--no-install-recommends", "docker-compose"]) => {
            assert!(!get(state, "/etc/apt/preferences.d/sovereign-compose").is_empty(), "nothing is pinned");
            state.root.remove(Path::new("/usr/lib/python3/dist-packages/compose/__init__.py"));
            code(0)
        }
        ("dockerd", ["--version"]) => says("Docker version 26.1.5+dfsg1, build a72d7cd"),
        ("docker", ["pull", .., image]) => {
            assert!(state.docker);
            state.images.push((*image).to_owned());
            state.unsynced = true;
            put(state, "/srv/sovereign/docker/overlay2", b"");
            code(0)
        }
        ("sync", _) => {
            state.unsynced = false;
            code(0)
        }
        ("docker-compose", ["--project-name", stack, .., "down", "--remove-orphans"]) => {
            state.containers.remove(*stack);
            code(0)
        }
        ("rm", [.., "--", dir])
            if ["/srv/sovereign/stacks/", "/srv/sovereign/data/", "/etc/systemd/system/"]
                .iter()
                .any(|top| dir.starts_with(top)) =>
        {
            engine::wipe(state, dir);
            code(0)
        }
        ("rm", args) => {
            assert!(!state.docker);
            assert!(state.images.is_empty() || args.contains(&"/srv/sovereign/docker/overlay2"));
            state.images.clear();
            (state.torn, state.unsynced) = (false, false);
            code(0)
        }
        ("docker-compose", ["--project-name", stack, .., "down"]) => {
            state.containers.remove(*stack);
            state.networks.retain(|_, labels| labels["com.docker.compose.project"] != *stack);
            code(0)
        }
        ("docker", ["network", "create", options @ .., name]) => {
            engine::make_network(state, options, name);
            code(0)
        }
        ("docker", ["network", "rm", name]) => {
            engine::remove_network(state, name);
            code(0)
        }
        _ => code(0),
    }
}

fn opened(state: &mut State) -> &mut Luks {
    assert!(state.open, "the volume is not open");
    match &mut state.volume {
        Content::Luks(luks) => luks,
        other => panic!("not LUKS but {other:?}"),
    }
}

fn cryptsetup(state: &mut State, args: &[&str], cmd: &Cmd, torn: bool) -> Output {
    let after = |flag: &str| args.iter().position(|a| *a == flag).map(|at| args[at + 1]);
    let key = match after("--key-file") {
        Some("-") => cmd.input().to_vec(),
        Some(path) => get(state, path),
        // As typed: up to the return key.
        None => cmd.input().split(|b| *b == b'\n').next().unwrap_or_default().to_vec(),
    };
    let slot = after("--key-slot").map(|s| s.parse().unwrap());
    let salt = state.acts;
    match args[0] {
        "luksFormat" => {
            if let Content::Luks(luks) = &state.volume {
                assert!(!luks.used, "a volume that was used was formatted");
            }
            assert!(!matches!(state.volume, Content::Foreign(_)), "a foreign volume was formatted");
            state.formats += 1;
            let uuid = after("--uuid").unwrap().to_owned();
            let mut luks = Luks { uuid, ..Luks::default() };
            if torn {
                // Either bytes nobody recognises or a header without a key, in turn.
                state.volume = if salt.is_multiple_of(2) {
                    Content::Bytes(20_000, vec![1])
                } else {
                    Content::Luks(luks)
                };
                return code(0);
            }
            luks.slots.insert(slot.unwrap(), (key, salt));
            state.volume = Content::Luks(luks);
            code(0)
        }
        _ if torn => code(0),
        "luksAddKey" => {
            let new = get(state, args.last().unwrap());
            let luks = luks(state);
            assert!(luks.opens(&key, None) && !new.is_empty());
            luks.slots.insert(slot.unwrap(), (new, salt));
            code(0)
        }
        "luksKillSlot" => {
            let (header, slot) = (args[args.len() - 2], args.last().unwrap().parse().unwrap());
            let target = if header == "/dev/sda" { luks(state).clone() } else { copied(state, header) };
            let others: Vec<u32> = target.slots.keys().copied().filter(|n| *n != slot).collect();
            if !others.iter().any(|n| target.opens(&key, Some(*n))) {
                return code(2);
            }
            let mut target = target;
            target.slots.remove(&slot);
            if header == "/dev/sda" {
                *luks(state) = target;
            } else {
                copy(state, header, &target);
            }
            code(0)
        }
        "luksHeaderBackup" => {
            let now = luks(state).clone();
            copy(state, args.last().unwrap(), &now);
            code(0)
        }
        "open" => {
            let target = match after("--header") {
                Some(header) => copied(state, header),
                None => luks(state).clone(),
            };
            if !target.opens(&key, slot) {
                // As the real one: a slot that is not there is another failure than a wrong key.
                let there = slot.is_none_or(|slot| target.slots.contains_key(&slot));
                return code(if there && !target.slots.is_empty() { 2 } else { 1 });
            }
            if !args.contains(&"--test-passphrase") {
                state.open = true;
                state.mapped = room(state);
            }
            code(0)
        }
        "resize" => {
            assert!(state.open && args.last() == Some(&"sovereign"));
            if !luks(state).opens(&key, None) {
                return code(2);
            }
            state.mapped = room(state);
            code(0)
        }
        "token" => {
            let id = after("--token-id").unwrap().to_owned();
            let tokens = &mut luks(state).tokens;
            match args[1] {
                "import" if tokens.contains_key(&id) => return code(1),
                "import" => drop(tokens.insert(id, serde_json::from_slice(cmd.input()).unwrap())),
                "remove" => drop(tokens.remove(&id).unwrap()),
                other => panic!("cryptsetup token {other}"),
            }
            code(0)
        }
        other => panic!("cryptsetup {other}"),
    }
}

/// What the kernel sees of the disk, behind the header.
fn room(state: &mut State) -> u64 {
    let sectors = String::from_utf8(get(state, "/sys/class/block/sda/size")).unwrap();
    sectors.trim().parse::<u64>().unwrap() * 512 - (4 << 20)
}

fn luks(state: &mut State) -> &mut Luks {
    match &mut state.volume {
        Content::Luks(luks) => luks,
        other => panic!("not LUKS but {other:?}"),
    }
}

/// A copied header is its bytes, and beside them, out of sight, the keys it holds.
fn copy(state: &mut State, path: &str, luks: &Luks) {
    put(state, path, &luks.header());
    let keys: Vec<_> = luks.slots.iter().map(|(n, (k, s))| (*n, k.clone(), *s)).collect();
    put(state, &format!("/dev/keys{path}"), &serde_json::to_vec(&(&luks.uuid, keys, &luks.tokens)).unwrap());
}

fn copied(state: &mut State, path: &str) -> Luks {
    type Copied = (String, Vec<(u32, Vec<u8>, u64)>, serde_json::Map<String, serde_json::Value>);
    let (uuid, keys, tokens): Copied =
        serde_json::from_slice(&get(state, &format!("/dev/keys{path}"))).unwrap();
    Luks { uuid, slots: keys.into_iter().map(|(n, k, s)| (n, (k, s))).collect(), tokens, ..Luks::default() }
}

fn blkid(state: &mut State, device: &str) -> Output {
    if device == "/dev/mapper/sovereign" {
        let luks = opened(state);
        let kind = luks.foreign.or(luks.files.is_some().then_some("ext4"));
        return kind.map_or_else(|| code(2), says);
    }
    match &state.volume {
        Content::Zero | Content::Bytes(..) => code(2),
        Content::Foreign(kind) => says(&format!("TYPE={kind}\n")),
        Content::Luks(luks) => says(&format!("UUID={}\nTYPE=crypto_LUKS\n", luks.uuid)),
    }
}

fn systemctl(state: &mut State, args: &[&str]) -> Output {
    let link = |unit: &str| {
        let target = match unit {
            stack if stack.starts_with("sovereign-stack@") => "sovereign-stacks.target",
            "sovereign-vpn.service" => "sovereign-stacks.target",
            timer if timer.ends_with(".timer") => "timers.target",
            "apparmor.service" => "sysinit.target",
            _ => "multi-user.target",
        };
        format!("/etc/systemd/system/{target}.wants/{unit}")
    };
    match args {
        ["reload", "ssh.service"] => state.sshd = get(state, "/etc/ssh/ssh_host_ed25519_key"),
        ["start", "srv-sovereign.mount"] => {
            assert!(opened(state).files.is_some(), "there is no file system to mount");
            state.mounted = true;
        }
        ["start", "sovereign-vpn.service"] => {
            assert!(!get(state, network::PROGRAM).is_empty(), "the node has no program");
            put(state, network::SOCKET, b"socket");
        }
        ["start", "docker.service"] => {
            assert!(state.mounted, "Docker was started without its volume");
            state.docker = true;
            for dir in ["/srv/sovereign/docker", "/srv/sovereign/containerd", "/run/docker.pid"] {
                put(state, dir, b"");
            }
            engine::started(state);
        }
        ["daemon-reload"] => load_units(state),
        ["stop", rest @ ..] if rest.contains(&"docker.service") => {
            state.docker = false;
            state.memory.remove(Path::new("/run/docker.pid"));
            state.containers.clear();
        }
        ["stop", timer] if timer.ends_with(".timer") => {
            state.timers.remove(*timer);
            state.memory.remove(&Path::new(TRANSIENT).join(timer));
        }
        ["restart", timer] if timer.ends_with(".timer") => {
            let now = state.clock;
            let Some((due, _)) = state.timers.get_mut(*timer) else { return code(5) };
            *due = now + Duration::from_secs(60);
        }
        ["show", "--property=NeedDaemonReload", "--value", "--", units @ ..] => {
            let answer = if knows_its_units(state) { "no\n\n" } else { "yes\n\n" };
            return says(&answer.repeat(units.len()));
        }
        ["show", "--property=Id,MainPID,Type", "--", units @ ..] => {
            let mut text = String::new();
            for unit in units {
                // The process of its own whose id is below a hundred; what is upgraded itself is a oneshot.
                let of = |pid: &u32| {
                    let cgroup = get(state, &format!("/proc/{pid}/cgroup"));
                    String::from_utf8(cgroup).unwrap().contains(&format!("/{unit}"))
                };
                let pid = (1..100).find(of).unwrap_or(0);
                let kind = if unit.starts_with("apt-") { "oneshot" } else { "notify" };
                text += &format!("Type={kind}\nMainPID={pid}\nId={unit}\n\n");
            }
            return says(&text);
        }
        ["restart", "--job-mode=ignore-requirements", unit] => renewed(state, unit),
        ["start", unit @ "auditd.service"] => renewed(state, unit),
        ["enable", units @ ..] => units.iter().for_each(|unit| put(state, &link(unit), b"")),
        ["mask", units @ ..] => {
            units.iter().for_each(|unit| put(state, &format!("/etc/systemd/system/{unit}"), b""));
        }
        ["disable", rest @ ..] => {
            for unit in rest {
                let path = link(unit);
                state.root.remove(Path::new(&path));
            }
        }
        ["reload-or-restart" | "restart", units @ ..] if units[0].starts_with("sovereign-stack@") => {
            units.iter().for_each(|unit| engine::up(state, unit));
        }
        _ => {}
    }
    code(0)
}

fn units(state: &State) -> Files {
    let units = state.root.iter().filter(|(path, _)| path.starts_with("/etc/systemd/system"));
    units.map(|(path, node)| (path.clone(), node.clone())).collect()
}

/// systemd reads its units.
pub(super) fn load_units(state: &mut State) {
    state.loaded = units(state);
}

fn knows_its_units(state: &State) -> bool {
    let text = |files: &Files| -> Vec<_> {
        files.iter().map(|(path, node)| (path.clone(), node.bytes.clone())).collect()
    };
    text(&state.loaded) == text(&units(state))
}

/// A unit runs with what lies on the disk.
fn renewed(state: &mut State, unit: &str) {
    let of = |(path, node): (&std::path::PathBuf, &Node)| {
        let theirs = path.ends_with("cgroup") && String::from_utf8_lossy(&node.bytes).contains(unit);
        theirs.then(|| path.with_file_name("maps"))
    };
    let maps: Vec<_> = state.memory.iter().filter_map(of).collect();
    for path in maps {
        state.memory.remove(&path);
    }
}

/// Does what the script says that puts a change back.
pub(super) fn put_back(state: &mut State, script: &str, word: &str) {
    let text = String::from_utf8(get(state, script)).unwrap();
    let Some(folder) = script.strip_suffix("/put-back") else { panic!("sh {script}") };
    let door = folder.rsplit('/').next().unwrap();
    let asked = state.root.contains_key(Path::new(&format!("{folder}/asked")));
    let acknowledged = get(state, &format!("/var/lib/sovereign/acknowledged/{door}"));
    let acknowledged = String::from_utf8(acknowledged).unwrap();
    let confirmed = text.contains(&format!("!= {} ]", acknowledged.trim_end()));
    if text.is_empty() || confirmed || !asked && word != "anyway" {
        return;
    }
    for path in text.lines().filter_map(|line| line.strip_prefix("back /")) {
        match state.root.get(Path::new(&format!("{folder}/before/{path}"))).cloned() {
            Some(before) => drop(state.root.insert(format!("/{path}").into(), before)),
            None => drop(state.root.remove(Path::new(&format!("/{path}")))),
        }
    }
    if word != "boot" && door == "firewall" {
        state.closed = get(state, "/etc/ufw/ufw.conf").starts_with(b"ENABLED=yes");
    }
    state.root.remove(Path::new(&format!("{folder}/asked")));
}

/// Runs what is due.
pub(super) fn fire_timers(state: &mut State) {
    let due: Vec<_> =
        state.timers.iter().filter(|(_, (due, _))| *due <= state.clock).map(|(t, _)| t.clone()).collect();
    for timer in due {
        let (_, script) = state.timers.remove(&timer).unwrap();
        state.memory.remove(&Path::new(TRANSIENT).join(timer));
        put_back(state, &script, "");
    }
}

/// What the kernel shows of UFW's files once UFW is on.
fn kernel_rules(state: &mut State, six: &str) -> String {
    if !state.closed {
        return "-P INPUT ACCEPT\n".into();
    }
    let mut text = format!(
        "-P INPUT DROP\n-P FORWARD DROP\n-A INPUT -j ufw{six}-before-input\n-A OUTPUT -j ufw{six}-before-output\n\
         -A OUTPUT -j ufw{six}-after-output\n-A ufw{six}-before-input -j ufw{six}-user-input\n\
         -A ufw{six}-before-output -j ufw{six}-user-output\n"
    );
    if state.docker && six.is_empty() {
        text += if state.passed_over { "-A FORWARD -j DOCKER\n" } else { "-A FORWARD -j DOCKER-USER\n" };
        text += "-N DOCKER\n";
    }
    for file in [format!("/etc/ufw/user{six}.rules"), format!("/etc/ufw/after{six}.rules")] {
        for line in String::from_utf8(get(state, &file)).unwrap().lines().filter(|l| l.starts_with("-A ")) {
            let shown = line.replace("-p tcp --dport", "-p tcp -m tcp --dport");
            let mut shown = shown.replace("-p udp --dport", "-p udp -m udp --dport");
            if shown.ends_with("-j REJECT") {
                shown += &format!(" --reject-with icmp{six}-port-unreachable");
            }
            text += &format!("{shown}\n");
        }
    }
    text
}
