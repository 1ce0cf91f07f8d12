//! What an auditor from outside, Debian's lynis, makes of the server.

use super::{PROGRAMS, standing};
use anyhow::{Context as _, Result, ensure};
use std::time::Instant;
use tests::can_run;

/// Below this something has come loose; docs/audit.md says what was left on purpose.
const LEAST: u32 = 70;

/// Has lynis look at the server, and prints its hardening index and what it would still do.
pub(crate) fn lynis() -> Result<()> {
    if !can_run("vm_lynis_has_an_opinion", &[&PROGRAMS[..], &["tar", "apt-get", "dpkg-deb"]].concat())? {
        return Ok(());
    }
    let rig = standing()?;
    let package = images::unpacked_package(&tests::cache()?, "trixie", "lynis", &images::Silent)?;
    let tar = host::Cmd::new("tar")
        .args(["--create", "--gzip", "--directory"])
        .path(&package.root)
        .args(["usr", "etc"]);
    let archive = host::Host::run(&host::Local, &tar)?.stdout;
    let there = |line: &str| rig.xtask(&["ssh", "--project", "demo", "--", line]);
    rig.fed(&["ssh", "--project", "demo", "--", "mkdir -p /run/lynis && tar -xzf - -C /run/lynis"], archive)?
        .expect(0)?;
    let start = Instant::now();
    let line = "cd /run/lynis/usr/share/lynis && cp -r /run/lynis/etc/lynis/* . && mount -o remount,exec /run; \
                /run/lynis/usr/sbin/lynis audit system --quick --no-colors --quiet --no-log \
                --report-file /run/lynis/report >/dev/null 2>&1; cat /run/lynis/report";
    let report = there(line)?.expect(0)?.stdout;
    let took = start.elapsed();
    there("rm -rf /run/lynis; mount -o remount,noexec /run")?.expect(0)?;
    let value = |key: &str| report.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let index: u32 = value("hardening_index").context("lynis gave no index")?.parse()?;
    println!("lynis {}: hardening index {index}, in {:.0} s", package.version, took.as_secs_f64());
    for line in
        report.lines().filter(|line| line.starts_with("warning[]=") || line.starts_with("suggestion[]="))
    {
        println!("  {line}");
    }
    ensure!(index >= LEAST, "the hardening index is {index}, it was {LEAST} and more");
    Ok(())
}
