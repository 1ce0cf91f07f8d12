//! `firstboot`: see the library.

fn main() -> std::process::ExitCode {
    firstboot::cli::main()
}
