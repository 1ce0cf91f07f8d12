//! Runs a program to its end and takes what it says.

use super::{Cmd, Error, Input};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The most that a program may say on stdout, and on stderr, where it is taken into memory: far beyond what any has to
/// say, since a server that was broken into says what it likes.
pub const MOST_OUTPUT: u64 = 64 << 20;
/// How much of a failed program's stderr an error carries.
const STDERR_TAIL: usize = 1024;

impl Cmd {
    pub(crate) fn capture(&self) -> Result<Output, Error> {
        let io = |doing, e| Error::io(doing, &self.program, e);
        let mut command = self.to_std()?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if !matches!(self.stdin, Input::Closed) {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|e| io("starting", e))?;
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pid = Pid::from_child(&child);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut pipe) = stdin {
                    // A program that stops reading says why itself, by its exit code.
                    let _ = pipe.write_all(self.input());
                }
            });
            let out = scope.spawn(move || self.read_all(stdout, pid));
            let err = scope.spawn(move || self.read_all(stderr, pid));
            let timed_out = self.wait(pid).map_err(|e| io("waiting for", e.into()))?;
            let [stdout, stderr] = [out, err].map(|reader| reader.join().unwrap_or_default());
            // Not before: until then nobody else can have its number, by which the readers stop it.
            let status = child.wait().map_err(|e| io("waiting for", e))?;
            let (Some(stdout), Some(stderr)) = (stdout, stderr) else { return Err(self.says_too_much()) };
            let stderr = crate::clean(&String::from_utf8_lossy(&stderr));
            Ok(Output { stdout, stderr, code: status.code(), signal: status.signal(), timed_out })
        })
    }

    /// All that comes; `None` of a program that says too much, which is stopped.
    fn read_all(&self, pipe: Option<impl Read>, pid: Pid) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(MOST_OUTPUT + 1).read_to_end(&mut bytes);
        }
        if bytes.len() as u64 <= MOST_OUTPUT {
            return Some(bytes);
        }
        // It may have ended by itself.
        let _ = self.kill(pid);
        None
    }

    /// Waits for its end, or ends it when its time is over and gives true. What is left of it stays to be collected.
    fn wait(&self, pid: Pid) -> rustix::io::Result<bool> {
        let ended = |more| {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | more;
            Ok(retry_on_intr(|| waitid(WaitId::Pid(pid), options))?.is_some())
        };
        let Some(limit) = self.timeout else { return ended(WaitIdOptions::empty()).map(|_| false) };
        let start = Instant::now();
        while !ended(WaitIdOptions::NOHANG)? {
            if start.elapsed() >= limit {
                self.kill(pid)?;
                return ended(WaitIdOptions::empty());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }

    fn kill(&self, pid: Pid) -> rustix::io::Result<()> {
        if self.with_children {
            kill_process_group(pid, Signal::KILL)
        } else {
            kill_process(pid, Signal::KILL)
        }
    }
}

/// What a program left behind.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// All it wrote to stdout.
    pub stdout: Vec<u8>,
    /// All it wrote to stderr, [cleaned](crate::clean).
    pub stderr: String,
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether we killed it for taking too long.
    pub timed_out: bool,
}

impl Output {
    /// Whether it exited with 0.
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }

    /// Its stdout as text, [cleaned](crate::clean), without the trailing newline.
    pub fn text(&self) -> String {
        crate::clean(String::from_utf8_lossy(&self.stdout).trim_end())
    }

    /// The same where that is whole: a line, or several, that ends as lines do. A stream that was cut short does not.
    pub fn line(&self) -> Option<String> {
        self.stdout.ends_with(b"\n").then(|| self.text())
    }

    /// Itself when it succeeded, else the error that says how it ended.
    pub fn into_success(self, cmd: &Cmd) -> Result<Self, Error> {
        if self.success() {
            return Ok(self);
        }
        let how = match (self.timed_out, self.code, self.signal) {
            (true, ..) => "took too long and was stopped".to_owned(),
            (_, Some(code), _) => format!("exit code {code}"),
            (_, _, Some(signal)) => format!("killed by signal {signal}"),
            _ => "ended for no stated reason".to_owned(),
        };
        let said = self.stderr.trim_end();
        let mut from = said.len().saturating_sub(STDERR_TAIL);
        while !said.is_char_boundary(from) {
            from += 1;
        }
        Err(Error::Failed { line: cmd.shown(), how, code: self.code, stderr: said[from..].to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_or_none() {
        let whole = Output { stdout: b"42\n".to_vec(), ..Output::default() };
        assert_eq!(whole.line().as_deref(), Some("42"));
        for cut in 0..3 {
            let cut = Output { stdout: whole.stdout[..cut].to_vec(), ..Output::default() };
            assert_eq!(cut.line(), None);
        }
    }

    #[test]
    fn a_failure_carries_the_line_the_code_and_the_last_words() {
        let cmd = Cmd::new("sh").args(["-c", "echo first >&2; echo 'no space' >&2; exit 7"]);
        let error = cmd.capture().unwrap().into_success(&cmd).unwrap_err().to_string();
        assert!(error.starts_with("running sh -c "), "{error}");
        assert!(error.contains("exit code 7") && error.ends_with("no space"), "{error}");
    }

    #[test]
    fn what_a_program_says_cannot_steer_a_terminal() {
        let cmd = Cmd::new("printf").arg(r"\033[2Jout");
        assert_eq!(cmd.capture().unwrap().text(), "\u{fffd}[2Jout");
        let cmd = Cmd::new("sh").args(["-c", r"printf '\033]0;gone\a' >&2; exit 1"]);
        let error = cmd.capture().unwrap().into_success(&cmd).unwrap_err().to_string();
        assert!(error.ends_with("\n\u{fffd}]0;gone\u{fffd}"), "{error:?}");
    }

    #[test]
    fn a_program_that_hangs_is_stopped() {
        let cmd = Cmd::new("sleep").arg("60").timeout(Duration::from_millis(50));
        let error = cmd.capture().unwrap().into_success(&cmd).unwrap_err().to_string();
        assert!(error.contains("took too long"), "{error}");
    }

    #[test]
    fn what_a_script_started_does_not_outlive_its_limit() {
        let start = Instant::now();
        let cmd = Cmd::new("sh").args(["-c", "sleep 60 & wait"]).timeout(Duration::from_millis(50));
        assert!(cmd.with_children().capture().unwrap().timed_out);
        assert!(start.elapsed() < Duration::from_secs(30), "its child kept the pipes open");
    }

    #[test]
    fn a_program_that_says_too_much_is_stopped() {
        let start = Instant::now();
        for stream in ["", " >&2"] {
            // It goes on however little anybody reads of it, as a program of ill will does.
            let script = format!("head -c {}{stream} /dev/zero; exec sleep 60", MOST_OUTPUT + 65_537);
            let error = Cmd::new("sh").args(["-c", &script]).capture().unwrap_err().to_string();
            assert!(error.starts_with("running sh -c ") && error.contains("more than 64 MiB"), "{error}");
        }
        let most = Cmd::new("head").args(["-c", &MOST_OUTPUT.to_string(), "/dev/zero"]).capture().unwrap();
        assert_eq!((most.stdout.len() as u64, most.code), (MOST_OUTPUT, Some(0)));
        assert!(start.elapsed() < Duration::from_secs(50), "it was waited for");
    }
}
