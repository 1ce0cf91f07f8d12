//! The rehearsal cloud, asked by programs that others wrote for Hetzner: what they accept, our own client can too.

mod cli;
mod cloud;
mod document;
mod schemathesis;
mod scripts;
mod session;

use libtest_mimic::Arguments;
use tests::trial;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("clients_schemathesis", schemathesis::finds_nothing),
        trial("clients_hcloud_cli_1_39", || cli::session("trixie", "1.39")),
        trial("clients_hcloud_cli_1_30", || cli::session("bookworm", "1.30")),
        trial("clients_pypi_hcloud", scripts::run_all),
    ];
    tests::run(&arguments, trials).exit();
}
