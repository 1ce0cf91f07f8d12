//! What is said at the end of a run that made a server ready.

use crate::made::Made;
use provisioner::context::Context;
use provisioner::dns::{self, Addresses};
use provisioner::opened::Opened;
use provisioner::provision::Provisioned;
use std::time::Instant;

/// What was done, in figures, and what comes next.
pub(crate) fn summarise(context: &Context<'_>, made: &Made, provisioned: &Provisioned, start: Instant) {
    let name = context.folder.name();
    let note = |text: &str| context.report.note(text);
    let total = start.elapsed().as_secs_f64();
    if !provisioned.changed {
        note(&format!("No changes: {name} is ready at {} ({total:.1} s).", provisioned.address));
        return;
    }
    note("");
    note(&format!("{name} is ready at {} after {total:.1} s.", provisioned.address));
    if let Some(timeline) = &provisioned.timeline {
        note(&timeline.table());
    }
    note(&format!("  firstboot {} bytes ({})", made.firstboot.size, made.firstboot.how));
    note(&format!("  {} checks passed from outside and on the server", provisioned.checks.len()));
    note("");
    note("What you do next:");
    note(&format!(
        "  copy {} to a second place: it holds the escrow and the keys",
        context.folder.path().display()
    ));
    note(&format!("  cargo xtask escrow verify --project {name}"));
    note(&format!("  cargo xtask ssh --project {name}"));
    note(&format!("  after a reboot: cargo xtask unlock --project {name} --identity FILE"));
}

/// The records of a zone that is held elsewhere, as a table to enter them from.
pub(crate) fn show_records_kept_elsewhere(opened: &Opened, addresses: Addresses) {
    if opened.project.dns.as_ref().is_some_and(|dns| !dns.at_hetzner) {
        let note = |text: &str| opened.report.note(text);
        note("");
        note("The zone is held elsewhere. Enter these records there:");
        dns::table(&opened.project.records(), addresses).lines().for_each(|line| note(&format!("  {line}")));
        let name = opened.folder.name();
        note(&format!("  as a zone file: cargo xtask status --project {name} --zone-file"));
    }
}
