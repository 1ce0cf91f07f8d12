use crate::sha256;
use serde_json::Value;
use spec::{KeySlot, Slot};

const MAGIC: &[u8] = b"LUKS\xba\xbe\0\x02";
const UUID: std::ops::Range<usize> = 168..208;
const JSON: usize = 4096;

/// A LUKS2 header, as it lies on a device or in a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Its UUID.
    pub uuid: String,
    /// The slots in use, by number; none where the header is torn.
    pub slots: Vec<KeySlot>,
    /// SHA-256 of all that stays when the bootstrap slot is dropped: the other slots, the tokens, the segments and the
    /// digest of the volume's key.
    pub kept: String,
    /// The tokens, by number: what other programs keep beside the slots.
    pub tokens: Value,
}

impl Header {
    /// How many bytes it takes to read one.
    pub const READ: u64 = 64 << 10;

    /// Reads one from the first bytes of a device, as far as it goes; `None` where there is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let uuid = String::from_utf8_lossy(bytes.get(UUID)?).trim_end_matches('\0').to_owned();
        let json = bytes.get(JSON..).unwrap_or_default();
        let end = json.iter().position(|b| *b == 0).unwrap_or(json.len());
        let json: Value = serde_json::from_slice(&json[..end]).unwrap_or_default();
        let entries = json["keyslots"].as_object().into_iter().flatten();
        let slot = |(number, entry): (&String, &Value)| {
            let sha256 = sha256(entry.to_string().as_bytes());
            Some(KeySlot { number: number.parse().ok()?, sha256 })
        };
        let mut slots: Vec<KeySlot> = entries.filter_map(slot).collect();
        slots.sort_by_key(|slot| slot.number);
        let mut kept: String = slots
            .iter()
            .filter(|slot| slot.slot() != Slot::Bootstrap)
            .map(|slot| format!("{} {}\n", slot.number, slot.sha256))
            .collect();
        for rest in [&json["tokens"], &json["segments"], &json["digests"]["0"]["digest"]] {
            kept += &format!("{rest}\n");
        }
        Some(Self { uuid, slots, kept: sha256(kept.as_bytes()), tokens: json["tokens"].clone() })
    }

    /// Whether a slot is in use.
    pub fn has(&self, slot: Slot) -> bool {
        self.slots.iter().any(|used| used.number == slot.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(json: &str) -> Vec<u8> {
        let mut bytes = vec![0; 16 << 10];
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        bytes[168..204].copy_from_slice(b"11111111-2222-4333-8444-555555555555");
        bytes[JSON..JSON + json.len()].copy_from_slice(json.as_bytes());
        bytes
    }

    fn kept(json: &str) -> String {
        Header::parse(&header(json)).unwrap().kept
    }

    #[test]
    fn a_header_is_read() {
        let read = Header::parse(&header(r#"{"keyslots":{"1":{},"0":{"salt":"x"}}}"#)).unwrap();
        assert_eq!(read.uuid, "11111111-2222-4333-8444-555555555555");
        assert!(read.has(Slot::Unlock) && read.has(Slot::Bootstrap) && !read.has(Slot::Recovery));
        assert_ne!(read.slots[0].sha256, read.slots[1].sha256);
    }

    #[test]
    fn a_torn_header_still_says_whose_it_is() {
        let torn = Header::parse(&header(r#"{"keyslots":{"0":"#)).unwrap();
        assert_eq!((torn.uuid.len(), torn.slots.len()), (36, 0));
    }

    #[test]
    fn dropping_the_bootstrap_slot_does_not_change_what_is_kept() {
        let both =
            r#"{"keyslots":{"0":{"salt":"x"},"1":{}},"digests":{"0":{"digest":"d","keyslots":["0","1"]}}}"#;
        let one = r#"{"keyslots":{"0":{"salt":"x"}},"digests":{"0":{"digest":"d","keyslots":["0"]}}}"#;
        assert_eq!(kept(both), kept(one));
    }

    #[test]
    fn every_other_change_shows() {
        let with = |slots: &str, tokens: &str, digest: &str| {
            kept(&format!(
                r#"{{"keyslots":{{{slots}}},"tokens":{{{tokens}}},"segments":{{}},"digests":{{"0":{{"digest":"{digest}"}}}}}}"#
            ))
        };
        let all = [
            with(r#""0":{"salt":"x"}"#, "", "d"),
            with(r#""0":{"salt":"y"}"#, "", "d"),
            with(r#""3":{"salt":"x"}"#, "", "d"),
            with(r#""0":{"salt":"x"},"2":{}"#, "", "d"),
            with(r#""0":{"salt":"x"}"#, r#""0":{"type":"clevis"}"#, "d"),
            with(r#""0":{"salt":"x"}"#, "", "e"),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[n + 1..].contains(one), "{n}");
        }
    }

    #[test]
    fn what_is_no_luks2_header_is_none() {
        for bytes in [&b""[..], b"LUKS\xba\xbe\0\x01", &[0; 4096]] {
            assert_eq!(Header::parse(bytes), None);
        }
    }
}
