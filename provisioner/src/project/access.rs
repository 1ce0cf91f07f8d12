//! Who may come in by ssh, and from where the operator does.

use super::reader::Document;
use crate::network::Network;
use ssh_key::{Algorithm, PublicKey};
use std::net::IpAddr;

/// The fewest bits of an RSA key: what is held to be good beyond 2030 (NIST SP 800-57).
const RSA_BITS: usize = 3072;
/// How much of a line a mistake repeats.
const SHOWN: usize = 40;

/// `[ssh]`.
pub(super) struct Ssh {
    pub(super) port: u16,
    pub(super) authorized_keys: Vec<String>,
    pub(super) from: Vec<Network>,
}

pub(super) fn read_ssh(document: &mut Document<'_>) -> Ssh {
    let mut section = document.section("ssh");
    let port = u16::try_from(section.number("port", 22, 1..=65_535)).unwrap_or(22);
    let authorized_keys = section.texts("authorized_keys", parse_key);
    let from = if section.has("from") {
        section.list_checked("from", |text| match text {
            "any" => Ok(Network::everybody().to_vec()),
            network => network.parse().map(|network| vec![network]),
        })
    } else {
        vec![Network::everybody().to_vec()]
    };
    section.finish();
    let mut from = from.concat();
    from.sort_unstable();
    from.dedup();
    Ssh { port, authorized_keys, from }
}

/// Reads a line as `authorized_keys` has it, kind, key and perhaps a comment; gives it back with single spaces.
fn parse_key(line: &str) -> Result<String, String> {
    if line.contains("PRIVATE KEY") {
        return Err("holds a private key: name the public one, the line in the file that ends in .pub".into());
    }
    let shown: String = line.chars().take(SHOWN).collect();
    let dots = if shown.len() < line.len() { "…" } else { "" };
    read_key(line).map_err(|why| format!("{:?} {why}", shown + dots))
}

fn read_key(line: &str) -> Result<String, String> {
    if line.chars().any(char::is_control) {
        return Err(
            "holds a line break or another control character: each key is one line, and one item of the list"
                .into(),
        );
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let [kind, body, comment @ ..] = words.as_slice() else {
        return Err("is no public ssh key such as \"ssh-ed25519 AAAA…\"".into());
    };
    check_kind(kind, &words)?;
    let key = PublicKey::from_openssh(&format!("{kind} {body}")).map_err(|error| match error {
        ssh_key::Error::AlgorithmUnknown => format!("says {kind}, and the key in it is of another kind"),
        _ => "is cut short or mistyped: there is no whole key in it".into(),
    })?;
    let modulus = key.key_data().rsa().map(|rsa| rsa.n.as_positive_bytes().unwrap_or_default());
    let bits = modulus
        .map(|bytes| 8 * bytes.len() - bytes.first().map_or(0, |first| first.leading_zeros() as usize));
    if let Some(bits) = bits.filter(|bits| *bits < RSA_BITS) {
        return Err(format!(
            "is an RSA key of {bits} bits, and {RSA_BITS} is the least; make one with `ssh-keygen -t ed25519`"
        ));
    }
    Ok([*kind, *body].into_iter().chain(comment.iter().copied()).collect::<Vec<_>>().join(" "))
}

/// Refuses kinds of keys that sshd would not take, or that say more than who is let in.
fn check_kind(kind: &str, words: &[&str]) -> Result<(), String> {
    let known = |word: &str| Algorithm::new(word).ok().filter(|kind| !matches!(kind, Algorithm::Other(_)));
    let why = match known(kind) {
        Some(Algorithm::Dsa) => {
            "is a DSA key, which OpenSSH no longer takes; make one with `ssh-keygen -t ed25519`"
        }
        Some(_) => return Ok(()),
        None if kind.contains("-cert-v01@") => "is a certificate; name the public key that it was made for",
        None if words.iter().any(|word| known(word).is_some()) => {
            "has options before its key, and options such as from= or command= are not supported: whoever holds a key \
             that is named here is let in as root, from wherever [ssh] from says; leave them out"
        }
        None => "is no public ssh key such as \"ssh-ed25519 AAAA…\"",
    };
    Err(why.into())
}

/// `[operator] address`: an IPv4 address, since that is what a server is reached at.
pub(super) fn read_operator(document: &mut Document<'_>) -> Option<IpAddr> {
    let mut section = document.section("operator");
    let address = section.checked("address", parse_operator);
    section.finish();
    address
}

/// Reads the address the operator comes from.
pub fn parse_operator(text: &str) -> Result<IpAddr, String> {
    match text.parse() {
        Ok(address @ IpAddr::V4(_)) => Ok(address),
        Ok(IpAddr::V6(_)) => {
            Err("is an IPv6 address: the server is reached at its IPv4 address, so name yours".into())
        }
        Err(_) => Err("is no address such as \"203.0.113.7\"".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_key;
    use proptest::prelude::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH/7Z5hRMP6r++D6O1GxTZHGmWdlvT+bOLKRrTwvelmL";

    /// An RSA key with a modulus of so many bits, all of them ones.
    fn rsa(bits: usize) -> String {
        let key = ssh_key::public::RsaPublicKey {
            e: ssh_key::Mpint::from_positive_bytes(&[1, 0, 1]).unwrap(),
            n: ssh_key::Mpint::from_positive_bytes(&vec![0xff; bits / 8]).unwrap(),
        };
        ssh_key::PublicKey::from(ssh_key::public::KeyData::Rsa(key)).to_openssh().unwrap()
    }

    #[test]
    fn keys_that_sshd_takes_are_read() {
        for line in [
            ED25519.to_owned(),
            format!("{ED25519} anna@laptop, the second one"),
            rsa(3072),
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc= x".into(),
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo= x".into(),
        ] {
            assert_eq!(parse_key(&line).unwrap(), line);
        }
        assert_eq!(
            parse_key(&format!("  {}  a  b ", ED25519.replace(' ', "   "))).unwrap(),
            format!("{ED25519} a b")
        );
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let cut = &ED25519[..ED25519.len() - 4];
        let rows = [
            ("", "no public ssh key"),
            ("ssh-ed25519", "no public ssh key"),
            ("hello world", "no public ssh key"),
            ("ssh-rsa AAAA", "no whole key"),
            ("ssh-ed25519 AAAAC3Nza", "no whole key"),
            (cut, "no whole key"),
            (&format!("{ED25519}AAAA"), "no whole key"),
            (&ED25519.replace("ssh-ed25519 ", "ssh-rsa "), "of another kind"),
            (&ED25519.replace("ssh-ed25519 ", "ssh-dss "), "DSA"),
            (&rsa(2048), "RSA key of 2048 bits"),
            (&format!("from=\"192.0.2.0/24\" {ED25519}"), "options"),
            (&format!("command=\"a b\",no-pty {ED25519} x"), "options"),
            ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificate"),
            (&format!("{ED25519} x\ncommand=\"/bin/sh\" {ED25519}"), "line break"),
            (&format!("{ED25519} x\r"), "line break"),
            (&format!("{ED25519} x\u{1b}[2J"), "line break"),
        ];
        for (line, reason) in rows {
            let error = parse_key(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn a_private_key_is_not_repeated() {
        let error = parse_key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNza\n").unwrap_err();
        assert!(error.contains("private key") && !error.contains("b3Bl"), "{error}");
    }

    proptest! {
        /// Whatever is done to a key: it is refused, or what is taken is one line with one key in it.
        #[test]
        fn what_is_taken_is_one_line_with_one_key(at in 0..200_usize, what in "\\PC{0,3}|[\n\r\0 =]") {
            let mut line = format!("{ED25519} a comment");
            let at = at.min(line.len());
            line.insert_str(at, &what);
            if let Ok(taken) = parse_key(&line) {
                prop_assert!(!taken.chars().any(char::is_control));
                prop_assert!(taken.starts_with(ED25519), "{taken:?}");
            }
        }
    }
}
