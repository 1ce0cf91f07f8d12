use crate::Error;
use age::secrecy::ExposeSecret;
use host::Secret;
use std::str::FromStr;

/// Kinds of age keys that are not supported, by the name between `age1` and the next `1`: post-quantum keys, and what
/// age's plugins are for.
const OTHER_KINDS: [(&str, &str); 8] = [
    ("pq", "post-quantum keys"),
    ("tag", "keys on hardware tokens (age's tagged recipients)"),
    ("tagpq", "post-quantum keys on hardware tokens (age's tagged recipients)"),
    ("yubikey", "keys on a YubiKey (age-plugin-yubikey)"),
    ("se", "keys in Apple's Secure Enclave (age-plugin-se)"),
    ("tpm", "keys in a TPM (age-plugin-tpm)"),
    ("fido2-hmac", "keys on FIDO2 tokens (age-plugin-fido2-hmac)"),
    ("sss", "shared keys (age-plugin-sss)"),
];

/// An offline key's public half: `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(age::x25519::Recipient);

impl Recipient {
    /// Reads one, and says what is wrong with a malformed one.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let given = text.trim();
        let wrong = |why: &str| Error::Recipient { given: shown(given), why: why.into() };
        if is_secret(given) {
            return Err(Error::Recipient {
                given: "AGE-…".into(),
                why: "this is a secret key; it belongs offline, not here".into(),
            });
        }
        if !given.starts_with("age1") {
            return Err(wrong("it does not start with age1"));
        }
        age::x25519::Recipient::from_str(given).map(Self).map_err(|_| wrong(&unsupported(given)))
    }

    pub(crate) fn inner(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

/// Whether a line is a secret key of any kind: age's own, or what a plugin needs to find its.
fn is_secret(line: &str) -> bool {
    let line = line.to_ascii_uppercase();
    ["AGE-SECRET-KEY-", "AGE-PLUGIN-"].iter().any(|start| line.starts_with(start))
}

/// Why what begins like a recipient is none of ours: in Bech32 the last `1` ends what says the kind.
fn unsupported(given: &str) -> String {
    let kind = given.rsplit_once('1').and_then(|(head, _)| head.strip_prefix("age1"));
    match kind.map(|kind| (kind, OTHER_KINDS.iter().find(|(name, _)| *name == kind))) {
        Some((kind, Some((_, what)))) => {
            format!(
                "age1{kind}1… is for {what}, and this kind is not supported yet; name an X25519 one (age1 and 58 more characters)"
            )
        }
        Some((kind, None)) => format!(
            "it is mistyped, or of the kind age1{kind}1…, which is not supported; name an X25519 one (age1 and 58 more characters)"
        ),
        None => "its checksum is wrong, so it was mistyped or cut short".into(),
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
pub struct Identity {
    keys: Vec<age::x25519::Identity>,
    skipped: Vec<usize>,
}

impl Identity {
    /// Reads the file `age-keygen` wrote: comments, and one or more lines `AGE-SECRET-KEY-1…`. Secret keys of other
    /// kinds beside them are [skipped](Self::skipped).
    pub fn from_file_contents(text: &str) -> Result<Self, Error> {
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        let lines = text.lines().map(str::trim).zip(1..);
        for (line, number) in lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with("age-encryption.org/") || line.starts_with("-----BEGIN AGE") {
                return Err(Error::Identity(
                    "it is locked with a passphrase; unlock it with `age -d` first".into(),
                ));
            }
            match age::x25519::Identity::from_str(line) {
                Ok(key) => keys.push(key),
                Err(_) if is_secret(line) && !line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-1") => {
                    skipped.push(number);
                }
                Err(_) => return Err(Error::Identity(format!("line {number} is not an age secret key"))),
            }
        }
        match (keys.is_empty(), skipped.first()) {
            (false, _) => Ok(Self { keys, skipped }),
            (true, None) => Err(Error::Identity("there is no key in it".into())),
            (true, Some(number)) => Err(Error::Identity(format!(
                "the key in line {number} is post-quantum or a plugin's, and these kinds are not supported yet"
            ))),
        }
    }

    /// The lines, from 1, whose keys are of kinds that are not supported: nothing is opened with these.
    pub fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    /// Draws a new one, for a project that is only a demonstration.
    pub fn generate() -> Self {
        Self { keys: vec![age::x25519::Identity::generate()], skipped: Vec::new() }
    }

    /// What [`Identity::from_file_contents`] reads, for a 0400 file.
    pub fn to_file_contents(&self) -> Secret {
        let mut text = Vec::new();
        for key in &self.keys {
            text.extend(format!("# public key: {}\n", key.to_public()).into_bytes());
            text.extend(key.to_string().expose_secret().as_bytes());
            text.push(b'\n');
        }
        Secret::new(text)
    }

    /// The public halves.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.keys.iter().map(|key| Recipient(key.to_public())).collect()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key as &dyn age::Identity)
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
            ("age1pq1qqqq", "post-quantum keys, and this kind is not supported yet"),
            ("age1tagpq1qqqq", "age1tagpq1… is for"),
            ("age1se1qqqq", "Secure Enclave"),
            ("age1yubikey1qqqq", "YubiKey"),
            ("age1tpm1qqqq", "TPM"),
            ("age1tomorrow1qqqq", "mistyped, or of the kind age1tomorrow1…"),
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
        for line in [line, "AGE-PLUGIN-TPM-1QQQQ", "age-secret-key-pq-1qqqq"] {
            let error = Recipient::parse(line).unwrap_err().to_string();
            assert!(!error.contains(line) && error.contains("secret key"), "{error}");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_skipped_and_named_by_its_line() {
        let ours = Identity::generate();
        let file = String::from_utf8(ours.to_file_contents().expose().to_vec()).unwrap();
        let read = |text: &str| Identity::from_file_contents(text);
        let mixed =
            read(&format!("# mine\nAGE-SECRET-KEY-PQ-1QQQQ\n{file}\nAGE-PLUGIN-YUBIKEY-1QQQQ\n")).unwrap();
        assert_eq!((mixed.recipients(), mixed.skipped()), (ours.recipients(), &[2, 6][..]));
        assert!(ours.skipped().is_empty());
        for (text, why) in [
            ("# mine\nAGE-SECRET-KEY-PQ-1SECRET\n", "line 2 is post-quantum"),
            (&format!("{file}AGE-SECRET-KEY-1SECRET\n"), "line 3 is not an age secret key"),
            (&format!("{file}\nSECRET\n"), "line 4 is not an age secret key"),
        ] {
            let error = read(text).err().unwrap().to_string();
            assert!(
                error.contains(why) && !error.contains("SECRET\n") && !error.contains("1SECRET"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_identity_is_refused() {
        for text in ["", "# only a comment", "AGE-SECRET-KEY-1NONSENSE", "-----BEGIN AGE ENCRYPTED FILE-----"]
        {
            assert!(Identity::from_file_contents(text).is_err());
        }
    }
}
