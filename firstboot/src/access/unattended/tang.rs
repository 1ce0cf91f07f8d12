//! A keyslot whose key `clevis` gets back with the help of Tang servers, any so many of those named (Shamir's secret
//! sharing).
//!
//! The slot's LUKS2 token is clevis' own, so that `clevis luks list` shows it and `clevis luks unlock` opens it on a day
//! without this software. clevis itself is only asked to encrypt and decrypt: its units for the boot are known to give up
//! in silence, and here somebody has to say what was tried and to stop trying.

use super::{TANG_SLOT, drop_slot};
use crate::access::slots;
use crate::machine::random::{HEX, draw};
use crate::run::Cx;
use crate::system::apt;
use crate::volume::luks;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _, Secret};
use serde_json::{Value, json};
use spec::{TangServer, UnlockSpec};
use std::path::Path;
use std::time::Duration;

/// The token has its slot's number.
const TOKEN: &str = "4";
/// Where a new key is held while it gets its slot: in memory.
const KEY: &str = "/run/sovereign/tang.key";
/// One try; clevis' own question to a server that says nothing would wait without an end. With two servers it takes an
/// emulated machine with nothing else to do ten seconds: clevis starts dozens of programs.
const TRY_LIMIT: Duration = Duration::from_secs(60);
/// How long the servers are asked before the operator is waited for: networks and servers come up late after a blackout.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(3);
/// The parts of a compact JWE, in their order (RFC 7516, section 3.1).
const PARTS: [&str; 5] = ["protected", "encrypted_key", "iv", "ciphertext", "tag"];

/// Whether the token on the device is one for these servers and this threshold.
pub(super) fn is_bound(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    let UnlockSpec::Tang { threshold, servers } = &cx.spec.unlock else {
        return Ok(token(cx, device)?.is_some());
    };
    Ok(token(cx, device)?.is_some_and(|token| token["sovereign"] == policy(*threshold, servers)))
}

/// Binds the slot anew. All servers must answer now, each with a signature by the key the project names.
pub(super) fn bind(
    cx: &Cx<'_>,
    device: &Path,
    threshold: u8,
    servers: &[TangServer],
    authority: &Path,
) -> Result<()> {
    install_clevis(cx)?;
    cx.say("binding the volume to its Tang servers")?;
    let key = draw(cx.machine(), HEX, 64)?;
    let pins: Vec<Value> = servers.iter().map(|s| json!({ "url": s.url, "thp": s.thumbprint })).collect();
    let config = json!({ "t": threshold, "pins": { "tang": pins } }).to_string();
    let encrypt = Cmd::new("clevis")
        .args(["encrypt", "sss", &config])
        .stdin_secret(&key)
        .timeout(TRY_LIMIT)
        .with_children();
    let sealed = cx.probe(&encrypt)?;
    if !sealed.success() {
        bail!(
            "binding the volume to its Tang servers: {}; all of [[unlock.servers]] must be reachable from the server and \
             sign with the keys whose thumbprints stand in project.toml",
            said(&sealed)
        );
    }
    let jwe =
        Jwe::parse(&sealed.text()).context("binding the volume to its Tang servers: clevis wrote no JWE")?;
    // Tried before anything else is taken away for it.
    match recover(cx, &jwe)? {
        Ok(found) if found.expose() == key.expose() => {}
        Ok(_) => bail!("trying the Tang servers: clevis gave another key back than it was given; try again"),
        Err(why) => bail!("trying the Tang servers: clevis did not give its key back: {why}; try again"),
    }
    unbind(cx, device, authority)?;
    cx.machine().make_dir(Path::new("/run/sovereign"), 0o700, 0, 0)?;
    cx.write(Path::new(KEY), key.expose(), 0o400)?;
    let added = slots::add(cx, device, TANG_SLOT, Path::new(KEY), authority);
    cx.machine().shred(Path::new(KEY))?;
    added?;
    let token = json!({
        "type": "clevis",
        "keyslots": [TOKEN],
        "jwe": jwe.0,
        "sovereign": policy(threshold, servers),
    });
    let import = Cmd::new("cryptsetup").args(["token", "import", "--token-id", TOKEN, "--json-file", "-"]);
    cx.run(&import.path(device).stdin(token.to_string())).context("writing the token of the Tang slot")?;
    Ok(cx.machine().sync(device)?)
}

/// Fetches clevis where it is not there: a server may have been set up before it was asked for.
fn install_clevis(cx: &Cx<'_>) -> Result<()> {
    if cx.machine().has_program("clevis") {
        return Ok(());
    }
    cx.say("installing clevis")?;
    apt::install(cx, "clevis").context(
        "installing clevis, which speaks with Tang servers; install the package `clevis` by hand, then try again",
    )
}

/// Takes the slot and its token away.
pub(super) fn unbind(cx: &Cx<'_>, device: &Path, authority: &Path) -> Result<()> {
    if token(cx, device)?.is_some() {
        let remove = Cmd::new("cryptsetup").args(["token", "remove", "--token-id", TOKEN]);
        cx.run(&remove.path(device)).context("removing the token of the Tang slot")?;
    }
    drop_slot(cx, device, TANG_SLOT, authority)
}

/// Opens the volume once enough servers answer; false, with a word why, when they do not.
pub(super) fn open(cx: &Cx<'_>, device: &Path) -> Result<bool> {
    let Some(jwe) = token(cx, device)?.as_ref().and_then(Jwe::of_token) else {
        cx.say("the volume is not bound to any Tang server yet")?;
        return Ok(false);
    };
    if !cx.machine().has_program("clevis") {
        cx.say("clevis is not installed, so that no Tang server can help; waiting for the operator")?;
        return Ok(false);
    }
    cx.say("asking the Tang servers for their help")?;
    let start = cx.machine().ticks();
    loop {
        let why = match recover(cx, &jwe)? {
            Ok(key) if luks::open_with(cx, device, &key)? => return Ok(true),
            Ok(_) => "the key they gave back does not open the volume".to_owned(),
            Err(why) => why,
        };
        let waited = cx.machine().ticks().saturating_sub(start);
        if waited > PATIENCE {
            let seconds = waited.as_secs();
            cx.say(format!("too few Tang servers helped in {seconds} s ({why}); waiting for the operator"))?;
            return Ok(false);
        }
        cx.machine().sleep(PAUSE);
    }
}

/// Asks clevis for the key once; what it said where there is none.
fn recover(cx: &Cx<'_>, jwe: &Jwe) -> Result<Result<Secret, String>> {
    let found =
        cx.probe(&Cmd::new("clevis").arg("decrypt").stdin(jwe.compact()).timeout(TRY_LIMIT).with_children())?;
    Ok(if found.success() && !found.stdout.is_empty() {
        Ok(Secret::new(found.stdout))
    } else {
        Err(said(&found))
    })
}

fn said(output: &host::Output) -> String {
    match output.stderr.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => line.to_owned(),
        None if output.timed_out => format!("no answer for {} s", TRY_LIMIT.as_secs()),
        None => "clevis said nothing".into(),
    }
}

fn token(cx: &Cx<'_>, device: &Path) -> Result<Option<Value>> {
    let token = luks::header(cx, device)?.tokens[TOKEN].take();
    Ok(Some(token).filter(|token| token["type"] == "clevis"))
}

/// What the token was made for, beside what clevis needs: clevis keeps no thumbprints.
fn policy(threshold: u8, servers: &[TangServer]) -> Value {
    json!({ "threshold": threshold, "servers": servers })
}

/// An encrypted key, as a token holds it.
struct Jwe(Value);

impl Jwe {
    /// Reads the compact form.
    fn parse(compact: &str) -> Option<Self> {
        let parts: Vec<&str> = compact.trim().split('.').collect();
        let fields = PARTS.iter().zip(&parts).map(|(name, part)| ((*name).to_owned(), json!(part)));
        (parts.len() == PARTS.len()).then(|| Self(Value::Object(fields.collect())))
    }

    /// That of a token; an empty part may be left out there.
    fn of_token(token: &Value) -> Option<Self> {
        token["jwe"]["protected"].as_str().map(|_| Self(token["jwe"].clone()))
    }

    fn compact(&self) -> String {
        PARTS.map(|name| self.0[name].as_str().unwrap_or_default()).join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_form() {
        let jwe = Jwe::parse("eyJh..iv.text.tag\n").unwrap();
        assert_eq!(jwe.compact(), "eyJh..iv.text.tag");
        let token = json!({ "jwe": { "protected": "eyJh", "iv": "iv", "ciphertext": "text", "tag": "tag" } });
        assert_eq!(Jwe::of_token(&token).unwrap().compact(), jwe.compact());
        assert!(Jwe::parse("a.b").is_none() && Jwe::of_token(&json!({})).is_none());
    }
}
