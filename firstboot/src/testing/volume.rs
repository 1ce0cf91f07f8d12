//! The volume of the fake server: what LUKS and ext4 look like to the programs that handle them.

use super::Files;
use std::collections::BTreeMap;

/// Big enough for a head, a header and a tail.
pub(crate) const SIZE: u64 = 10_000_000_000;

/// What is on the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// As the cloud made it.
    Zero,
    /// Bytes at an offset and nothing else.
    Bytes(u64, Vec<u8>),
    /// A file system somebody put there.
    Foreign(&'static str),
    /// LUKS.
    Luks(Luks),
}

/// An opened or shut LUKS volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Luks {
    pub(crate) uuid: String,
    /// Each slot's key and salt.
    pub(crate) slots: BTreeMap<u32, (Vec<u8>, u64)>,
    /// The tokens, by number.
    pub(crate) tokens: serde_json::Map<String, serde_json::Value>,
    /// The file system inside, once it was made.
    pub(crate) files: Option<Files>,
    /// How large that file system is.
    pub(crate) file_system: u64,
    /// What somebody else put inside.
    pub(crate) foreign: Option<&'static str>,
    /// Whether anything past the header was ever written.
    pub(crate) used: bool,
}

impl Luks {
    /// The header as bytes.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut bytes = vec![0; 12 << 10];
        bytes[..8].copy_from_slice(b"LUKS\xba\xbe\0\x02");
        bytes[168..168 + self.uuid.len()].copy_from_slice(self.uuid.as_bytes());
        let slots: Vec<String> =
            self.slots.iter().map(|(n, (_, salt))| format!(r#""{n}":{{"salt":"{salt}"}}"#)).collect();
        let json = format!(
            r#"{{"keyslots":{{{}}},"tokens":{},"segments":{{"0":{{}}}},"digests":{{"0":{{"digest":"{}"}}}}}}"#,
            slots.join(","),
            serde_json::Value::Object(self.tokens.clone()),
            self.uuid
        );
        bytes[4096..4096 + json.len()].copy_from_slice(json.as_bytes());
        bytes
    }

    /// The file system's superblock.
    pub(crate) fn superblock(&self) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[56..58].copy_from_slice(&[0x53, 0xef]);
        bytes[4..8].copy_from_slice(&u32::try_from(self.file_system / 4096).unwrap().to_le_bytes());
        bytes[24] = 2;
        bytes
    }

    /// Whether a key opens a slot, or any.
    pub(crate) fn opens(&self, key: &[u8], slot: Option<u32>) -> bool {
        self.slots.iter().any(|(n, (k, _))| k == key && slot.is_none_or(|slot| slot == *n))
    }
}

impl Content {
    /// What a read gives.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let mut put = |at: u64, content: &[u8]| {
            for (i, byte) in content.iter().enumerate() {
                let at = at + i as u64;
                if at >= offset && at < offset + len as u64 {
                    bytes[(at - offset) as usize] = *byte;
                }
            }
        };
        match self {
            Self::Zero => {}
            Self::Bytes(at, content) => put(*at, content),
            Self::Foreign(_) => put(1080, b"\x53\xef"),
            Self::Luks(luks) => {
                put(0, &luks.header());
                if luks.used {
                    put(5 << 20, b"ciphertext");
                }
            }
        }
        bytes
    }
}
