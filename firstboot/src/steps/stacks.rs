//! Step 8: the stacks run and are healthy.

use super::docker::Engine;
use super::escrow::Escrowed;
use super::pulls;
use super::secrets::stored;
use crate::cx::sha256;
use crate::machine::Stat;
use crate::step::Step;
use crate::{Cx, engine, units};
use ::stacks::Stack;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Error, Host as _, Secret};
use spec::{StackSpec, StepName, paths};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long one image may take to come.
const PULL: Duration = Duration::from_secs(30 * 60);
/// How long their last words may take.
const LOGS: Duration = Duration::from_secs(60);

/// All stacks are healthy.
#[derive(Debug, Clone, Copy)]
pub struct Running(());

/// See the module.
pub struct Stacks {
    /// The engine runs.
    pub engine: Engine,
    /// No data is accepted before the escrow is safe.
    pub escrowed: Escrowed,
}

impl Step for Stacks {
    const NAME: StepName = StepName::Stacks;
    type Output = Running;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Running>> {
        for stack in &cx.spec.stacks {
            if !One::new(cx, stack)?.holds(cx)? {
                return Ok(None);
            }
        }
        Ok(Some(Running(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        for stack in &cx.spec.stacks {
            let one = One::new(cx, stack)?;
            if !one.holds(cx)? {
                one.start(cx)?;
            }
        }
        Ok(())
    }
}

/// One stack, rendered.
struct One<'a> {
    wanted: &'a StackSpec,
    stack: &'static Stack,
    compose: String,
    folder: PathBuf,
}

impl<'a> One<'a> {
    fn new(cx: &Cx<'_>, wanted: &'a StackSpec) -> Result<Self> {
        let compose = ::stacks::render(wanted, &cx.spec.inbound)?;
        let folder = Path::new(paths::DATA).join("stacks").join(&wanted.name);
        Ok(Self { wanted, stack: ::stacks::find(&wanted.name)?, compose, folder })
    }

    fn unit(&self) -> String {
        format!("sovereign-stack@{}.service", self.stack.name)
    }

    /// Whether what runs is what is wanted: the marker is written once a start succeeded with this very file.
    fn holds(&self, cx: &Cx<'_>) -> Result<bool> {
        let started = format!("{}\n", sha256(self.compose.as_bytes()));
        if !cx.holds(self.folder.join("compose.yaml"), self.compose.as_bytes())?
            || !cx.holds(self.folder.join("started"), started.as_bytes())?
            || !cx.exists(format!("/etc/systemd/system/{}.wants/{}", units::STACKS, self.unit()))?
        {
            return Ok(false);
        }
        let containers = engine::containers(cx, self.stack.name)?;
        Ok(!containers.is_empty() && containers.iter().all(engine::healthy))
    }

    fn start(&self, cx: &Cx<'_>) -> Result<()> {
        let name = self.stack.name;
        self.put_files(cx).with_context(|| format!("writing the files of stack {name}"))?;
        for reference in self.wanted.images.values() {
            if !engine::has_image(cx, reference)? {
                pulls::durably(cx, || pull(cx, reference))?;
            }
        }
        cx.say(format!("starting stack {name}"))?;
        let unit = self.unit();
        cx.run(&Cmd::new("systemctl").args(["enable", "--quiet", &unit]))?;
        if cx.run(&Cmd::new("systemctl").args(["reload-or-restart", &unit])).is_err() {
            bail!(
                "starting stack {name}: it did not become healthy; see `journalctl -u {unit}` on the server, then try \
                 again. Its containers' last words:\n{}",
                self.last_words(cx)?
            );
        }
        let started = format!("{}\n", sha256(self.compose.as_bytes()));
        cx.write(&self.folder.join("started"), started.as_bytes(), 0o644)?;
        Ok(())
    }

    /// What the containers said last: why a stack did not come up is mostly there.
    fn last_words(&self, cx: &Cx<'_>) -> Result<String> {
        let cmd = Cmd::new("docker-compose").args(["--project-name", self.stack.name, "--file"]);
        let cmd = cmd.path(self.folder.join("compose.yaml")).args(["logs", "--no-color", "--tail", "10"]);
        let output = cx.probe(&cmd.env("HOME", "/root").timeout(LOGS))?;
        Ok(format!("{}{}", output.text(), output.stderr.trim_end()))
    }

    fn put_files(&self, cx: &Cx<'_>) -> Result<()> {
        let machine = cx.machine();
        cx.remove(&self.folder.join("started"))?;
        machine.make_dir(&self.folder, 0o700, 0, 0)?;
        let secrets = self.folder.join("secrets");
        machine.make_dir(&secrets, 0o700, 0, 0)?;
        for need in self.stack.secrets {
            let file = secrets.join(need.name);
            let value = cx.read(&stored(need.name))?;
            let value = Secret::new(value.with_context(|| format!("{} is not on the volume", need.name))?);
            let theirs = |s: &Stat| s.uid == need.uid && s.mode == 0o400;
            let owned = machine.stat(&file)?.is_some_and(|s| theirs(&s));
            if !owned || !cx.holds(&file, value.expose())? {
                cx.write(&file, value.expose(), 0o400)?;
                machine.chown(&file, need.uid, need.uid)?;
            }
        }
        for dir in self.stack.data {
            let path = Path::new(paths::DATA).join("data").join(dir.path);
            let right = |s: &Stat| (s.uid, s.gid, s.mode) == (dir.uid, dir.gid, dir.mode);
            if !machine.stat(&path)?.is_some_and(|s| right(&s)) {
                machine.make_dir(&path, dir.mode, dir.uid, dir.gid)?;
            }
        }
        cx.ensure_file(self.folder.join("compose.yaml"), self.compose.as_bytes(), 0o600)?;
        Ok(())
    }
}

fn pull(cx: &Cx<'_>, reference: &str) -> Result<()> {
    cx.say(format!("pulling {reference}"))?;
    let cmd = Cmd::new("docker").args(["pull", "--quiet", reference]).env("HOME", "/root").timeout(PULL);
    match cx.run(&cmd) {
        Ok(_) => Ok(()),
        Err(Error::Failed { stderr, how, .. }) => bail!("pulling {reference}: {}", explain(&stderr, &how)),
        Err(e) => Err(e.into()),
    }
}

/// What a failed pull means and what to do; the registry's own words stay at the end.
fn explain(stderr: &str, how: &str) -> String {
    let said = stderr.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| said.contains(w));
    let means = if any(&["x509", "certificate"]) {
        "the registry's certificate is not trusted here; name its authority in the project's registries"
    } else if any(&["verification failed", "digest mismatch", "unexpected digest", "digest does not match"]) {
        "the registry serves other bytes than the digest pins; nothing was started. Find out who changed the registry, \
         or pin the new digest if the new image is meant"
    } else if any(&["manifest unknown", "not found", "does not exist", "name unknown"]) {
        "the registry does not have this digest; push the image again, or pin a digest it has"
    } else if any(&["unauthorized", "denied", "authentication required"]) {
        "the registry wants a login; use one that serves these images openly"
    } else if any(&[
        "refused",
        "no such host",
        "timeout",
        "unreachable",
        "no route",
        "eof",
        "temporary failure",
        "reset by peer",
    ]) {
        "the registry cannot be reached; see that it runs and that the server may connect to it, then try again"
    } else if any(&["no space"]) {
        "the volume is full; make it larger"
    } else {
        "it failed"
    };
    format!("{means} ({how}: {})", stderr.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_a_pull_fails_has_its_own_sentence() {
        for (stderr, sentence) in [
            ("dial tcp 10.0.2.2:5000: connect: connection refused", "cannot be reached"),
            ("dial tcp: lookup registry.test: no such host", "cannot be reached"),
            ("manifest unknown: manifest unknown", "does not have this digest"),
            ("manifest verification failed for digest sha256:00", "other bytes than the digest pins"),
            ("filesystem layer verification failed for digest sha256:00", "other bytes than the digest pins"),
            ("tls: failed to verify certificate: x509: signed by unknown authority", "not trusted"),
            ("write /srv: no space left on device", "volume is full"),
        ] {
            let text = explain(stderr, "exit code 1");
            assert!(text.contains(sentence) && text.contains(stderr), "{text}");
        }
    }
}
