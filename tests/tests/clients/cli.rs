//! The `hcloud` programs of two Debian releases, years apart, in a session each.

use crate::cloud::Cloud;
use crate::session::{Step, compare, normalise, parse};
use anyhow::{Context as _, Result, ensure};
use host::{Cmd, Host as _, Local};
use rehearsal::Profile;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tests::{PUBLIC_KEY, can_run};

const PACKAGE: &str = "hcloud-cli";
/// No command waits for anything here that takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Fewer commands show little.
const FEWEST: usize = 100;
/// What is played, and at what time.
const SESSIONS: [(&str, Profile); 2] =
    [("hcloud.session", Profile::Current), ("hcloud-legacy.session", Profile::Legacy)];

/// Runs the session with the client of a Debian release.
pub(crate) fn session(suite: &str, version: &str) -> Result<()> {
    let name = format!("clients_hcloud_cli_{}", version.replace('.', "_"));
    if !can_run(&name, &["apt-get", "dpkg-deb"])? {
        return Ok(());
    }
    let package = images::unpacked_package(&tests::cache()?, suite, PACKAGE, &images::Silent)?;
    ensure!(package.version.starts_with(version), "{suite} has {PACKAGE} {}", package.version);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let start = Instant::now();
    let (mut commands, mut transcript) = (0, String::new());
    for (file, profile) in SESSIONS {
        let steps = parse(&std::fs::read_to_string(here.join("clients").join(file))?, version)?;
        commands += steps.len();
        let stage = Stage::set(package.root.join("usr/bin/hcloud"), profile)?;
        transcript.push_str(&stage.play(&steps).with_context(|| format!("playing {file}"))?);
    }
    ensure!(commands >= FEWEST, "only {commands} commands");
    compare(&here.join(format!("fixtures/hcloud-{version}.txt")), &normalise(&transcript)?)?;
    let took = start.elapsed().as_secs_f64();
    println!("{name}: {commands} commands of {} in {took:.1} s", package.version);
    Ok(())
}

/// A cloud with the addresses that these clients cannot make, and the files that the session names.
struct Stage {
    cloud: Cloud,
    program: PathBuf,
}

impl Stage {
    fn set(program: PathBuf, profile: Profile) -> Result<Self> {
        let cloud = Cloud::playing(profile)?;
        // They only know data centers, which are gone.
        for (name, kind) in [("address4", "ipv4"), ("address6", "ipv6")] {
            let address = json!({"name": name, "type": kind, "location": "fsn1", "auto_delete": false});
            cloud.make("/primary_ips", &address)?;
        }
        let rule = |port: &str| json!({"direction": "in", "protocol": "tcp", "port": port, "source_ips": ["0.0.0.0/0", "::/0"]});
        for (file, text) in [
            ("key.pub", format!("{PUBLIC_KEY}\n")),
            ("user-data.yaml", "#cloud-config\n{}\n".to_owned()),
            ("one.json", json!([rule("22")]).to_string()),
            ("two.json", json!([rule("80"), rule("443")]).to_string()),
        ] {
            host::files::write(&cloud.dir().join(file), text.as_bytes(), 0o644)?;
        }
        Ok(Self { cloud, program })
    }

    /// Takes all the steps, tells all that went wrong in them, else gives back the transcript.
    fn play(&self, steps: &[Step]) -> Result<String> {
        let (mut known, mut transcript, mut wrong) = (BTreeMap::new(), String::new(), Vec::new());
        for step in steps {
            let arguments = step.arguments(&known);
            let cmd = self.command(&arguments);
            let output = Local.probe(&cmd).with_context(|| format!("running {}", cmd.line()))?;
            let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), output.stderr);
            wrong.extend(step.judge(output.code, &said, &mut known).err().map(|error| error.to_string()));
            transcript.push_str(&format!("$ hcloud {}\n{said}\n", arguments.join(" ")));
        }
        ensure!(
            wrong.is_empty(),
            "{} of {} commands went wrong:\n{}",
            wrong.len(),
            steps.len(),
            wrong.join("\n")
        );
        Ok(transcript)
    }

    fn command(&self, arguments: &[String]) -> Cmd {
        Cmd::new(&self.program)
            .args(["--poll-interval", "50ms"])
            .args(arguments.iter().map(String::as_str))
            .env("HCLOUD_ENDPOINT", self.cloud.url())
            .env("HCLOUD_TOKEN", self.cloud.token())
            .env("HOME", self.cloud.dir())
            .env("TZ", "UTC")
            .current_dir(self.cloud.dir())
            .timeout(LIMIT)
    }
}
