//! Every image of the stacks is here, pulled by its digest and on disk.

use super::docker::{Engine, engine, pulls};
use crate::run::{Cx, Step};
use anyhow::{Result, bail};
use host::{Cmd, Error, Host as _};
use spec::StepName;
use std::time::Duration;

/// How long one image may take to come.
const PULL: Duration = Duration::from_secs(30 * 60);

/// Every image is here.
#[derive(Debug, Clone, Copy)]
pub struct Pulled(());

/// See the module.
pub struct Images {
    /// The engine runs.
    pub engine: Engine,
}

impl Step for Images {
    const NAME: StepName = StepName::Images;
    type Output = Pulled;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Pulled>> {
        for reference in references(cx) {
            if !engine::has_image(cx, reference)? {
                return Ok(None);
            }
        }
        Ok(Some(Pulled(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        pull_missing(cx)
    }
}

/// Pulls what is not here.
pub(crate) fn pull_missing(cx: &Cx<'_>) -> Result<()> {
    for reference in references(cx) {
        if !engine::has_image(cx, reference)? {
            pulls::durably(cx, || pull(cx, reference))?;
        }
    }
    Ok(())
}

fn references<'c>(cx: &'c Cx<'_>) -> impl Iterator<Item = &'c str> {
    cx.spec.stacks.iter().flat_map(|stack| stack.images.values()).map(String::as_str)
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
