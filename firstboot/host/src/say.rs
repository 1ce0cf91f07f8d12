//! What a program says on its own stdout and stderr. Whoever stops reading has heard enough, which is nobody's failure:
//! what is at work goes on to its end, and its exit code is its own.

use crate::Error;
use std::io::{ErrorKind, Write};

/// Says it on stdout.
///
/// # Errors
/// Where it could not be written down whole, as on a disk that is full; not where nobody reads it.
pub fn out(text: impl AsRef<[u8]>) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::io("writing to", "stdout", error)),
        _ => Ok(()),
    }
}

/// Says it on stderr, as a line. There is nobody to tell that it could not be said.
pub fn err(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
