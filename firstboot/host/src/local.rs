use crate::{Cmd, Error, Host, Output, files};
use std::path::Path;

/// This machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

impl Host for Local {
    fn probe(&self, cmd: &Cmd) -> Result<Output, Error> {
        cmd.capture()
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, Error> {
        files::read(path)
    }

    fn write(&self, path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        files::write(path, content, mode)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        files::remove(path)
    }
}
