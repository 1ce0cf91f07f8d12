//! Secrets: what each looks like, where it comes from, and who reads it.

use super::{Hook, Owner, When, Word};
use serde::Deserialize;

/// Something that a stack keeps from the world.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// What it is for, in a sentence that the escrow repeats.
    pub purpose: String,
    /// What it looks like.
    pub format: Format,
    /// Where it comes from.
    #[serde(default)]
    pub source: Source,
    /// Who reads it as a file of its own: `secrets/NAME` in the reader's stack. Configuration may hold it besides.
    #[serde(default)]
    pub readers: Vec<Reader>,
    /// The choice that it is there for.
    pub when: Option<When>,
    /// What is run once it was replaced; one without it is never replaced.
    pub rotate: Option<Hook>,
}

/// What a secret looks like. Lengths are those of the text, but for `bytes`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum Format {
    /// Of `A-Za-z0-9`; 43 carry 256 bits.
    Alphanumeric {
        /// How many.
        length: usize,
    },
    /// Of `0-9a-f`; 64 carry 256 bits.
    Hex {
        /// How many.
        length: usize,
    },
    /// Bytes as they come.
    Bytes {
        /// How many.
        length: usize,
    },
    /// Base64 of so many bytes.
    Base64 {
        /// How many bytes.
        bytes: usize,
    },
    /// A random UUID, version 4. (Braces, since of a variant without any serde takes every key for none.)
    Uuid {},
    /// An Ed25519 private key, PKCS#8 in PEM.
    Ed25519 {},
    /// An RSA private key, PKCS#8 in PEM.
    Rsa {
        /// Of so many bits.
        bits: u32,
    },
    /// The bcrypt hash of another secret, for whoever checks it and must not know it.
    Bcrypt {
        /// The other secret.
        of: Word,
    },
    /// Its Argon2id hash.
    Argon2 {
        /// The other secret.
        of: Word,
    },
}

/// Where a secret comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Drawn on the server.
    #[default]
    Drawn,
    /// From the operator, sealed in the project's folder.
    Given,
}

/// Who reads a secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reader {
    /// The stack whose service it is; this one where none is named.
    pub stack: Option<Word>,
    /// The user inside the container: Compose mounts the file as it is, so it has to be theirs.
    pub uid: u32,
    /// And the group.
    pub gid: u32,
}

impl Reader {
    /// As whom it reads.
    pub fn owner(&self) -> Owner {
        Owner { uid: self.uid, gid: self.gid }
    }
}

impl Format {
    /// The secret that it is made of.
    pub fn of(&self) -> Option<&Word> {
        match self {
            Self::Bcrypt { of } | Self::Argon2 { of } => Some(of),
            _ => None,
        }
    }

    /// How many bits of chance are in it.
    pub fn bits(&self) -> usize {
        match self {
            // 62 characters are a little less than six bits each.
            Self::Alphanumeric { length } => length * 595 / 100,
            Self::Hex { length } => length * 4,
            Self::Bytes { length } => length * 8,
            Self::Base64 { bytes } => bytes * 8,
            Self::Uuid {} => 122,
            Self::Ed25519 {} => 256,
            Self::Rsa { bits } if *bits >= 3072 => 128,
            Self::Rsa { .. } => 0,
            // It is as good as the secret it is made of, which is looked at by itself.
            Self::Bcrypt { .. } | Self::Argon2 { .. } => 128,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_a_format_has_not_is_refused() {
        for kind in ["uuid", "ed25519", "alphanumeric"] {
            let wrong = format!("kind = \"{kind}\"\nlength = 44\nlenght = 44\n");
            let error = toml::from_str::<Format>(&wrong).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{kind}: {error}");
        }
    }

    #[test]
    fn two_hundred_and_fifty_six_bits_are_that() {
        for format in
            [Format::Alphanumeric { length: 44 }, Format::Hex { length: 64 }, Format::Bytes { length: 32 }]
        {
            assert!(format.bits() >= 256, "{format:?}");
        }
        assert!(Format::Alphanumeric { length: 43 }.bits() >= 255);
        assert_eq!(Format::Rsa { bits: 1024 }.bits(), 0);
    }
}
