//! What the step `harden` says, looked at on the machine and from outside.

use super::{PROGRAMS, again_changes_nothing, run_async};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use provisioner::api::model::Server;
use tests::{Rig, World, can_run};

/// The demo's.
const SSH: &str = "2222";

/// Everything at once: each connection costs an emulated machine a second. Every part begins with a line of its own.
const LOOK: &str = "for i in $(seq 90); do systemctl is-active --quiet fail2ban && break; sleep 1; done; \
    echo == sshd; sshd -T; \
    echo == sysctl; cat /proc/sys/kernel/core_pattern /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter; \
    echo == active; systemctl is-active chrony auditd fail2ban apparmor apt-daily-upgrade.timer; \
    echo == chrony; chronyc -n -c sources -a; grep -c '^server ntp[123].hetzner' /etc/chrony/chrony.conf; \
    echo == failed; systemctl --failed --no-legend --plain; \
    echo == journal; journalctl --header | grep -c 'File path: /var/log/journal'; systemd-analyze cat-config systemd/journald.conf; \
    echo == profiles; docker ps -q | xargs docker inspect -f '{{.Name}} {{.AppArmorProfile}}'; docker info -f '{{.SecurityOptions}}'; \
        grep docker-default /sys/kernel/security/apparmor/profiles; \
    echo == confined; for p in $(docker ps -q | xargs docker inspect -f '{{.State.Pid}}'); do cat /proc/$p/attr/current; done; \
    echo == jail; fail2ban-client get sshd maxretry; fail2ban-client get sshd journalmatch; \
    echo == audit; auditctl -l; \
    echo == dump; cd /tmp && sh -c 'ulimit -c unlimited; kill -SEGV $$'; find /tmp /var/lib/systemd/coredump -type f -name '*core*' 2>/dev/null | wc -l; \
    echo == origins; apt-config dump | grep Unattended-Upgrade::Origins; \
    echo == upgrades; unattended-upgrade --dry-run --debug 2>&1; echo \"code $?\"; \
    echo == swap; cat /proc/swaps; systemctl is-enabled swap.target";

pub(crate) fn holds() -> Result<()> {
    if !can_run("vm_the_host_is_hardened", &[&PROGRAMS[..], &["python3"]].concat())? {
        return Ok(());
    }
    let rig = World::Ready.fork()?;
    let said = rig.xtask(&["ssh", "--project", "demo", "--", LOOK])?.stdout;
    let part = |name: &str| -> Result<&str> {
        let after =
            said.split_once(&format!("== {name}\n")).with_context(|| format!("no {name} in {said}"))?.1;
        // An empty part is followed by the next one's line at once.
        Ok(after.split("== ").next().unwrap_or(after))
    };
    let mut wrong = Vec::new();
    let mut expect = |name: &str, holds: bool| -> Result<()> {
        if !holds {
            wrong.push(format!("{name}: {}", part(name)?));
        }
        Ok(())
    };
    let has = |name: &str, lines: &[&str]| -> Result<bool> {
        Ok(lines.iter().all(|line| part(name).is_ok_and(|part| part.lines().any(|l| l.trim() == *line))))
    };
    let sshd = [
        "passwordauthentication no",
        "permitrootlogin without-password",
        "disableforwarding yes",
        "authenticationmethods publickey",
        "hostkeyalgorithms ssh-ed25519",
        "logingracetime 30",
    ];
    expect("sshd", has("sshd", &sshd)?)?;
    expect("sysctl", part("sysctl")?.trim() == "|/bin/false\n1\n2")?;
    expect("active", part("active")?.lines().filter(|line| *line == "active").count() == 5)?;
    // No server answers a rehearsal; that chronyd asks three is what counts.
    expect("chrony", part("chrony")?.lines().count() == 4 && part("chrony")?.ends_with("3\n"))?;
    expect("failed", part("failed")?.trim().is_empty())?;
    expect("journal", has("journal", &["Storage=persistent", "SystemMaxUse=512M"])?)?;
    expect(
        "profiles",
        has("profiles", &["docker-default (enforce)"])? && part("profiles")?.contains("name=apparmor"),
    )?;
    let confined = part("confined")?;
    expect(
        "confined",
        !confined.is_empty() && confined.lines().all(|line| line == "docker-default (enforce)"),
    )?;
    expect("jail", part("jail")?.starts_with("20\n") && part("jail")?.contains("ssh.service"))?;
    let rules = ["-w /etc/docker -p wa -k docker", "-w /root/.ssh -p wa -k ssh"];
    expect("audit", has("audit", &rules)? && part("audit")?.contains("-S execve"))?;
    expect("dump", part("dump")?.trim() == "0")?;
    expect(
        "origins",
        part("origins")?.contains("label=Debian-Security") && part("origins")?.lines().count() == 2,
    )?;
    // With the release's own name in it, as apt compares it.
    let origin = "origin=Debian,codename=trixie-security,label=Debian-Security";
    expect("upgrades", part("upgrades")?.contains(origin) && has("upgrades", &["code 0"])?)?;
    expect("swap", part("swap")?.lines().count() == 2 && part("swap")?.trim().ends_with("masked"))?;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    audited(&address(&rig)?)?;
    what_was_upgraded_is_restarted(&rig)?;
    again_changes_nothing(&rig)
}

fn address(rig: &Rig) -> Result<String> {
    run_async(async {
        let servers: Vec<Server> = rig.client()?.list("listing servers", "/servers", "servers", &[]).await?;
        let address = servers.first().and_then(|server| server.public_net.ipv4.as_ref());
        Ok(address.context("the server has no address")?.ip.clone())
    })
}

/// Debian 13's ssh-audit, since the one of Debian 12 does not know the key exchanges of newer sshds. It is fetched once, before
/// the trials, which run where nothing can be fetched.
pub(crate) fn ssh_audit() -> Result<images::Unpacked> {
    Ok(images::unpacked_package(&tests::cache()?, "trixie", "ssh-audit", &images::Silent)?)
}

/// What ssh-audit makes of sshd from outside.
fn audited(address: &str) -> Result<()> {
    let package = ssh_audit()?;
    let audit = Cmd::new("python3")
        .path(package.root.join("usr/bin/ssh-audit"))
        .env("PYTHONPATH", package.root.join("usr/lib/python3/dist-packages"))
        // The rate test opens hundreds of connections, for which newer sshds shut their caller out.
        .args(["--no-colors", "--skip-rate-test", "--port", SSH, address]);
    // Its exit code also speaks of warnings.
    let said = Local.probe(&audit)?.text();
    println!("ssh-audit {}:", package.version);
    said.lines().filter(|line| line.contains("[warn]")).for_each(|line| println!("  {line}"));
    ensure!(said.contains("(kex) ") && said.contains("(mac) "), "ssh-audit saw no sshd:\n{said}");
    ensure!(!said.contains("[fail]"), "ssh-audit finds faults:\n{said}");
    Ok(())
}

/// Every daemon's program is replaced by a copy of itself, as an upgrade replaces it: `status` names them all, the service
/// that follows the daily upgrade restarts them, and no container is away meanwhile.
fn what_was_upgraded_is_restarted(rig: &Rig) -> Result<()> {
    const REPLACED: [(&str, &str); 7] = [
        ("auditd", "/usr/sbin/auditd"),
        ("chrony", "/usr/sbin/chronyd"),
        ("containerd", "/usr/bin/containerd"),
        ("docker", "/usr/sbin/dockerd"),
        ("ssh", "/usr/sbin/sshd"),
        ("systemd-journald", "/usr/lib/systemd/systemd-journald"),
        ("fail2ban", "$(readlink -f /usr/bin/python3)"),
    ];
    let files = REPLACED.map(|(_, file)| file).join(" ");
    let started = "docker inspect -f '{{.State.StartedAt}}' postgres-postgres-1";
    let there = |line: &str| {
        Ok::<_, anyhow::Error>(rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?.stdout)
    };
    let before =
        there(&format!("for f in {files}; do cp -a $f $f.new && mv $f.new $f || exit 1; done; {started}"))?;
    let status = || -> Result<String> { Ok(rig.xtask(&["status", "--project", "demo"])?.expect(0)?.stdout) };
    let named = status()?;
    for (unit, _) in REPLACED {
        ensure!(named.contains(&format!("{unit}.service runs without")), "{unit} is not named:\n{named}");
    }
    there("systemctl start sovereign-refresh.service")?;
    let left = status()?;
    ensure!(!left.contains("runs without"), "{left}");
    ensure!(there(started)? == before, "the container was started again");
    rig.xtask(&["verify", "--project", "demo"])?.expect(0)?;
    Ok(())
}
