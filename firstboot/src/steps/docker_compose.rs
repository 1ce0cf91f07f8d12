//! The command `docker-compose`, of Compose's second generation, where a release has it otherwise.

use super::release;
use crate::run::Cx;
use crate::system::{apt, managed};
use anyhow::{Context as _, Result, bail};

/// The same program as Docker's plug-in: all that Ubuntu's package `docker-compose-v2` has.
const PLUGIN: &str = "/usr/libexec/docker/cli-plugins/docker-compose";
/// What an operator or this module puts in place.
const COMMAND: &str = "/usr/local/bin/docker-compose";
/// In the first generation's package only, which was written in Python.
const FIRST_GENERATION: &str = "/usr/lib/python3/dist-packages/compose/__init__.py";
const SOURCE: &str = "/etc/apt/sources.list.d/sovereign-compose.list";
const PREFERENCES: &str = "/etc/apt/preferences.d/sovereign-compose";

/// Makes the plug-in a command where there is nothing but the plug-in; it is a program of its own.
pub(super) fn from_plugin(cx: &Cx<'_>) -> Result<()> {
    if !cx.machine().has_program("docker-compose") && cx.machine().exists(PLUGIN)? {
        managed::ensure_file(cx, COMMAND, format!("#!/bin/sh\nexec {PLUGIN} \"$@\"\n").as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Whether it is not the first generation, which knows half of what the compose files say.
pub(super) fn is_second_generation(cx: &Cx<'_>) -> Result<bool> {
    Ok(cx.machine().exists(COMMAND)? || !cx.machine().exists(FIRST_GENERATION)?)
}

/// Takes the package of a newer release in the place of the first generation's; nothing else comes from there.
pub(super) fn bring_second_generation(cx: &Cx<'_>) -> Result<()> {
    let release = release::release(cx)?;
    let by_hand = format!(
        "looking for programs: the docker-compose of {} is of the first generation; put the program of a release from 2 \
         on, from https://github.com/docker/compose, at {COMMAND}, then try again",
        release.name()
    );
    let Some((own, newer)) = release.compose else { bail!(by_hand) };
    cx.say(format!("installing Compose 2, from {newer}"))?;
    let mirror =
        apt::mirror(cx, own)?.with_context(|| format!("{by_hand}. No mirror of {own} is known to apt"))?;
    let pin = |package: &str, priority: i16| {
        format!("Package: {package}\nPin: release n={newer}\nPin-Priority: {priority}\n")
    };
    let preferences = [pin("*", -1), pin("docker-compose", 990)].join("\n");
    // Before the source: in between, an upgrade by itself must not take all from there.
    managed::ensure_file(cx, PREFERENCES, preferences.as_bytes(), 0o644)?;
    let source = format!(
        "# Written by firstboot, for docker-compose alone: see {PREFERENCES}.\n\
         deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror} {newer} main\n"
    );
    managed::ensure_file(cx, SOURCE, source.as_bytes(), 0o644)?;
    apt::install(cx, "docker-compose").context(by_hand)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::boot::Ended;
    use crate::testing::Fake;

    #[test]
    fn a_plug_in_becomes_a_command() {
        let fake = Fake::new();
        fake.lacks("docker-compose");
        let cx = Cx::begin(&fake).unwrap();
        from_plugin(&cx).unwrap();
        assert_eq!(fake.get(COMMAND), None, "there is no plug-in");
        fake.put(PLUGIN, b"ELF");
        assert!(matches!(crate::flow::boot::run(&cx).unwrap(), Ended::Done));
        let command = String::from_utf8(fake.get(COMMAND).unwrap()).unwrap();
        assert!(command.contains(&format!("exec {PLUGIN} \"$@\"")), "{command}");
    }

    fn with_the_first_generation(os_release: &str) -> Fake {
        let fake = Fake::new();
        fake.put("/etc/os-release", os_release.as_bytes());
        fake.put(FIRST_GENERATION, b"");
        fake
    }

    #[test]
    fn debian_12_takes_the_package_of_the_next_release_and_nothing_else() {
        let fake = with_the_first_generation("ID=debian\nVERSION_ID=\"12\"\n");
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        let text = |path| String::from_utf8(fake.get(path).unwrap()).unwrap();
        assert!(text(SOURCE).ends_with("http://mirror.test/debian/ trixie main\n"), "{}", text(SOURCE));
        assert_eq!(
            text(PREFERENCES),
            "Package: *\nPin: release n=trixie\nPin-Priority: -1\n\n\
             Package: docker-compose\nPin: release n=trixie\nPin-Priority: 990\n"
        );
        let lines = fake.state.borrow().lines.len();
        assert!(matches!(fake.run().unwrap(), Ended::Done));
        assert!(fake.state.borrow().lines[lines..].iter().all(|line| !line.starts_with("apt-get")));
    }

    #[test]
    fn elsewhere_the_first_generation_is_refused_until_the_second_is_there() {
        let fake = with_the_first_generation("ID=ubuntu\nVERSION_ID=\"22.04\"\n");
        let Ended::Failed(error) = fake.run().unwrap() else { panic!("it went on") };
        let error = error.to_string();
        assert!(error.contains("docker-compose of ubuntu-22.04 is of the first generation"), "{error}");
        assert!(error.contains(COMMAND), "{error}");
        fake.put(COMMAND, b"ELF");
        assert!(matches!(fake.run().unwrap(), Ended::Done));
    }
}
