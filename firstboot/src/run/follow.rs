//! `firstboot events`: the stream to stdout, as it grows.

use super::events;
use crate::machine::Machine;
use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use spec::paths;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(100);
/// How long to wait for a firstboot that was asked to start and has not said anything yet.
const IDLE: Duration = Duration::from_secs(5);

/// Prints the events from number `from` on. With `follow` it goes on until the last one was a last one, or nobody reads.
pub(crate) fn events(
    machine: &dyn Machine,
    from: u64,
    follow: bool,
    running: &dyn Fn() -> bool,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (mut next, mut read) = (from, 0);
    let mut idle = Duration::ZERO;
    loop {
        let bytes = grown(machine, read)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        read += whole as u64;
        let mut ended = false;
        for event in events::parse(&bytes[..whole]) {
            ended = events::is_last(&event.kind);
            if event.seq >= next {
                next = event.seq + 1;
                idle = Duration::ZERO;
                if out.write_all(&event.to_line()).and_then(|()| out.flush()).is_err() {
                    return Ok(());
                }
            }
        }
        if !follow || ended && !running() || idle >= IDLE && !running() || !reader_is_there(&out) {
            return Ok(());
        }
        machine.sleep(POLL);
        idle += POLL;
    }
}

/// The events from number `from` on as one JSON document, an array.
pub(crate) fn document(machine: &dyn Machine, from: u64) -> Result<Vec<u8>> {
    let bytes = machine.read(Path::new(paths::EVENTS))?.unwrap_or_default();
    let events: Vec<_> = events::parse(&bytes).into_iter().filter(|event| event.seq >= from).collect();
    let mut json = serde_json::to_vec_pretty(&events)?;
    json.push(b'\n');
    Ok(json)
}

/// What was added to the stream since.
fn grown(machine: &dyn Machine, read: u64) -> Result<Vec<u8>> {
    let path = Path::new(paths::EVENTS);
    let len = machine.stat(path)?.map_or(0, |s| s.len);
    let more = usize::try_from(len.saturating_sub(read))?;
    Ok(if more == 0 { Vec::new() } else { machine.read_at(path, read, more)? })
}

/// A reader that went away shows on the pipe before anything is written to it.
fn reader_is_there(out: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(out, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(_) => !fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn the_document_is_one_array_that_begins_where_asked() {
        let fake = Fake::new();
        assert_eq!(document(&fake, 1).unwrap(), b"[]\n");
        fake.run().unwrap();
        let all: Vec<spec::Event> = serde_json::from_slice(&document(&fake, 1).unwrap()).unwrap();
        let last: Vec<spec::Event> = serde_json::from_slice(&document(&fake, 3).unwrap()).unwrap();
        assert_eq!((all[0].seq, &all[2..]), (1, &last[..]));
    }
}
