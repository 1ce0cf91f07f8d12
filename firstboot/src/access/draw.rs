//! Makes a secret, as its format says.

use crate::machine::passphrase;
use crate::machine::random::{HEX, draw};
use crate::run::Cx;
use anyhow::{Context as _, Result, anyhow};
use argon2::password_hash::PasswordHasher as _;
use base64::Engine as _;
use host::{Cmd, Host as _, Secret};
use stacks::manifest::Format;
use zeroize::{Zeroize as _, Zeroizing};

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Each step doubles the work; 12 is a quarter of a second on a server.
const BCRYPT_COST: u32 = 12;

/// What a secret looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// So many words, for a person to type.
    Words(usize),
    /// As a stack's manifest says.
    Format(Format),
}

/// Makes one. `other` gives the secret that it is a hash of.
pub(crate) fn make(cx: &Cx<'_>, shape: &Shape, other: impl Fn(&str) -> Result<Secret>) -> Result<Secret> {
    let format = match shape {
        Shape::Words(count) => return Ok(passphrase::draw(cx.machine(), *count)?),
        Shape::Format(format) => format,
    };
    Ok(match format {
        Format::Alphanumeric { length } => draw(cx.machine(), ALPHANUMERIC, *length)?,
        Format::Hex { length } => draw(cx.machine(), HEX, *length)?,
        Format::Bytes { length } => Secret::new(bytes(cx, *length)?.to_vec()),
        Format::Base64 { bytes: length } => {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&*bytes(cx, *length)?);
            Secret::new(encoded.into_bytes())
        }
        Format::Uuid {} => uuid(&mut bytes(cx, 16)?),
        Format::Ed25519 {} => private_key(cx, &["-algorithm", "ed25519"])?,
        Format::Rsa { bits } => {
            private_key(cx, &["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])?
        }
        Format::Bcrypt { of } => bcrypt(cx, &other(of)?)?,
        Format::Argon2 { of } => argon2(cx, &other(of)?)?,
    })
}

fn bytes(cx: &Cx<'_>, length: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    cx.machine().random(&mut bytes)?;
    Ok(bytes)
}

/// Version 4, RFC 9562.
fn uuid(bytes: &mut [u8]) -> Secret {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    Secret::new(text.into_bytes())
}

/// PKCS#8 in PEM.
fn private_key(cx: &Cx<'_>, kind: &[&str]) -> Result<Secret> {
    let made =
        cx.run(&Cmd::new("openssl").arg("genpkey").args(kind.to_vec())).context("drawing a private key")?;
    Ok(Secret::new(made.stdout))
}

fn bcrypt(cx: &Cx<'_>, of: &Secret) -> Result<Secret> {
    let mut salt = [0; 16];
    cx.machine().random(&mut salt)?;
    let hash = bcrypt::non_truncating_hash_with_salt(of.expose(), BCRYPT_COST, salt);
    let hash = hash.map_err(|why| anyhow!("hashing a secret: {why}"))?;
    salt.zeroize();
    Ok(Secret::new(hash.to_string().into_bytes()))
}

fn argon2(cx: &Cx<'_>, of: &Secret) -> Result<Secret> {
    let mut salt = [0; 16];
    cx.machine().random(&mut salt)?;
    let hash = argon2::Argon2::default().hash_password_with_salt(of.expose(), &salt);
    let hash = hash.map_err(|why| anyhow!("hashing a secret: {why}"))?;
    Ok(Secret::new(hash.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    fn made(format: Format) -> String {
        let fake = Fake::new();
        let cx = Cx::read_only(&fake).unwrap();
        let other = |name: &str| Ok(Secret::new(format!("the {name}").into_bytes()));
        String::from_utf8(make(&cx, &Shape::Format(format), other).unwrap().expose().to_vec()).unwrap()
    }

    fn word(text: &str) -> stacks::manifest::Word {
        text.to_owned().try_into().unwrap()
    }

    #[test]
    fn each_format_is_what_its_readers_expect() {
        let alphanumeric = made(Format::Alphanumeric { length: 43 });
        assert!(alphanumeric.len() == 43 && alphanumeric.bytes().all(|b| b.is_ascii_alphanumeric()));
        let hex = made(Format::Hex { length: 64 });
        assert!(hex.len() == 64 && hex.bytes().all(|b| HEX.contains(&b)));
        let base64 = made(Format::Base64 { bytes: 32 });
        assert_eq!(base64::engine::general_purpose::STANDARD.decode(&base64).unwrap().len(), 32);
        let uuid = made(Format::Uuid {});
        let dashes: Vec<usize> = uuid.match_indices('-').map(|(at, _)| at).collect();
        assert!(uuid.len() == 36 && dashes == [8, 13, 18, 23] && &uuid[14..15] == "4", "{uuid}");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }

    #[test]
    fn a_hash_is_of_the_other_secret_and_salted_anew() {
        let bcrypt_hash = made(Format::Bcrypt { of: word("password") });
        assert!(bcrypt_hash.starts_with("$2b$12$"), "{bcrypt_hash}");
        assert!(bcrypt::verify("the password", &bcrypt_hash).unwrap());
        assert!(!bcrypt::verify("another", &bcrypt_hash).unwrap());
        let argon2 = made(Format::Argon2 { of: word("password") });
        assert!(argon2.starts_with("$argon2id$v=19$"), "{argon2}");
    }
}
