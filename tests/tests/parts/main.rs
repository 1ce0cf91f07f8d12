//! Stacks with real programs under a real engine, natively: see [`tests::engine`].

mod browser;
mod engine;
mod front_door;
mod isolation;
mod leaks;
mod postgres;
mod programs;
mod stack;

use libtest_mimic::Arguments;
use std::process::ExitCode;
use tests::trial;

fn main() -> ExitCode {
    if let Some(code) = tests::engine::be_firstboot() {
        return code;
    }
    if let Some(run) = engine::be_the_killed() {
        return if run.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if let Some(end) = front_door::be_the_trial() {
        return if let Err(why) = end {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    let mut trials = vec![
        trial("parts_postgres_comes_up_from_nothing_and_again", postgres::twice),
        trial("parts_a_browser_opens_a_page_through_a_published_port", browser::opens_a_page),
        trial("parts_who_reaches_whom_is_measured", isolation::is_measured),
        trial("parts_a_secret_is_found_wherever_it_leaks", leaks::found_wherever),
        trial("parts_an_engine_leaves_nothing", engine::leaves_nothing),
        trial("parts_a_killed_programs_engine_leaves_nothing", engine::killed_leaves_nothing),
        trial("parts_two_engines_run_side_by_side", engine::side_by_side),
        trial("parts_a_one_time_password_is_what_an_app_shows", otp),
    ];
    trials.extend(
        front_door::TRIALS
            .iter()
            .map(|(name, _)| trial(name, || front_door::run(name, &programs::of_the_front_door()?))),
    );
    tests::run(&Arguments::from_args(), trials).exit_code()
}

/// RFC 6238's own example, and the way a page writes a secret.
fn otp() -> anyhow::Result<()> {
    let code = tests::otp::code_at("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", 1_111_111_109)?;
    anyhow::ensure!(code == "081804", "{code}");
    anyhow::ensure!(tests::otp::code("GEZDGNBVGY3TQOJQ")?.len() == 6);
    Ok(())
}
