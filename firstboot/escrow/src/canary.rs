use crate::bundle::{decrypt, encrypt};
use crate::{Error, Identity, Recipient, hex, sha256};

/// A small sealed message that proves, once and before anything depends on it, that the holder of an offline
/// key can open what is sealed to it. Only the answer's hash is kept beside it, so the file gives nothing away.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The age file to open.
    pub sealed: Vec<u8>,
    /// SHA-256 of the answer, hexadecimal.
    pub answer_sha256: String,
}

impl Canary {
    /// Seals a random answer to one recipient.
    pub fn new(recipient: &Recipient) -> Result<Self, Error> {
        let mut bytes = [0; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| Error::Seal(e.into()))?;
        let answer = hex(&bytes);
        let sealed = encrypt(answer.as_bytes(), std::slice::from_ref(recipient))?;
        Ok(Self { sealed, answer_sha256: sha256(answer.as_bytes()) })
    }

    /// The answer, for the holder of the key; `age -d` prints the same.
    pub fn answer(&self, identity: &Identity) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&decrypt(&self.sealed, identity)?).into_owned())
    }

    /// Whether this is the answer.
    pub fn proves(&self, answer: &str) -> bool {
        sha256(answer.trim().as_bytes()) == self.answer_sha256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_of_the_key_knows_the_answer() {
        let identity = Identity::generate();
        let canary = Canary::new(&identity.recipients()[0]).unwrap();
        assert!(canary.proves(&canary.answer(&identity).unwrap()));
        assert!(!canary.proves("guess"));
        assert!(canary.answer(&Identity::generate()).is_err());
    }
}
