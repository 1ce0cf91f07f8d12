//! The front door, tried with the real Traefik, the real gate and a real certificate authority (Pebble), as the plan
//! writes their configuration, in a network of their own on this machine.
//!
//! * [`scene`] is that network: every address of the plan is there, so who asks from where is as on a server.
//! * [`upstream`] stands behind the door, and says what it was asked; it also stands in for who provides sign-in.
//! * [`table`] is what is asked and what has to come of it.

mod ask;
mod control;
mod engine;
mod project;
mod scene;
mod table;
mod upstream;

use anyhow::{Context as _, Result, ensure};
use ask::{Ask, From};
use scene::{Scene, options};
use spec::Setting;
use std::env;
use std::path::PathBuf;

/// Names the trial that the program shall be, once it is in a network of its own.
const INSIDE: &str = "FRONT_DOOR_TRIAL";

/// The programs, as they were built for this machine.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) traefik: PathBuf,
    pub(crate) gate: PathBuf,
    pub(crate) authority: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) headscale: PathBuf,
    pub(crate) tailscale: PathBuf,
    pub(crate) tailscaled: PathBuf,
}

impl Programs {
    /// In this order, as they are handed on.
    fn all(&self) -> [(&'static str, &PathBuf); 7] {
        [
            ("TRAEFIK", &self.traefik),
            ("OAUTH2_PROXY", &self.gate),
            ("PEBBLE", &self.authority),
            ("HAPROXY", &self.haproxy),
            ("HEADSCALE", &self.headscale),
            ("TAILSCALE", &self.tailscale),
            ("TAILSCALED", &self.tailscaled),
        ]
    }

    fn handed_on() -> Result<Self> {
        let path =
            |name: &str| env::var_os(name).map(PathBuf::from).with_context(|| format!("{name} is not set"));
        Ok(Self {
            traefik: path("TRAEFIK")?,
            gate: path("OAUTH2_PROXY")?,
            authority: path("PEBBLE")?,
            haproxy: path("HAPROXY")?,
            headscale: path("HEADSCALE")?,
            tailscale: path("TAILSCALE")?,
            tailscaled: path("TAILSCALED")?,
        })
    }
}

type Trial = fn(&Programs) -> Result<()>;

/// Each trial, by its name.
pub(crate) const TRIALS: &[(&str, Trial)] = &[
    ("parts_door_every_row_of_the_table_comes_out_as_it_says", every_row),
    ("parts_door_somebody_signs_in_and_gets_what_their_role_is_for", sign_in),
    ("parts_door_devices_switch_protocols_through_it", upgrade),
    ("parts_door_large_files_pass_and_are_not_kept", large_files),
    ("parts_door_who_asks_too_often_waits_and_nobody_else", limits),
    ("parts_door_certificates_come_over_tls_alone_and_http3_is_spoken_when_asked_for", tls_alone),
    ("parts_door_without_an_authority_it_answers_by_its_own_certificate", own_certificate),
    ("parts_door_the_log_holds_addresses_and_no_secrets", the_log),
    ("parts_door_an_authority_that_was_down_is_asked_again_once_the_routes_change", authority_down),
    ("parts_door_takes_443_over_from_the_control_server_and_a_device_stays", control::takes_over),
    ("parts_door_of_the_engine_a_list_of_questions_is_heard_and_no_other", engine::each_row),
];

/// Runs a trial in a network of its own: this program again, in another namespace.
pub(crate) fn run(name: &str, programs: &Programs) -> Result<()> {
    scene::in_a_network_of_its_own(INSIDE, name, programs)
}

/// The trial that this program shall be, if it was started for one.
pub(crate) fn be_the_trial() -> Option<Result<()>> {
    let wanted = env::var(INSIDE).ok()?;
    let (_, trial) = TRIALS.iter().find(|(name, _)| *name == wanted)?;
    Some(Programs::handed_on().and_then(|programs| trial(&programs)))
}

fn every_row(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[("challenge", "http-01")]))?;
    let mut wrong = Vec::new();
    for row in table::ROWS {
        wrong.extend(row.judge(&scene).err().map(|why| format!("{}: {why:#}", row.what)));
    }
    ensure!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), table::ROWS.len(), wrong.join("\n"));
    ensure!(scene.mode("state/acme.json")? == 0o600, "acme.json can be read by others");
    Ok(())
}

fn sign_in(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[]))?;
    let member = scene.sign_in("member", "/members", From::World)?;
    let got =
        scene.ask(&Ask::of("example.org", "/members/x").with(&member).header("X-Auth-Request-User: root"))?;
    ensure!(got.status == 200, "a member does not get in: {got:?}");
    ensure!(
        got.upstream_saw("X-Auth-Request-Preferred-Username: somebody"),
        "the site is not told who asks: {got:?}"
    );
    ensure!(!got.upstream_saw("root"), "somebody says themselves who they are: {got:?}");
    let got = scene.ask(&Ask::of("example.org", "/ghost/").with(&member).from(From::Vpn))?;
    ensure!(got.status == 403, "a member's role is enough for administrators' pages: {got:?}");

    let admin = scene.sign_in("admin_access", "/ghost", From::Vpn)?;
    for (from, status) in [(From::Vpn, 200), (From::Vpn6, 200), (From::World, 403)] {
        let got = scene.ask(&Ask::of("example.org", "/ghost/").with(&admin).from(from))?;
        ensure!(got.status == status, "from {from:?}: {got:?}");
    }
    let got = scene.ask(&Ask::of("example.org", "/ghost/its-own-401").with(&admin).from(From::Vpn))?;
    ensure!(
        got.status == 401 && got.header("location").is_none(),
        "a page's own 401 leads to the gate: {got:?}"
    );
    ensure!(scene.sign_in("nothing", "/members", From::World).is_err(), "somebody without a role is let in");
    let got = scene.ask(&Ask::of("cloud.example.org", "/").with(&admin))?;
    ensure!(!got.upstream_saw("__Host-gate"), "the gate's cookie is sent to another host: {got:?}");
    Ok(())
}

fn upgrade(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[]))?;
    for (path, protocol) in
        [("/ts2021", "tailscale-control-protocol"), ("/derp", "DERP"), ("/derp", "websocket")]
    {
        let said = scene.switch("POST", "vpn.example.org", path, protocol)?;
        ensure!(
            said.starts_with("HTTP/1.1 101 ") && said.ends_with("you said: ping"),
            "{path} to {protocol}: {said}"
        );
    }
    Ok(())
}

fn large_files(programs: &Programs) -> Result<()> {
    const SIZE: u64 = 400 << 20;
    let scene = Scene::set(programs, options(&[]))?;
    let before = scene.most_memory()?;
    let got = scene.ask(&Ask::of("cloud.example.org", "/remote.php/dav/files/a/big%25.bin").upload(SIZE))?;
    ensure!(got.status == 200 && got.upstream_saw(&format!("body: {SIZE}")), "{got:?}");
    let grown = scene.most_memory()?.saturating_sub(before) / 1024;
    ensure!(grown < 64, "while {} MiB passed, Traefik took {grown} MiB more", SIZE >> 20);
    scene.say(format_args!("{} MiB passed, and Traefik took {grown} MiB more", SIZE >> 20));
    Ok(())
}

fn limits(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[]))?;
    let login = "/realms/main/login-actions/[1-80]";
    let refused = scene
        .many("auth.example.org", login, From::World)?
        .into_iter()
        .filter(|status| *status == 429)
        .count();
    ensure!((20..=40).contains(&refused), "of 80 log-ins in a moment {refused} were refused");
    let other = scene.many("auth.example.org", "/realms/main/login-actions/1", From::Other)?;
    ensure!(other == [200], "somebody else waits too: {other:?}");
    let files = scene.many("cloud.example.org", "/remote.php/dav/[1-600]", From::World)?;
    ensure!(files.iter().all(|status| *status == 200), "a device that looks through its folder is refused");
    let one = scene.many("auth.example.org", "/realms/main/login-actions/[1-60]", From::World6)?;
    let neighbour = scene.many("auth.example.org", "/realms/main/login-actions/[1-20]", From::Neighbour6)?;
    ensure!(
        one.contains(&429) && neighbour.contains(&429),
        "one household has a limit for each of its addresses"
    );
    Ok(())
}

fn tls_alone(programs: &Programs) -> Result<()> {
    let mut options = options(&[("challenge", "tls-alpn-01")]);
    options.insert("http3".into(), Setting::Switch(true));
    let scene = Scene::set(programs, options)?;
    let got = scene.ask(&Ask::of("example.org", "/"))?;
    ensure!(
        got.status == 200 && got.header("alt-svc").is_some_and(|with| with.contains("h3=\":443\"")),
        "{got:?}"
    );
    ensure!(scene.listens_on_udp(443)?, "nobody listens for HTTP/3");
    Ok(())
}

fn own_certificate(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[("acme", "")]))?;
    for host in ["example.org", "vpn.example.org"] {
        let got = scene.ask(&Ask::of(host, "/key"))?;
        ensure!(got.status == 200 && got.header("alt-svc").is_none(), "{host}: {got:?}");
    }
    ensure!(!scene.listens_on_udp(443)?, "somebody listens for HTTP/3, which nobody asked for");
    ensure!(
        scene.ask(&Ask::of("stranger.example.org", "/").blindly())?.status == 0,
        "a stranger's name has a certificate"
    );
    Ok(())
}

fn the_log(programs: &Programs) -> Result<()> {
    let scene = Scene::set(programs, options(&[]))?;
    for from in [From::World, From::World6] {
        let ask = Ask::of("example.org", "/seen?token=hidden-in-the-query").from(from);
        scene.ask(
            &ask.header("Authorization: Bearer hidden-in-a-header")
                .header("Cookie: a=hidden-in-a-cookie")
                .header("Referer: https://x/?hidden-in-a-referer")
                .header("X-Forwarded-For: 192.0.2.66"),
        )?;
    }
    let log = scene.log("traefik")?;
    ensure!(!log.contains("hidden-in"), "a secret is in the log:\n{log}");
    ensure!(!log.contains("192.0.2.66"), "a made-up address is in the log");
    for address in [From::World.address(), From::World6.address()] {
        ensure!(
            log.contains(&format!("\"ClientHost\":\"{address}\"")),
            "{address} is not in the log:\n{log}"
        );
    }
    Ok(())
}

/// Traefik asks for a certificate when its routes change and when it starts, and not again by itself.
fn authority_down(programs: &Programs) -> Result<()> {
    let (mut scene, plan) = Scene::begin(programs, options(&[]), false)?;
    let inside = Ask::of("metrics.internal.example.org", "/").from(From::Vpn);
    scene.wait("what needs no authority", || scene.ask(&inside).is_ok_and(|got| got.status == 200))?;
    let got = scene.ask(&Ask::of("example.org", "/").blindly())?;
    ensure!(got.status == 0, "a name that nobody vouches for is answered for: {got:?}");
    scene.wait("the end of Traefik's patience", || {
        scene.log("traefik").is_ok_and(|log| log.contains("cannot get ACME client"))
    })?;
    scene.start_authority(programs, false)?;
    scene.trust_the_authority()?;
    scene.change_routes("again")?;
    scene.wait_for_certificates(&plan)
}
