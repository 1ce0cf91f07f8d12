use crate::{Error, VERSION, parse, to_json};
use serde::{Deserialize, Serialize};

/// A LUKS2 keyslot of the volume. The number is the meaning, on every server and for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// 0: the key `unlock` sends.
    Unlock,
    /// 1: the key on the root disk that dies when first boot is done.
    Bootstrap,
    /// 2: words that a person can type.
    Recovery,
    /// 3: where a new key waits until the escrow holds it.
    Spare,
    /// 4 and above: bound to Tang servers, or added by hand.
    Other(u32),
}

impl Slot {
    /// The slots of the table, in their order.
    pub const NAMED: [Self; 4] = [Self::Unlock, Self::Bootstrap, Self::Recovery, Self::Spare];
    /// The first slot that is free for Tang.
    pub const FIRST_OTHER: u32 = 4;
    /// How many slots a LUKS2 header can have.
    pub const COUNT: u32 = 32;

    /// The slot of this number.
    pub fn from_number(number: u32) -> Self {
        Self::NAMED.into_iter().find(|slot| slot.number() == number).unwrap_or(Self::Other(number))
    }

    /// Its number in the header.
    pub fn number(self) -> u32 {
        match self {
            Self::Unlock => 0,
            Self::Bootstrap => 1,
            Self::Recovery => 2,
            Self::Spare => 3,
            Self::Other(number) => number,
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlock => "unlock",
            Self::Bootstrap => "bootstrap",
            Self::Recovery => "recovery",
            Self::Spare => "spare",
            Self::Other(_) => "other",
        }
    }

    /// What it is for, in a sentence.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Unlock => "opens the LUKS volume that holds all data",
            Self::Bootstrap => "lets first boot survive a restart; dies when first boot is done",
            Self::Recovery => "opens the same volume with words that a person types at a console",
            Self::Spare => "where a new key waits until the escrow holds it",
            Self::Other(_) => "bound to Tang servers, or added by hand",
        }
    }

    /// The name of the secret that opens it, where the escrow holds one: `secrets/NAME` in the bundle.
    pub fn secret(self) -> Option<&'static str> {
        match self {
            Self::Unlock => Some("luks-key"),
            Self::Recovery => Some("luks-recovery"),
            Self::Bootstrap | Self::Spare | Self::Other(_) => None,
        }
    }

    /// The slot a secret opens when nothing is being changed.
    pub fn of_secret(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|slot| slot.secret() == Some(name))
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {} ({})", self.number(), self.name())
    }
}

/// A slot in use, as a header describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySlot {
    /// Its number.
    pub number: u32,
    /// SHA-256 of its entry in the header, hexadecimal: the same slot with another key has another.
    pub sha256: String,
}

impl KeySlot {
    /// What it is.
    pub fn slot(&self) -> Slot {
        Slot::from_number(self.number)
    }
}

/// The keys of a server's volume: what `firstboot keys list` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// [`VERSION`].
    pub version: u32,
    /// The UUID of the LUKS2 header.
    pub luks_uuid: String,
    /// The slots in use, by number.
    pub slots: Vec<KeySlot>,
    /// Whether a change of keys was begun and is not done.
    pub changing: bool,
}

impl Keys {
    /// The keys of a header.
    pub fn new(luks_uuid: &str, slots: &[KeySlot], changing: bool) -> Self {
        Self { version: VERSION, luks_uuid: luks_uuid.into(), slots: slots.to_vec(), changing }
    }

    /// Reads and checks it.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        parse("list of keys", json, |keys: &Self| keys.version)
    }

    /// As printed.
    pub fn to_json(&self) -> Vec<u8> {
        to_json(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_meanings_are_one_to_one() {
        for number in 0..Slot::COUNT {
            assert_eq!(Slot::from_number(number).number(), number);
            assert_eq!(number >= Slot::FIRST_OTHER, matches!(Slot::from_number(number), Slot::Other(_)));
        }
        let numbers: Vec<u32> = Slot::NAMED.iter().map(|slot| slot.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3], "on servers that are there these numbers mean this");
    }

    #[test]
    fn a_secret_names_its_slot() {
        assert_eq!(Slot::of_secret("luks-key"), Some(Slot::Unlock));
        assert_eq!(Slot::of_secret("luks-recovery"), Some(Slot::Recovery));
        assert_eq!(Slot::of_secret("postgres-superuser-password"), None);
    }

    #[test]
    fn the_list_reads_back() {
        let keys = Keys::new("u", &[KeySlot { number: 0, sha256: "ab".into() }], true);
        assert_eq!(Keys::from_json(&keys.to_json()).unwrap(), keys);
    }
}
