use crate::Error;
use std::io::{Read, Write, stdin, stdout};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Carries one connection of a guest, which QEMU gives as stdin and stdout, to a Unix socket.
/// Each direction is closed when its source is; it ends when the socket's side has said everything.
pub fn relay(socket: &Path) -> Result<(), Error> {
    let failed = |e| host::Error::io("connecting to", socket, e);
    let stream = UnixStream::connect(socket).map_err(failed)?;
    let mut to_socket = stream.try_clone().map_err(failed)?;
    std::thread::spawn(move || {
        pump(&mut stdin().lock(), &mut to_socket);
        let _ = to_socket.shutdown(Shutdown::Write);
    });
    pump(&mut &stream, &mut stdout().lock());
    Ok(())
}

/// Copies until either side ends, passing on every piece at once.
fn pump(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
