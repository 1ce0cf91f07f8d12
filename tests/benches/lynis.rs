//! An opinion from outside: what Debian's lynis makes of a server that was just set up. It takes minutes on an emulated
//! machine. Run it with `cargo bench --profile dev --package tests --bench lynis`.

use anyhow::{Context as _, Result};
use host::{Cmd, Host as _, Local};
use std::time::Instant;
use tests::Rig;

fn main() -> Result<()> {
    let rig = Rig::new()?;
    rig.demo("demo")?;
    rig.xtask(&["provision", "--project", "demo", "--yes"])?.expect(0)?;
    let package = images::unpacked_package(&tests::cache()?, "trixie", "lynis", &images::Silent)?;
    let tar = Cmd::new("tar").args(["--create", "--gzip", "--directory"]).path(&package.root);
    let archive = Local.run(&tar.args(["usr", "etc"]))?.stdout;
    let unpack = ["ssh", "--project", "demo", "--", "mkdir -p /run/lynis && tar -xzf - -C /run/lynis"];
    rig.fed(&unpack, archive)?.expect(0)?;
    let start = Instant::now();
    // In memory, so that it leaves nothing behind; nothing in memory may be run otherwise.
    let line = "cd /run/lynis/usr/share/lynis && cp -r /run/lynis/etc/lynis/* . && mount -o remount,exec /run; \
                /run/lynis/usr/sbin/lynis audit system --quick --no-colors --quiet --no-log \
                --report-file /run/lynis/report >/dev/null 2>&1; cat /run/lynis/report";
    let report = rig.xtask(&["ssh", "--project", "demo", "--", line])?.expect(0)?.stdout;
    let value = |key: &str| report.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let index = value("hardening_index").context("lynis gave no index")?;
    println!("lynis {}: hardening index {index}, in {:.0} s", package.version, start.elapsed().as_secs_f64());
    let advice = |line: &&str| line.starts_with("warning[]=") || line.starts_with("suggestion[]=");
    report.lines().filter(advice).for_each(|line| println!("  {line}"));
    Ok(())
}
