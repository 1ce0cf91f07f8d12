use crate::{Bundle, Header, LUKS_HEADER, LUKS_KEY, LUKS_RECOVERY, sha256};
use spec::{EscrowManifest, KeySlot, Slot};

/// age's payload: chunks of 64 KiB, each with a 16-byte tag, after a 16-byte nonce.
const NONCE: usize = 16;
const TAG: usize = 16;
const CHUNK: usize = 64 * 1024 + TAG;

/// Whose bundle it has to be.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The project's name.
    pub project: &'a str,
    /// The volume its key must open.
    pub volume_id: u64,
    /// The offline keys, exactly.
    pub recipients: &'a [String],
}

/// Something wrong with a bundle that shows without opening it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes are not those the manifest describes.
    #[error("the bundle's SHA-256 is {found}, its manifest says {stated}")]
    Hash {
        /// What the bytes have.
        found: String,
        /// What the manifest says.
        stated: String,
    },
    /// Cut short, or grown.
    #[error("the bundle has {found} bytes, its manifest says {stated}")]
    Size {
        /// What the bytes have.
        found: u64,
        /// What the manifest says.
        stated: u64,
    },
    /// Not an age file.
    #[error("the bundle is not a whole age file: {0}")]
    NotAge(&'static str),
    /// Sealed to more or fewer keys than stated.
    #[error("the bundle can be opened by {found} keys, its manifest names {stated}")]
    Stanzas {
        /// How many X25519 stanzas the header has.
        found: usize,
        /// How many recipients the manifest names.
        stated: usize,
    },
    /// The project wants another set of keys.
    #[error(
        "the bundle is sealed to other keys than the project names: missing {missing:?}, surplus {surplus:?}"
    )]
    Recipients {
        /// Named by the project, not by the manifest.
        missing: Vec<String>,
        /// Named by the manifest, not by the project.
        surplus: Vec<String>,
    },
    /// Another project's bundle.
    #[error("the bundle belongs to project {0:?}")]
    Project(String),
    /// Another volume's bundle.
    #[error("the bundle opens volume {0}")]
    Volume(u64),
    /// What no bundle may lack.
    #[error("the bundle does not list {0}")]
    Lacks(&'static str),
    /// Whoever wrote it out would write elsewhere.
    #[error("the bundle lists {0:?}, which is no path inside it")]
    Outside(String),
    /// A key that the header backup in the same bundle has no slot for.
    #[error("the bundle lists {0}, but the LUKS header in it has no slot that it could open")]
    NoSlot(&'static str),
    /// The header backup holds a key that lay on the root disk.
    #[error("the LUKS header in the bundle still has the bootstrap key's slot")]
    BootstrapSlot,
    /// Opened, the header backup is not what the signed manifest says.
    #[error("the LUKS header in the bundle holds the slots {found:?}, its manifest says {stated:?}")]
    Header {
        /// What the backup holds.
        found: Vec<u32>,
        /// What the manifest says.
        stated: Vec<u32>,
    },
}

/// All that can be proved about a bundle without its key. An empty list means: as good as can be told from outside.
pub fn inspect(sealed: &[u8], manifest: &EscrowManifest, expected: &Expected<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let (found, stated) = (sealed.len() as u64, manifest.size);
    if found != stated {
        problems.push(Problem::Size { found, stated });
    }
    let found = sha256(sealed);
    if found != manifest.sha256 {
        problems.push(Problem::Hash { found, stated: manifest.sha256.clone() });
    }
    match stanzas(sealed) {
        Err(why) => problems.push(Problem::NotAge(why)),
        Ok(found) if found != manifest.recipients.len() => {
            problems.push(Problem::Stanzas { found, stated: manifest.recipients.len() });
        }
        Ok(_) => {}
    }
    let without =
        |a: &[String], b: &[String]| a.iter().filter(|r| !b.contains(r)).cloned().collect::<Vec<_>>();
    let missing = without(expected.recipients, &manifest.recipients);
    let surplus = without(&manifest.recipients, expected.recipients);
    if !missing.is_empty() || !surplus.is_empty() {
        problems.push(Problem::Recipients { missing, surplus });
    }
    if manifest.project != expected.project {
        problems.push(Problem::Project(manifest.project.clone()));
    }
    if manifest.volume_id != expected.volume_id {
        problems.push(Problem::Volume(manifest.volume_id));
    }
    let lists = |name: &str| manifest.contents.iter().any(|e| e.name == name);
    if !lists(LUKS_HEADER) {
        problems.push(Problem::Lacks(LUKS_HEADER));
    }
    if !lists(LUKS_KEY) && !lists(LUKS_RECOVERY) {
        problems.push(Problem::Lacks(LUKS_KEY));
    }
    let outside = manifest.contents.iter().filter(|entry| !entry.is_inside());
    problems.extend(outside.map(|entry| Problem::Outside(entry.name.clone())));
    problems.extend(slot_problems(manifest));
    problems
}

/// What is wrong with the slots a manifest states; those of the first releases state none.
fn slot_problems(manifest: &EscrowManifest) -> Vec<Problem> {
    let has = |slot: Slot| manifest.key_slots.iter().any(|used| used.slot() == slot);
    if manifest.key_slots.is_empty() {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (name, slot) in [(LUKS_KEY, Slot::Unlock), (LUKS_RECOVERY, Slot::Recovery)] {
        // While a key is being changed, the new one waits in the spare slot.
        if manifest.contents.iter().any(|e| e.name == name) && !has(slot) && !has(Slot::Spare) {
            problems.push(Problem::NoSlot(name));
        }
    }
    if has(Slot::Bootstrap) {
        problems.push(Problem::BootstrapSlot);
    }
    problems
}

/// Whether the header in an opened bundle is the one its manifest states, slot by slot.
pub fn inspect_header(bundle: &Bundle, manifest: &EscrowManifest) -> Option<Problem> {
    let Some(entry) = bundle.get(LUKS_HEADER) else { return Some(Problem::Lacks(LUKS_HEADER)) };
    let header = Header::parse(entry.value.expose()).unwrap_or_default();
    let same_uuid = manifest.luks_uuid.as_ref().is_none_or(|uuid| *uuid == header.uuid);
    let same_slots = manifest.key_slots.is_empty() || manifest.key_slots == header.slots;
    let opens = header.has(Slot::Unlock) || header.has(Slot::Recovery) || header.has(Slot::Spare);
    let numbers = |slots: &[KeySlot]| slots.iter().map(|slot| slot.number).collect();
    (!same_uuid || !same_slots || !opens)
        .then(|| Problem::Header { found: numbers(&header.slots), stated: numbers(&manifest.key_slots) })
}

/// How many X25519 stanzas a whole, well-formed age file has.
fn stanzas(sealed: &[u8]) -> Result<usize, &'static str> {
    age::Decryptor::new(sealed).map_err(|_| "its header is damaged")?;
    let end = sealed.windows(5).position(|w| w == b"\n--- ").ok_or("its header has no end")? + 1;
    let line = sealed[end..].iter().position(|b| *b == b'\n').ok_or("its header has no end")?;
    let payload = sealed.len().checked_sub(end + line + 1 + NONCE).ok_or("its payload is missing")?;
    match payload % CHUNK {
        0 if payload > 0 => {}
        rest if rest > TAG => {}
        _ => return Err("its payload is cut short"),
    }
    let header = String::from_utf8_lossy(&sealed[..end]);
    Ok(header.lines().filter(|l| l.starts_with("-> X25519 ")).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Identity, bundle::tests::bundle, manifest, seal};
    use spec::NodeSpec;

    struct Case {
        sealed: Vec<u8>,
        manifest: EscrowManifest,
        recipients: Vec<String>,
    }

    fn case() -> Case {
        let recipients = [Identity::generate().recipients(), Identity::generate().recipients()].concat();
        let names: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let node = NodeSpec::from_json(
            format!(
                r#"{{"version":1,"project":"demo","server":{{"id":1,"name":"demo"}},
                "disk":{{"volume_id":7,"size_gb":10,"format":null}},"recipients":["{}"],
                "ssh":{{"port":22}},"inbound":[],"registries":[],"stacks":[]}}"#,
                names[0]
            )
            .as_bytes(),
        );
        let sealed = seal(&bundle(), &recipients).unwrap();
        let created = "2026-01-01T00:00:00Z";
        let manifest = manifest(&bundle(), &sealed, &recipients, &node.unwrap(), &Header::default(), created);
        Case { sealed, manifest, recipients: names }
    }

    fn problems(case: &Case) -> Vec<Problem> {
        let expected = Expected { project: "demo", volume_id: 7, recipients: &case.recipients };
        inspect(&case.sealed, &case.manifest, &expected)
    }

    #[test]
    fn a_whole_bundle_has_no_problem() {
        assert_eq!(problems(&case()), []);
    }

    #[test]
    fn a_bundle_cut_anywhere_is_noticed_by_its_form_alone() {
        let mut cut = case();
        for left in [0, 10, 200, cut.sealed.len() - 100_000, 65_552 + 300] {
            cut.sealed.truncate(left.max(1));
            cut.manifest.size = cut.sealed.len() as u64;
            cut.manifest.sha256 = sha256(&cut.sealed);
            if left < 300 {
                assert!(matches!(problems(&cut)[..], [Problem::NotAge(_)]), "{left}");
            }
            cut = case();
        }
    }

    #[test]
    fn changed_bytes_change_the_hash() {
        let mut changed = case();
        let last = changed.sealed.len() - 1;
        changed.sealed[last] ^= 1;
        assert!(matches!(problems(&changed)[..], [Problem::Hash { .. }]));
    }

    #[test]
    fn a_lost_byte_changes_hash_and_size() {
        let mut shorter = case();
        shorter.sealed.pop();
        assert!(matches!(problems(&shorter)[..], [Problem::Size { .. }, Problem::Hash { .. }]));
    }

    #[test]
    fn a_recipient_the_bundle_is_not_sealed_to_shows_in_the_header() {
        let mut claimed = case();
        claimed.manifest.recipients.push("age1more".into());
        claimed.recipients.push("age1more".into());
        assert_eq!(problems(&claimed), [Problem::Stanzas { found: 2, stated: 3 }]);
    }

    #[test]
    fn other_recipients_than_the_projects_are_named() {
        let mut other = case();
        other.recipients[0] = "age1mine".into();
        let found = problems(&other);
        assert!(matches!(&found[..], [Problem::Recipients { missing, surplus }]
            if missing == &["age1mine"] && surplus.len() == 1));
    }

    #[test]
    fn another_projects_or_volumes_bundle_is_refused() {
        let mut other = case();
        other.manifest.project = "prod".into();
        other.manifest.volume_id = 8;
        assert_eq!(problems(&other), [Problem::Project("prod".into()), Problem::Volume(8)]);
    }

    #[test]
    fn a_bundle_without_the_key_is_no_bundle() {
        let mut without = case();
        without.manifest.contents.remove(0);
        assert_eq!(problems(&without), [Problem::Lacks(LUKS_KEY)]);
    }

    #[test]
    fn what_would_be_written_elsewhere_is_no_content() {
        for name in ["../x", "/etc/passwd", "secrets/../../x", "", "secrets/.."] {
            let mut elsewhere = case();
            elsewhere.manifest.contents.push(spec::EscrowEntry { name: name.into(), purpose: String::new() });
            assert_eq!(problems(&elsewhere), [Problem::Outside(name.into())]);
        }
    }

    fn with_slots(numbers: &[u32]) -> Case {
        let mut case = case();
        let slot = |number: &u32| KeySlot { number: *number, sha256: String::new() };
        case.manifest.key_slots = numbers.iter().map(slot).collect();
        case
    }

    #[test]
    fn every_key_in_a_bundle_has_a_slot_in_its_header() {
        assert_eq!(problems(&with_slots(&[0, 2])), []);
        assert_eq!(problems(&with_slots(&[2])), [Problem::NoSlot(LUKS_KEY)]);
        assert_eq!(problems(&with_slots(&[2, 3])), [], "a new key waits in the spare slot");
        assert_eq!(problems(&with_slots(&[0, 1])), [Problem::BootstrapSlot]);
    }

    #[test]
    fn the_words_alone_are_a_key_too() {
        let mut words = with_slots(&[2]);
        words.manifest.contents[0].name = LUKS_RECOVERY.into();
        assert_eq!(problems(&words), []);
        words.manifest.key_slots[0].number = 0;
        assert_eq!(problems(&words), [Problem::NoSlot(LUKS_RECOVERY)]);
    }

    #[test]
    fn the_header_in_an_opened_bundle_is_the_one_that_was_signed_for() {
        let bundle = |json: &str| {
            let mut header = vec![0; 8192];
            header[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
            header[4096..4096 + json.len()].copy_from_slice(json.as_bytes());
            let (name, value) = (LUKS_HEADER.to_owned(), host::Secret::new(header));
            Bundle { entries: vec![crate::Entry { name, purpose: String::new(), value }] }
        };
        let there = bundle(r#"{"keyslots":{"0":{"salt":"a"}}}"#);
        let mut manifest = case().manifest;
        manifest.luks_uuid = None;
        let header = Header::parse(there.get(LUKS_HEADER).unwrap().value.expose()).unwrap();
        assert_eq!(inspect_header(&there, &manifest), None, "an earlier release did not say");
        manifest.key_slots = header.slots;
        assert_eq!(inspect_header(&there, &manifest), None);
        let other = bundle(r#"{"keyslots":{"0":{"salt":"b"}}}"#);
        assert!(matches!(inspect_header(&other, &manifest), Some(Problem::Header { .. })));
        let torn = bundle(r#"{"keyslots":{"0":"#);
        assert!(matches!(inspect_header(&torn, &manifest), Some(Problem::Header { .. })));
        assert_eq!(inspect_header(&Bundle::default(), &manifest), Some(Problem::Lacks(LUKS_HEADER)));
    }
}
