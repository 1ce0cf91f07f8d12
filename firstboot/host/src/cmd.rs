mod capture;

pub use capture::{MOST_OUTPUT, Output};

use crate::Secret;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// Where programs are looked for; `$PATH` is not trusted.
const DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// The variables that name a proxy, as programs look for them.
const PROXIES: [&str; 7] =
    ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];

/// Why a program could not do its work, or a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program in the fixed directories.
    #[error("running {program}: it is not installed; install the package that carries it")]
    NotFound {
        /// The program's name.
        program: String,
    },
    /// The program ended with something other than success.
    #[error("running {line}: {how}{}", tail(.stderr))]
    Failed {
        /// Program and arguments, as for a shell.
        line: String,
        /// Exit code, signal or time-out.
        how: String,
        /// The exit code, where it exited.
        code: Option<i32>,
        /// The last lines it said.
        stderr: String,
    },
    /// The operating system refused.
    #[error("{doing} {what}: {why}")]
    Io {
        /// The gerund: "reading", "writing".
        doing: &'static str,
        /// The object, a path or a program.
        what: String,
        /// The cause; part of the sentence, so it is no link of a chain of errors, which would say it again.
        why: std::io::Error,
    },
}

impl Error {
    /// An operating-system error with what was being done to what.
    pub fn io(doing: &'static str, what: impl AsRef<Path>, why: std::io::Error) -> Self {
        Self::Io { doing, what: what.as_ref().display().to_string(), why }
    }
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(":\n{stderr}") }
}

enum Input {
    Closed,
    Bytes(Vec<u8>),
    Secret(Secret),
}

/// A program to run: its name, its arguments, what it reads.
///
/// Arguments are public (`ps` shows them), so a [`Secret`] is only accepted by [`Cmd::stdin_secret`]. Names, paths and values
/// reach the program byte for byte, be they text or not.
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    cwd: Option<PathBuf>,
    stdin: Input,
    timeout: Option<Duration>,
    with_children: bool,
    shown: Option<String>,
}

impl Cmd {
    /// A program by name (looked for in the fixed directories) or by absolute path.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Input::Closed,
            timeout: None,
            with_children: false,
            shown: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds a path as an argument.
    #[must_use]
    pub fn path(self, path: impl AsRef<Path>) -> Self {
        self.arg(path.as_ref())
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets one variable in the otherwise clean environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Passes one of the caller's own variables on, if it is set.
    #[must_use]
    pub fn env_from_parent(mut self, name: &str) -> Self {
        if let Some(value) = std::env::var_os(name) {
            self.env.push((name.into(), value));
        }
        self
    }

    /// Passes on the proxies that the caller's environment names: apt, cargo and their like find the network by them.
    #[must_use]
    pub fn proxies_from_parent(self) -> Self {
        PROXIES.into_iter().fold(self, Self::env_from_parent)
    }

    /// Passes all of the caller's own variables on: for what works in the caller's place.
    #[must_use]
    pub fn whole_env_from_parent(mut self) -> Self {
        self.env.extend(std::env::vars_os());
        self
    }

    /// Runs it in a directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Feeds bytes to its stdin.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(bytes.into());
        self
    }

    /// Feeds a secret to its stdin, the only way a secret reaches a program.
    #[must_use]
    pub fn stdin_secret(mut self, secret: &Secret) -> Self {
        self.stdin = Input::Secret(secret.clone());
        self
    }

    /// Feeds it what the other command was to be fed: for a command that carries the other one elsewhere.
    #[must_use]
    pub fn with_input_of(mut self, other: &Self) -> Self {
        self.stdin = match &other.stdin {
            Input::Closed => Input::Closed,
            Input::Bytes(bytes) => Input::Bytes(bytes.clone()),
            Input::Secret(secret) => Input::Secret(secret.clone()),
        };
        self
    }

    /// Kills it after this long.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// When its time is over, whatever it started is killed with it: for scripts, whose programs would keep its output open.
    /// A terminal's Ctrl-C does not reach it then.
    #[must_use]
    pub fn with_children(mut self) -> Self {
        self.with_children = true;
        self
    }

    /// Names it by something shorter than its line in errors.
    #[must_use]
    pub fn shown_as(mut self, shown: impl Into<String>) -> Self {
        self.shown = Some(shown.into());
        self
    }

    /// Program and arguments as a shell would be given them; for messages and transcripts.
    pub fn line(&self) -> String {
        let mut line = self.program().into_owned();
        for arg in self.arguments() {
            line.push(' ');
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+^".contains(c);
            if !arg.is_empty() && arg.chars().all(plain) {
                line.push_str(&arg);
            } else {
                line.push_str(&format!("'{}'", arg.replace('\'', r"'\''")));
            }
        }
        line
    }

    /// The program's name as given, as text.
    pub fn program(&self) -> Cow<'_, str> {
        self.program.to_string_lossy()
    }

    /// The arguments, as text.
    pub fn arguments(&self) -> Vec<Cow<'_, str>> {
        self.args.iter().map(|arg| arg.to_string_lossy()).collect()
    }

    /// What it is fed; for doubles that act like the program.
    pub fn input(&self) -> &[u8] {
        match &self.stdin {
            Input::Closed => &[],
            Input::Bytes(bytes) => bytes,
            Input::Secret(secret) => secret.expose(),
        }
    }

    /// The error of one that says more than [`MOST_OUTPUT`].
    pub fn says_too_much(&self) -> Error {
        let how = format!("it said more than {} MiB and was stopped", MOST_OUTPUT >> 20);
        Error::Failed { line: self.shown(), how, code: None, stderr: String::new() }
    }

    fn shown(&self) -> String {
        self.shown.clone().unwrap_or_else(|| self.line())
    }

    /// The standard library's command with the absolute path and the clean environment set, stdin closed:
    /// for callers that stream, detach or wait asynchronously.
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    pub fn to_std(&self) -> Result<std::process::Command, Error> {
        let mut command = std::process::Command::new(find_program(&self.program)?);
        command.args(&self.args).env_clear().stdin(Stdio::null());
        command.env("LC_ALL", "C.UTF-8").env("PATH", DIRECTORIES.join(":"));
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        if let Some(dir) = &self.cwd {
            command.current_dir(dir);
        }
        if self.with_children {
            command.process_group(0);
        }
        Ok(command)
    }

    /// Runs it with stdout and stderr passed through to the caller's own, and gives back the exit code
    /// (128 + signal where a signal ended it).
    pub fn run_inherited(&self) -> Result<i32, Error> {
        let status = self.to_std()?.status();
        status.map(exit_code).map_err(|e| Error::io("starting", &self.program, e))
    }

    /// The same with the caller's own stdin: for a command a person works in.
    pub fn run_interactive(&self) -> Result<i32, Error> {
        let status = self.to_std()?.stdin(Stdio::inherit()).status();
        status.map(exit_code).map_err(|e| Error::io("starting", &self.program, e))
    }
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// The absolute path of a program.
pub fn find_program(program: impl AsRef<OsStr>) -> Result<PathBuf, Error> {
    let program = program.as_ref();
    let usable =
        |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && !path.is_dir();
    let given = Path::new(program);
    if given.is_absolute() && usable(given) {
        return Ok(given.to_owned());
    }
    let named = DIRECTORIES.iter().map(|dir| Path::new(dir).join(program));
    named
        .into_iter()
        .find(|path| !given.is_absolute() && usable(path))
        .ok_or_else(|| Error::NotFound { program: program.to_string_lossy().into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_clean_and_stdin_is_closed() {
        let out = Cmd::new("env").capture().unwrap().text();
        let names: Vec<_> = out.lines().filter_map(|l| l.split('=').next()).collect();
        assert_eq!(names, ["LC_ALL", "PATH"]);
        assert_eq!(Cmd::new("cat").capture().unwrap().stdout, b"");
    }

    #[test]
    fn what_is_no_text_reaches_the_program_as_it_is() {
        use std::os::unix::ffi::OsStrExt;
        let odd = OsStr::from_bytes(b"\xff/\xfe");
        let echo = Cmd::new("sh").args(["-c", "printf %s%s \"$1\" \"$X\"", "sh"]).path(odd).env("X", odd);
        assert_eq!(echo.capture().unwrap().stdout, b"\xff/\xfe\xff/\xfe");
    }

    #[test]
    fn a_secret_goes_through_stdin() {
        let cmd = Cmd::new("cat").stdin_secret(&Secret::new(b"s3cret".to_vec()));
        assert_eq!(cmd.capture().unwrap().stdout, b"s3cret");
        assert_eq!(cmd.line(), "cat");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = find_program("no-such-program").unwrap_err().to_string();
        assert!(error.contains("no-such-program") && error.contains("not installed"));
    }
}
