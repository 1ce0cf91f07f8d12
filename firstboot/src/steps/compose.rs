//! The command `docker-compose`, of Compose's second generation, where a release has it otherwise.

use super::harden;
use crate::Cx;
use anyhow::{Result, bail};

/// The same program as Docker's plug-in: all that Ubuntu's package `docker-compose-v2` has.
const PLUGIN: &str = "/usr/libexec/docker/cli-plugins/docker-compose";
/// What an operator or this module puts in place.
const COMMAND: &str = "/usr/local/bin/docker-compose";
/// In the first generation's package only, which was written in Python.
const FIRST_GENERATION: &str = "/usr/lib/python3/dist-packages/compose";

/// Makes the plug-in a command where there is nothing but the plug-in; it is a program of its own.
pub(super) fn from_plugin(cx: &Cx<'_>) -> Result<()> {
    if !cx.machine().has_program("docker-compose") && cx.exists(PLUGIN)? {
        cx.ensure_file(COMMAND, format!("#!/bin/sh\nexec {PLUGIN} \"$@\"\n").as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Refuses the first generation, which knows half of what the compose files say.
pub(super) fn need_second_generation(cx: &Cx<'_>) -> Result<()> {
    if cx.exists(COMMAND)? || cx.machine().list(FIRST_GENERATION.as_ref())?.is_empty() {
        return Ok(());
    }
    bail!(
        "looking for programs: the docker-compose of {} is of the first generation; put the program of a release from 2 \
         on, from https://github.com/docker/compose, at {COMMAND}, then try again",
        harden::release(cx)?.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn a_plug_in_becomes_a_command() {
        let fake = Fake::new();
        fake.lacks("docker-compose");
        let cx = Cx::begin(&fake, "0.0.0 test").unwrap();
        from_plugin(&cx).unwrap();
        assert_eq!(fake.get(COMMAND), None, "there is no plug-in");
        fake.put(PLUGIN, b"ELF");
        assert!(matches!(crate::boot::run(&cx).unwrap(), crate::boot::Ended::Done));
        let command = String::from_utf8(fake.get(COMMAND).unwrap()).unwrap();
        assert!(command.contains(&format!("exec {PLUGIN} \"$@\"")), "{command}");
    }

    #[test]
    fn the_first_generation_is_refused_until_the_second_is_there() {
        let fake = Fake::new();
        fake.put("/etc/os-release", b"ID=debian\nVERSION_ID=\"12\"\n");
        fake.put(&format!("{FIRST_GENERATION}/__init__.py"), b"");
        let crate::boot::Ended::Failed(error) = fake.run().unwrap() else { panic!("it went on") };
        let error = error.to_string();
        assert!(error.contains("docker-compose of debian-12 is of the first generation"), "{error}");
        assert!(error.contains(COMMAND), "{error}");
        fake.put(COMMAND, b"ELF");
        assert!(matches!(fake.run().unwrap(), crate::boot::Ended::Done));
    }
}
