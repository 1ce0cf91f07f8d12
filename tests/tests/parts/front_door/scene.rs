//! A network of its own with every address of the plan in it, and the programs that run there.

use super::ask::{Ask, From};
use super::{Programs, project, upstream};
use anyhow::{Context as _, Result, bail, ensure};
use host::{Cmd, Host as _, Local};
use spec::Setting;
use stacks::{Part, Plan, Text};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Where the authority listens, and where it says by which root it signs.
const AUTHORITY: &str = "127.0.0.1:14000";
const ITS_ROOT: &str = "https://127.0.0.1:15000/roots/0";
/// How long certificates may take to come.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs this program again, as the trial of that name, where nobody else's addresses and ports are.
pub(super) fn in_a_network_of_its_own(variable: &str, name: &str, programs: &Programs) -> Result<()> {
    let this = std::env::current_exe().context("finding this program")?;
    let cmd = Cmd::new("unshare").args(["--net", "--mount", "--propagation", "private", "--"]).path(this);
    let cmd = cmd.env(variable, name).timeout(Duration::from_secs(300)).with_children();
    let cmd = programs.all().into_iter().fold(cmd, |cmd, (name, path)| cmd.env(name, path));
    let output = Local.run(&cmd)?;
    print!("{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}

/// The front door's options: those that every trial has, and these.
pub(super) fn options(more: &[(&str, &str)]) -> BTreeMap<String, Setting> {
    let acme = format!("https://{AUTHORITY}/dir");
    let all = [("acme", acme.as_str()), ("acme_email", "admin@example.org")]
        .into_iter()
        .chain(more.iter().copied());
    all.map(|(name, value)| (name.to_owned(), Setting::Text(value.into()))).collect()
}

/// The programs at work; they end with it.
pub(super) struct Scene {
    folder: tempfile::TempDir,
    running: Vec<(&'static str, Child)>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Scene {
    /// Sets it, and waits until each name has its certificate.
    pub(super) fn set(programs: &Programs, door: BTreeMap<String, Setting>) -> Result<Self> {
        let (scene, plan) = Self::begin(programs, door, true)?;
        scene.wait_for_certificates(&plan)?;
        Ok(scene)
    }

    /// Starts all of it. `up` is whether the authority is there afterwards.
    pub(super) fn begin(
        programs: &Programs,
        door: BTreeMap<String, Setting>,
        up: bool,
    ) -> Result<(Self, Plan)> {
        let (mut scene, plan) = Self::prepare(programs, door)?;
        if !up {
            scene.end("authority")?;
        }
        scene.start_upstreams(&plan)?;
        scene.start_door(&plan, programs)?;
        scene.start_gate(&plan, programs)?;
        Ok((scene, plan))
    }

    /// The plan and its network. The authority comes first, since the plan speaks of its root.
    pub(super) fn prepare(programs: &Programs, mut door: BTreeMap<String, Setting>) -> Result<(Self, Plan)> {
        let mut scene = Self { folder: tempfile::tempdir()?, running: Vec::new() };
        let root = workspace();
        ip(&["link", "set", "lo", "up"])?;
        scene.key_and_certificate("authority", &["localhost".into()])?;
        let over_tls = door.get("challenge") == Some(&Setting::Text("tls-alpn-01".into()));
        scene.start_authority(programs, over_tls)?;
        door.insert("acme_ca".into(), Setting::Text(scene.read("authority.pem")?));
        // The names of its own certificates the plan tells, and the gate trusts those by another plan.
        fs::create_dir(scene.path("tls"))?;
        let mut own = String::new();
        for name in &project::planned(&root, door.clone(), "")?.certificates["traefik"] {
            own.push_str(&scene.own_certificate(&format!("tls/{name}"), name)?);
        }
        fs::write(scene.path("own.pem"), own)?;
        scene.trust_the_authority()?;
        let trusted = scene.read("trusted.pem")?;
        let plan = project::planned(&root, door, &trusted)?;
        scene.make_network(&plan)?;
        Ok((scene, plan))
    }

    /// Ends a program.
    pub(super) fn end(&mut self, program: &str) -> Result<()> {
        for (_, mut child) in self.running.extract_if(.., |(name, _)| *name == program) {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The certificates that clients trust.
    pub(super) fn trusted(&self) -> PathBuf {
        self.path("trusted.pem")
    }

    pub(super) fn read(&self, name: &str) -> Result<String> {
        fs::read_to_string(self.path(name)).with_context(|| format!("reading {name}"))
    }

    pub(super) fn log(&self, program: &str) -> Result<String> {
        self.read(&format!("{program}.log"))
    }

    pub(super) fn mode(&self, name: &str) -> Result<u32> {
        Ok(fs::metadata(self.path(name))?.permissions().mode() & 0o777)
    }

    pub(super) fn say(&self, what: fmt::Arguments<'_>) {
        println!("{what}");
    }

    fn key_and_certificate(&self, name: &str, names: &[String]) -> Result<()> {
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        fs::create_dir_all(self.path(name).parent().context("it lies somewhere")?)?;
        let cmd = Cmd::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2", "-subj", "/CN=door"]);
        let cmd = cmd.args(["-addext", &format!("subjectAltName=IP:127.0.0.1,{}", names.join(","))]);
        let cmd = cmd.arg("-keyout").path(self.path(&format!("{name}.key"))).arg("-out");
        Local.run(&cmd.path(self.path(&format!("{name}.pem"))))?;
        Ok(())
    }

    /// One as firstboot makes it, in a folder; gives it.
    pub(super) fn own_certificate(&self, folder: &str, name: &str) -> Result<String> {
        self.key_and_certificate(&format!("{folder}/made"), &[name.into()])?;
        fs::rename(self.path(&format!("{folder}/made.key")), self.path(&format!("{folder}/key.pem")))?;
        fs::rename(
            self.path(&format!("{folder}/made.pem")),
            self.path(&format!("{folder}/certificate.pem")),
        )?;
        self.read(&format!("{folder}/certificate.pem"))
    }

    pub(super) fn start(&mut self, name: &'static str, cmd: &Cmd) -> Result<()> {
        let log = File::create(self.path(&format!("{name}.log")))?;
        let mut command = cmd.to_std()?;
        command.stdout(log.try_clone()?).stderr(log);
        self.running.push((name, command.spawn().with_context(|| format!("starting {name}"))?));
        Ok(())
    }

    pub(super) fn start_authority(&mut self, programs: &Programs, over_tls: bool) -> Result<()> {
        // It looks at one of the two ports; at the other one nobody would answer.
        let (http, tls) = if over_tls { (9, 443) } else { (80, 9) };
        let config = serde_json::json!({ "pebble": {
            "listenAddress": AUTHORITY, "managementListenAddress": "127.0.0.1:15000",
            "certificate": self.path("authority.pem"), "privateKey": self.path("authority.key"),
            "httpPort": http, "tlsPort": tls, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        } });
        fs::write(self.path("authority.json"), config.to_string())?;
        let cmd = Cmd::new(&programs.authority).arg("-config").path(self.path("authority.json"));
        self.start("authority", &cmd.env("PEBBLE_VA_NOSLEEP", "1"))?;
        self.wait("the authority", || TcpStream::connect(AUTHORITY).is_ok())?;
        Ok(())
    }

    /// Its root is another one each time that it is started.
    pub(super) fn trust_the_authority(&self) -> Result<()> {
        let root = Local.run(&Cmd::new("curl").args(["-sk", "--noproxy", "*", ITS_ROOT]))?;
        Ok(fs::write(self.trusted(), [root.stdout, fs::read(self.path("own.pem"))?].concat())?)
    }

    /// Every address of the plan, of those who ask and of the server; and the names that containers would find.
    fn make_network(&self, plan: &Plan) -> Result<()> {
        let members = plan.networks.iter().flat_map(|network| &network.members);
        let members = members.map(|member| member.address.to_string());
        let others = From::ALL.iter().flat_map(|from| [from.address(), from.server()]).map(str::to_owned);
        others.chain(members).try_for_each(|address| add_address(&address))?;
        let door = plan.front_door.as_ref().context("the plan has no front door")?;
        let mut hosts = String::from("127.0.0.1 localhost\n");
        for network in &plan.networks {
            let place = network.member(&door.stack, &door.service);
            for member in &network.members {
                let address = member.address.to_string();
                hosts +=
                    &format!("{address} {}.{} {}\n", member.service, member.stack, member.aliases.join(" "));
                // Containers ask from their own address; here it would be the other's.
                if let Some(place) = place.filter(|place| *place != member) {
                    ip(&[
                        "route",
                        "replace",
                        "local",
                        &address,
                        "dev",
                        "lo",
                        "src",
                        &place.address.to_string(),
                        "table",
                        "local",
                    ])?;
                }
            }
        }
        for host in plan.routes.iter().flat_map(|route| std::iter::once(&route.host).chain(&route.also)) {
            if !hosts.contains(host.as_str()) || host == "example.org" {
                hosts += &format!("198.51.100.1 {host}\n");
            }
        }
        fs::write(self.path("hosts"), hosts)?;
        Local.run(&Cmd::new("mount").arg("--bind").path(self.path("hosts")).arg("/etc/hosts"))?;
        Ok(())
    }

    fn start_upstreams(&self, plan: &Plan) -> Result<()> {
        self.key_and_certificate("provider", &["provider".into()])?;
        let mut there = std::collections::BTreeSet::new();
        let served = |stack: &str| !["traefik", "oauth2-proxy"].contains(&stack);
        for route in plan.routes.iter().filter(|route| served(&route.stack)) {
            let edge = format!("{}.edge", route.stack);
            let member =
                plan.networks_of(&route.stack, &route.service).find(|(network, _)| network.name == edge);
            let (_, member) = member.with_context(|| format!("{edge} has no {}", route.service))?;
            let key = (route.stack == "login").then(|| self.path("provider.key"));
            if there.insert((member.address, route.port)) {
                upstream::listen(IpAddr::V4(member.address), route.port, key)?;
            }
        }
        Ok(())
    }

    /// Writes a stack's configuration, with this folder for those that its container has.
    pub(super) fn write_config(&self, plan: &Plan, stack: &str, elsewhere: &[(&str, &str)]) -> Result<()> {
        let planned = plan.stack(stack).context("it is planned")?;
        for (name, text) in plan.config(planned)? {
            let path = self.path(stack).join(name);
            fs::create_dir_all(path.parent().context("it lies somewhere")?)?;
            let here = |text: String, (from, to): &(&str, &str)| {
                text.replace(from, &self.path(to).display().to_string())
            };
            fs::write(path, elsewhere.iter().fold(plain(&text), here))?;
        }
        Ok(())
    }

    pub(super) fn start_door(&mut self, plan: &Plan, programs: &Programs) -> Result<()> {
        fs::create_dir(self.path("state"))?;
        let elsewhere =
            [("/etc/traefik-tls", "tls"), ("/etc/traefik", "traefik"), ("/var/lib/traefik", "state")];
        self.write_config(plan, "traefik", &elsewhere)?;
        let config = format!("--configFile={}", self.path("traefik/traefik.yaml").display());
        self.start("traefik", &Cmd::new(&programs.traefik).arg(&config))?;
        let healthy = Cmd::new(&programs.traefik).args(["healthcheck", &config]);
        self.wait("Traefik's own health check", || Local.run(&healthy).is_ok())
    }

    fn start_gate(&mut self, plan: &Plan, programs: &Programs) -> Result<()> {
        fs::create_dir(self.path("secrets"))?;
        fs::write(self.path("secrets/oauth2-proxy-cookie-secret"), [0xfe; 32])?;
        fs::write(self.path("secrets/oauth2-proxy-client-secret"), "a-client's-secret")?;
        self.write_config(
            plan,
            "oauth2-proxy",
            &[("/etc/oauth2-proxy", "oauth2-proxy"), ("/run/secrets", "secrets")],
        )?;
        let config = format!("--config={}", self.path("oauth2-proxy/oauth2-proxy.toml").display());
        self.start("oauth2-proxy", &Cmd::new(&programs.gate).arg(config))?;
        self.wait("the gate", || TcpStream::connect("127.0.0.1:4180").is_ok())
    }

    pub(super) fn wait_for_certificates(&self, plan: &Plan) -> Result<()> {
        for host in plan.routes.iter().flat_map(|route| std::iter::once(&route.host).chain(&route.also)) {
            let answers = || self.ask(&Ask::of(host, "/")).is_ok_and(|answer| answer.status != 0);
            self.wait(&format!("the certificate of {host}"), answers)?;
        }
        Ok(())
    }

    /// Puts a file beside the routes, with something in it that no route names.
    pub(super) fn change_routes(&self, name: &str) -> Result<()> {
        let text =
            format!("http:\n  middlewares:\n    {name}:\n      stripPrefix:\n        prefixes: [/{name}]\n");
        Ok(fs::write(self.path(&format!("traefik/routes/{name}.yaml")), text)?)
    }

    pub(super) fn wait(&self, what: &str, until: impl Fn() -> bool) -> Result<()> {
        let start = Instant::now();
        while !until() {
            if start.elapsed() > PATIENCE {
                let last = |name: &str| {
                    self.log(name)
                        .unwrap_or_default()
                        .lines()
                        .rev()
                        .take(15)
                        .map(|line| format!("{name}: {line}\n"))
                        .collect::<String>()
                };
                bail!(
                    "{what} does not come:\n{}{}{}",
                    last("traefik"),
                    last("oauth2-proxy"),
                    last("authority")
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Signs in with a role, from the first refusal to the page that was asked for; gives the file with the cookies.
    pub(super) fn sign_in(&self, role: &str, path: &str, from: From) -> Result<String> {
        let cookies = self.path(&format!("{role}.cookies")).display().to_string();
        let mut url = format!("https://example.org{path}");
        for _ in 0..6 {
            let ask = Ask::url(&url).with(&cookies).from(from).header(&format!("X-Test-Role: {role}"));
            let answer = self.ask(&ask)?;
            match (answer.status, answer.header("location")) {
                (200, _) => return Ok(cookies),
                (302, Some(to)) if to.starts_with('/') => url = format!("https://example.org{to}"),
                (302, Some(to)) => url = to.into(),
                _ => bail!("signing in ended at {url}: {answer:?}"),
            }
        }
        bail!("signing in does not end: {url}")
    }

    /// Switches to another protocol and says `ping` in it; what came back.
    pub(super) fn switch(&self, method: &str, host: &str, path: &str, protocol: &str) -> Result<String> {
        let cmd = Cmd::new("openssl").args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-servername",
            host,
            "-CAfile",
        ]);
        let cmd = cmd.path(self.trusted()).args(["-connect", "198.51.100.1:443"]);
        let mut child =
            cmd.to_std()?.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut to = child.stdin.take().context("its stdin")?;
        let mut from = child.stdout.take().context("its stdout")?;
        write!(
            to,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        )?;
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            ensure!(from.read(&mut byte)? == 1, "it ends after {:?}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        to.write_all(b"ping")?;
        from.read_to_end(&mut said)?;
        child.wait()?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// The most memory Traefik has had, in KiB.
    pub(super) fn most_memory(&self) -> Result<u64> {
        let traefik = self.running.iter().find(|(name, _)| *name == "traefik").context("Traefik runs")?;
        let status = fs::read_to_string(format!("/proc/{}/status", traefik.1.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel says")?;
        line.split_whitespace().next().context("a number")?.parse().context("a number")
    }

    pub(super) fn listens_on_udp(&self, port: u16) -> Result<bool> {
        let sockets =
            [fs::read_to_string("/proc/self/net/udp")?, fs::read_to_string("/proc/self/net/udp6")?].concat();
        Ok(sockets.contains(&format!(":{port:04X} ")))
    }
}

fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn add_address(address: &str) -> Result<()> {
    let family = if address.contains(':') { &["nodad"][..] } else { &[] };
    ip(&[&["address", "replace", address, "dev", "lo"], family].concat())
}

pub(super) fn ip(args: &[&str]) -> Result<()> {
    Local.run(&Cmd::new("ip").args(args.iter().copied()))?;
    Ok(())
}

/// A text of a trial, whose secrets are nobody's.
fn plain(text: &Text) -> String {
    let part = |part| match part {
        Part::Plain(text) => text.to_owned(),
        Part::Secret(name) | Part::QuotedSecret(name) => format!("a-secret-called-{name}"),
    };
    text.parts().map(part).collect()
}
