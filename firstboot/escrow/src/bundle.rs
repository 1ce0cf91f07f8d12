use crate::{Error, Header, Identity, Recipient, sha256};
use host::Secret;
use serde::{Deserialize, Serialize};
use spec::{EscrowEntry, EscrowManifest};
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// The name, inside a bundle, of the key that opens the volume.
pub const LUKS_KEY: &str = "secrets/luks-key";
/// The name, inside a bundle, of the words that open it too.
pub const LUKS_RECOVERY: &str = "secrets/luks-recovery";
/// The name, inside a bundle, of the copy of the volume's LUKS2 header.
pub const LUKS_HEADER: &str = "luks-header.img";

const CONTENTS: &str = "contents.json";
const README: &str = "README.txt";
const README_TEXT: &str = include_str!("README.txt");

/// One thing in a bundle: a secret, or the LUKS header.
pub struct Entry {
    /// Its path inside the bundle, e.g. [`LUKS_KEY`].
    pub name: String,
    /// What it is for, in a sentence.
    pub purpose: String,
    /// Its bytes.
    pub value: Secret,
}

/// What is sealed. No `Debug`, no `Serialize`: it leaves only through [`seal`].
#[derive(Default)]
pub struct Bundle {
    /// In the order they were put in.
    pub entries: Vec<Entry>,
}

impl Bundle {
    /// The entry of that name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// What lies in it, without the values.
    pub fn contents(&self) -> Vec<EscrowEntry> {
        let entry = |e: &Entry| EscrowEntry { name: e.name.clone(), purpose: e.purpose.clone() };
        self.entries.iter().map(entry).collect()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    contents: Vec<EscrowEntry>,
}

/// Seals a bundle: a tar inside an age file, openable by any one of the recipients.
pub fn seal(bundle: &Bundle, recipients: &[Recipient]) -> Result<Vec<u8>, Error> {
    encrypt(&to_tar(bundle).map_err(Error::Seal)?, recipients)
}

pub(crate) fn encrypt(plain: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, Error> {
    if recipients.is_empty() {
        return Err(Error::NoRecipient);
    }
    let each = recipients.iter().map(|r| r.inner() as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(each)
        .map_err(|e| Error::Seal(std::io::Error::other(format!("{e:?}"))))?;
    let mut sealed = Vec::with_capacity(plain.len() + plain.len() / 2048 + 4096);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(Error::Seal)?;
    writer.write_all(plain).map_err(Error::Seal)?;
    writer.finish().map_err(Error::Seal)?;
    Ok(sealed)
}

fn to_tar(bundle: &Bundle) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let contents = Contents { version: spec::VERSION, contents: bundle.contents() };
    let contents = serde_json::to_vec_pretty(&contents)?;
    let size: usize = bundle.entries.iter().map(|e| e.value.expose().len() + 1024).sum();
    // Reserved whole, so that no half-grown copy of a secret is left behind in freed memory.
    let plain = Zeroizing::new(Vec::with_capacity(size + contents.len() + README_TEXT.len() + 8192));
    let mut tar = tar::Builder::new(Wiped(plain));
    append(&mut tar, README, README_TEXT.as_bytes())?;
    append(&mut tar, CONTENTS, &contents)?;
    for entry in &bundle.entries {
        append(&mut tar, &entry.name, entry.value.expose())?;
    }
    Ok(tar.into_inner()?.0)
}

struct Wiped(Zeroizing<Vec<u8>>);

impl Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn append(tar: &mut tar::Builder<Wiped>, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o400);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, bytes)
}

/// Opens a sealed bundle with the offline key, and checks that all it lists is there.
pub fn open(sealed: &[u8], identity: &Identity) -> Result<Bundle, Error> {
    from_tar(&decrypt(sealed, identity)?)
}

pub(crate) fn decrypt(sealed: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, Error> {
    let broken = |e: &dyn std::fmt::Display| Error::Open(format!("{e}; fetch the bundle again"));
    let decryptor = age::Decryptor::new(sealed).map_err(|e| broken(&e))?;
    let mut reader = decryptor.decrypt(identity.each()).map_err(|e| match e {
        age::DecryptError::NoMatchingKeys => {
            Error::Open("it is not sealed to this identity; use the offline key the project names".into())
        }
        e => broken(&e),
    })?;
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plain).map_err(|e| broken(&e))?;
    Ok(plain)
}

fn from_tar(plain: &[u8]) -> Result<Bundle, Error> {
    let wrong = |e: std::io::Error| Error::Open(format!("what was sealed is no tar: {e}"));
    let mut files = Vec::new();
    let mut contents: Option<Contents> = None;
    for file in tar::Archive::new(plain).entries().map_err(wrong)? {
        let mut file = file.map_err(wrong)?;
        let name = String::from_utf8_lossy(&file.path_bytes()).into_owned();
        let mut bytes = Vec::with_capacity(usize::try_from(file.size()).unwrap_or(0).min(plain.len()));
        file.read_to_end(&mut bytes).map_err(wrong)?;
        match name.as_str() {
            README => {}
            CONTENTS => {
                let parsed = spec::from_outside(CONTENTS, &bytes);
                contents = Some(parsed.map_err(|e| Error::Open(e.to_string()))?);
            }
            _ => files.push((name, Secret::new(bytes))),
        }
    }
    let contents = contents.ok_or_else(|| Error::Open(format!("there is no {CONTENTS} in it")))?;
    if contents.version != spec::VERSION {
        return Err(Error::Open(format!(
            "it is version {}, this program speaks version {}; use the release that wrote it, or age and tar",
            contents.version,
            spec::VERSION
        )));
    }
    let mut bundle = Bundle::default();
    if let Some(entry) = contents.contents.iter().find(|entry| !entry.is_inside()) {
        return Err(Error::Open(format!("{:?} is listed in it, which is no path inside it", entry.name)));
    }
    for EscrowEntry { name, purpose } in contents.contents {
        let at = files.iter().position(|(n, _)| *n == name);
        let at = at.ok_or_else(|| Error::Open(format!("{name} is listed in it but missing")))?;
        bundle.entries.push(Entry { name, purpose, value: files.swap_remove(at).1 });
    }
    Ok(bundle)
}

/// Describes a sealed bundle, and the LUKS header in it, for those who cannot open it.
pub fn manifest(
    bundle: &Bundle,
    sealed: &[u8],
    recipients: &[Recipient],
    node: &spec::NodeSpec,
    header: &Header,
    created: &str,
) -> EscrowManifest {
    EscrowManifest {
        version: spec::VERSION,
        project: node.project.clone(),
        server_id: node.server.id,
        volume_id: node.disk.volume_id,
        luks_uuid: Some(header.uuid.clone()),
        created: created.into(),
        sha256: sha256(sealed),
        size: sealed.len() as u64,
        recipients: recipients.iter().map(ToString::to_string).collect(),
        contents: bundle.contents(),
        key_slots: header.slots.clone(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn bundle() -> Bundle {
        let entry = |name: &str, bytes: &[u8]| Entry {
            name: name.into(),
            purpose: format!("what {name} is for"),
            value: Secret::new(bytes.to_vec()),
        };
        Bundle { entries: vec![entry(LUKS_KEY, b"0123"), entry(LUKS_HEADER, &[7; 100_000])] }
    }

    #[test]
    fn any_recipient_opens_what_was_sealed() {
        let (one, two) = (Identity::generate(), Identity::generate());
        let recipients = [one.recipients(), two.recipients()].concat();
        let sealed = seal(&bundle(), &recipients).unwrap();
        for identity in [one, two] {
            let opened = open(&sealed, &identity).unwrap();
            assert_eq!(opened.contents(), bundle().contents());
            assert_eq!(opened.get(LUKS_KEY).unwrap().value.expose(), b"0123");
            assert_eq!(opened.get(LUKS_HEADER).unwrap().value.expose(), [7; 100_000]);
        }
    }

    #[test]
    fn a_stranger_does_not_open_it() {
        let sealed = seal(&bundle(), &Identity::generate().recipients()).unwrap();
        let error = open(&sealed, &Identity::generate()).err().unwrap().to_string();
        assert!(error.contains("not sealed to this identity"), "{error}");
    }

    #[test]
    fn nothing_is_sealed_to_nobody() {
        assert!(matches!(seal(&bundle(), &[]), Err(Error::NoRecipient)));
    }

    #[test]
    fn a_bundle_cut_short_anywhere_is_not_opened() {
        let identity = Identity::generate();
        let sealed = seal(&bundle(), &identity.recipients()).unwrap();
        let header = sealed.windows(5).position(|w| w == b"\n--- ").unwrap();
        let payload = header + sealed[header + 1..].iter().position(|b| *b == b'\n').unwrap() + 2;
        let chunk = payload + 16 + 65_552;
        let ends = [0, header, payload, payload + 16, chunk, sealed.len()];
        for cut in ends.into_iter().flat_map(|end| [end.saturating_sub(1), end, end + 1]) {
            if cut < sealed.len() {
                assert!(open(&sealed[..cut], &identity).is_err(), "{cut} of {}", sealed.len());
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let identity = Identity::generate();
        let mut sealed = seal(&bundle(), &identity.recipients()).unwrap();
        let middle = sealed.len() / 2;
        sealed[middle] ^= 1;
        assert!(open(&sealed, &identity).is_err());
    }

    #[test]
    fn the_secret_is_not_in_the_sealed_bytes_nor_in_the_contents() {
        let mut bundle = bundle();
        bundle.entries[0].value = Secret::new(b"a-very-recognisable-value".to_vec());
        let sealed = seal(&bundle, &Identity::generate().recipients()).unwrap();
        assert!(!sealed.windows(25).any(|w| w == b"a-very-recognisable-value"));
        assert!(!format!("{:?}", bundle.contents()).contains("recognisable"));
    }

    #[test]
    fn a_listed_file_that_is_missing_is_named() {
        let mut builder = tar::Builder::new(Wiped(Zeroizing::new(Vec::new())));
        let contents = br#"{"version":1,"contents":[{"name":"secrets/x","purpose":"p"}]}"#;
        append(&mut builder, CONTENTS, contents).unwrap();
        let plain = builder.into_inner().unwrap().0;
        assert!(from_tar(&plain).err().unwrap().to_string().contains("secrets/x"));
    }

    #[test]
    fn what_would_be_written_elsewhere_is_not_opened_and_a_purpose_cannot_steer_a_terminal() {
        let opened = |entry: serde_json::Value| {
            let contents = serde_json::json!({ "version": 1, "contents": [entry] }).to_string();
            let mut builder = tar::Builder::new(Wiped(Zeroizing::new(Vec::new())));
            append(&mut builder, CONTENTS, contents.as_bytes()).unwrap();
            append(&mut builder, "secrets/x", b"x").unwrap();
            from_tar(&builder.into_inner().unwrap().0)
        };
        for name in ["../../.ssh/authorized_keys", "/etc/passwd", "secrets/../../x", ""] {
            let error = opened(serde_json::json!({ "name": name, "purpose": "p" })).err().unwrap();
            assert!(error.to_string().contains("no path inside"), "{error}");
        }
        let bundle = opened(serde_json::json!({ "name": "secrets/x", "purpose": "\u{1b}[2J" })).unwrap();
        assert_eq!(bundle.entries[0].purpose, "\u{fffd}[2J");
    }
}
