use crate::Error;
use age::secrecy::ExposeSecret;
use host::Secret;
use std::str::FromStr;

/// An offline key's public half: `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(age::x25519::Recipient);

impl Recipient {
    /// Reads one, and says what is wrong with a malformed one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let given = text.trim();
        let wrong = |why: &str| Error::Recipient { given: shown(given), why: why.into() };
        if given.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(Error::Recipient {
                given: "AGE-SECRET-KEY-…".into(),
                why: "this is a secret key; it belongs offline, not here".into(),
            });
        }
        if ["age1pq1", "age1yubikey1", "age1tag1"].iter().any(|plugin| given.starts_with(plugin)) {
            return Err(wrong("only X25519 recipients (age1 and 58 more characters) are supported"));
        }
        if !given.starts_with("age1") {
            return Err(wrong("it does not start with age1"));
        }
        age::x25519::Recipient::from_str(given)
            .map(Self)
            .map_err(|_| wrong("its checksum is wrong, so it was mistyped or cut short"))
    }

    pub(crate) fn inner(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

fn shown(given: &str) -> String {
    if given.chars().count() > 80 { given.chars().take(80).chain(['…']).collect() } else { given.into() }
}

impl std::fmt::Display for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// An offline key's secret half. It cannot be printed or serialised:
///
/// ```compile_fail
/// println!("{:?}", sovereign_escrow::Identity::generate());
/// ```
pub struct Identity(Vec<age::x25519::Identity>);

impl Identity {
    /// Reads the file `age-keygen` wrote: comments, and one or more lines `AGE-SECRET-KEY-1…`.
    pub fn from_file_contents(text: &str) -> Result<Self, Error> {
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let mut keys = Vec::new();
        for line in lines {
            if line.starts_with("age-encryption.org/") || line.starts_with("-----BEGIN AGE") {
                return Err(Error::Identity("it is locked with a passphrase; unlock it with `age -d` first"));
            }
            keys.push(
                age::x25519::Identity::from_str(line)
                    .map_err(|_| Error::Identity("a line is not an age secret key"))?,
            );
        }
        if keys.is_empty() { Err(Error::Identity("there is no key in it")) } else { Ok(Self(keys)) }
    }

    /// Draws a new one, for a project that is only a demonstration.
    pub fn generate() -> Self {
        Self(vec![age::x25519::Identity::generate()])
    }

    /// What [`Identity::from_file_contents`] reads, for a 0400 file.
    pub fn to_file_contents(&self) -> Secret {
        let mut text = Vec::new();
        for key in &self.0 {
            text.extend(format!("# public key: {}\n", key.to_public()).into_bytes());
            text.extend(key.to_string().expose_secret().as_bytes());
            text.push(b'\n');
        }
        Secret::new(text)
    }

    /// The public halves.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.0.iter().map(|key| Recipient(key.to_public())).collect()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| key as &dyn age::Identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_what_it_wrote() {
        let identity = Identity::generate();
        let text = identity.to_file_contents();
        let again = Identity::from_file_contents(std::str::from_utf8(text.expose()).unwrap()).unwrap();
        assert_eq!(again.recipients(), identity.recipients());
    }

    #[test]
    fn a_recipient_reads_what_it_shows() {
        let recipient = Identity::generate().recipients().remove(0);
        assert_eq!(Recipient::parse(&format!(" {recipient}\n")).unwrap(), recipient);
    }

    #[test]
    fn a_malformed_recipient_says_why() {
        let good = Identity::generate().recipients().remove(0).to_string();
        let cut = &good[..good.len() - 3];
        for (given, why) in [
            ("ssh-ed25519 AAAA", "does not start with age1"),
            (cut, "mistyped or cut short"),
            ("age1pq1qqqq", "only X25519"),
            ("", "does not start with age1"),
        ] {
            let error = Recipient::parse(given).unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
        }
    }

    #[test]
    fn a_secret_key_given_as_recipient_is_not_repeated() {
        let secret = Identity::generate().to_file_contents();
        let line = std::str::from_utf8(secret.expose()).unwrap().lines().nth(1).unwrap();
        let error = Recipient::parse(line).unwrap_err().to_string();
        assert!(!error.contains(line) && error.contains("secret key"), "{error}");
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in ["", "# only a comment", "AGE-SECRET-KEY-1NONSENSE", "-----BEGIN AGE ENCRYPTED FILE-----"]
        {
            assert!(Identity::from_file_contents(text).is_err());
        }
    }
}
