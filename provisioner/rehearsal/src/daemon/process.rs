use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A process that is known by its id and the moment it started, so that an id that was given anew is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// In clock ticks since the machine's start.
    started: u64,
}

impl Process {
    pub(super) fn this() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_time(pid).unwrap_or(0) }
    }

    pub(super) fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Asks it to end, and ends it when it has not within `patience`.
    pub(super) fn end(self, patience: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid.filter(|_| self.is_alive()) {
                // It may have ended since it was looked at.
                let _ = kill_process(pid, signal);
            }
            let start = Instant::now();
            while self.is_alive() && start.elapsed() < patience {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// When the process with this id started; `None` when there is none or it is a zombie.
fn start_time(pid: u32) -> Option<u64> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<u64> {
    // The name, in parentheses, may hold anything; after it come the state and the numbers.
    let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_only() {
        let this = Process::this();
        assert!(this.is_alive());
        assert!(!Process { started: this.started + 1, ..this }.is_alive());
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(&format!("42 (a) b (c)) {tail}")), Some(4711));
        assert_eq!(parse_stat(&format!("42 (a) Z{}", &tail[1..])), None);
    }
}
