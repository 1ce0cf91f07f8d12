//! The machine a program runs on: the one door for running programs and for touching files.
//!
//! * [`Cmd`] describes a program run: looked up in fixed directories, a clean environment
//!   (`LC_ALL=C.UTF-8`), stdin closed or fed from memory, the last lines of stderr in the error.
//!   clippy bans every other way to start a program.
//! * [`Host`] is what steps are written against: [`Local`] is this machine, [`Fake`] an in-memory double
//!   with a transcript; the provisioner adds one that goes over ssh.
//! * [`Secret`] is bytes that cannot be printed, serialised or passed as an argument.
//! * [`files`] writes whole files or nothing; [`say`] writes for whoever reads, as long as they do.
//! * [`clean`] makes what somebody else wrote fit for a terminal; what a program said has been through it.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

mod cmd;
mod fake;
pub mod files;
mod local;
pub mod say;
mod secret;
mod text;

pub use cmd::{Cmd, Error, MOST_OUTPUT, Output, find_program};
pub use fake::Fake;
pub use local::Local;
pub use secret::Secret;
pub use text::clean;

use std::path::Path;

/// A machine's programs and files, so that the same step runs on the server, from outside, or in a test.
pub trait Host {
    /// Runs a program to its end. A non-zero exit is an [`Error`]; use [`Host::probe`] where it is an answer.
    fn run(&self, cmd: &Cmd) -> Result<Output, Error> {
        let output = self.probe(cmd)?;
        output.into_success(cmd)
    }

    /// Runs a program to its end and gives back its exit status whatever it is.
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error>;

    /// The bytes of a file, or `None` when there is none.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error>;

    /// Writes a whole file or nothing: a temporary name beside it, fsync, rename, fsync of the directory.
    /// Missing parent directories are made with mode 0755.
    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error>;

    /// Removes a file; one that is not there is fine.
    fn remove(&self, path: &Path) -> Result<(), Error>;
}
