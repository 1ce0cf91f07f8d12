//! Format, open, or refuse: decided from facts alone.

use super::{Facts, Head, Refusal};
use ::escrow::Header;
use spec::{DiskSpec, VolumeRecord};

const GB: u64 = 1_000_000_000;

/// What may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Try to open it with the bootstrap key.
    pub open: bool,
    /// Format it, if it was not to be opened or did not open.
    pub format: bool,
    /// The LUKS header's UUID; empty where a new one is to be drawn.
    pub uuid: String,
}

/// Decides what may be done to a volume. `record` is what is on record of it, `escrowed` whether an escrow was
/// acknowledged for it.
pub fn decide(
    facts: &Facts,
    spec: &DiskSpec,
    record: Option<&VolumeRecord>,
    escrowed: bool,
) -> Result<Plan, Refusal> {
    let device = || facts.device.clone();
    let wanted = spec.volume_id;
    if facts.serial != wanted.to_string() {
        return Err(Refusal::Serial { device: device(), found: facts.serial.clone(), wanted });
    }
    if let Some(record) = record
        && record.id != wanted
    {
        return Err(Refusal::OtherVolume { device: device(), recorded: record.id, wanted });
    }
    if let Some(VolumeRecord { luks_uuid, formatted: true, .. }) = record {
        return match &facts.head {
            Head::Luks(header) if header.uuid == *luks_uuid => {
                Ok(Plan { open: true, uuid: luks_uuid.clone(), ..Plan::default() })
            }
            found => Err(Refusal::HeaderLost {
                device: device(),
                uuid: luks_uuid.clone(),
                found: found.to_string(),
            }),
        };
    }
    let ours = record.map(|r| r.luks_uuid.as_str()).unwrap_or_default();
    let interrupted = |header: &Header| !ours.is_empty() && header.uuid == ours;
    match &facts.head {
        Head::Foreign(found) => {
            return Err(Refusal::Signature { device: device(), found: found.clone() });
        }
        Head::Luks(header) if !interrupted(header) => {
            return Err(Refusal::Signature { device: device(), found: facts.head.to_string() });
        }
        _ => {}
    }
    let Some(token) = &spec.format else { return Err(Refusal::NoToken { device: device() }) };
    if token.volume_id != wanted {
        return Err(Refusal::TokenForAnother { device: device(), token: token.volume_id, wanted });
    }
    if escrowed {
        return Err(Refusal::Escrowed { device: device() });
    }
    // A gigabyte as ordered may be 10⁹ or 2³⁰ bytes; a volume of another order of size is another volume.
    if facts.size < spec.size_gb * GB / 10 * 9 || facts.size > spec.size_gb * GB / 10 * 12 {
        return Err(Refusal::Size { device: device(), found: facts.size, wanted_gb: spec.size_gb });
    }
    let plan = Plan { uuid: ours.into(), format: facts.beyond.is_none(), open: false };
    match &facts.head {
        Head::Luks(_) => Ok(Plan { open: true, ..plan }),
        Head::Zero if plan.format => Ok(plan),
        // What a power cut left of a format that was recorded: bytes, but no header, and nothing past it.
        Head::Nameless(_) if plan.format && !ours.is_empty() => Ok(plan),
        Head::Nameless(at) => Err(Refusal::NotEmpty { device: device(), at: *at }),
        Head::Zero | Head::Foreign(_) => {
            Err(Refusal::NotEmpty { device: device(), at: facts.beyond.unwrap_or_default() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::FormatToken;
    use std::path::PathBuf;

    const OURS: &str = "11111111-2222-4333-8444-555555555555";

    fn facts(head: Head) -> Facts {
        Facts { device: "/dev/sda".into(), serial: "7".into(), size: 10 * GB, head, beyond: None }
    }

    fn luks(uuid: &str) -> Head {
        Head::Luks(Header { uuid: uuid.into(), ..Header::default() })
    }

    fn disk() -> DiskSpec {
        let format = Some(FormatToken { volume_id: 7, nonce: "0".repeat(32) });
        DiskSpec { volume_id: 7, size_gb: 10, format, known: None }
    }

    fn record(formatted: bool) -> VolumeRecord {
        VolumeRecord { id: 7, luks_uuid: OURS.into(), formatted }
    }

    fn device() -> PathBuf {
        "/dev/sda".into()
    }

    #[test]
    fn an_empty_volume_with_leave_is_formatted() {
        let plan = decide(&facts(Head::Zero), &disk(), None, false).unwrap();
        assert_eq!(plan, Plan { format: true, ..Plan::default() });
    }

    #[test]
    fn a_size_in_binary_gigabytes_is_fine() {
        let binary = Facts { size: 10 << 30, ..facts(Head::Zero) };
        assert!(decide(&binary, &disk(), None, false).is_ok());
    }

    #[test]
    fn another_serial_is_refused() {
        for found in ["8", "", "07"] {
            let other = Facts { serial: found.into(), ..facts(Head::Zero) };
            let refusal = Refusal::Serial { device: device(), found: found.into(), wanted: 7 };
            assert_eq!(decide(&other, &disk(), None, false), Err(refusal));
        }
    }

    #[test]
    fn another_size_is_refused() {
        for size in [5 * GB, 20 * GB] {
            let other = Facts { size, ..facts(Head::Zero) };
            assert!(matches!(decide(&other, &disk(), None, false), Err(Refusal::Size { .. })));
        }
    }

    #[test]
    fn without_leave_nothing_is_formatted() {
        let without = DiskSpec { format: None, ..disk() };
        let refusal = Refusal::NoToken { device: device() };
        assert_eq!(decide(&facts(Head::Zero), &without, None, false), Err(refusal));
    }

    #[test]
    fn leave_for_another_volume_is_no_leave() {
        let mut other = disk();
        other.format.as_mut().unwrap().volume_id = 8;
        let refusal = Refusal::TokenForAnother { device: device(), token: 8, wanted: 7 };
        assert_eq!(decide(&facts(Head::Zero), &other, None, false), Err(refusal));
    }

    #[test]
    fn any_signature_is_refused_even_with_leave() {
        let found = decide(&facts(Head::Foreign("an ext4 signature".into())), &disk(), None, false);
        assert_eq!(found, Err(Refusal::Signature { device: device(), found: "an ext4 signature".into() }));
        for record in [None, Some(record(false))] {
            let other = decide(&facts(luks("another")), &disk(), record.as_ref(), false);
            assert!(matches!(other, Err(Refusal::Signature { .. })));
        }
    }

    #[test]
    fn nameless_bytes_are_refused() {
        let refusal = Refusal::NotEmpty { device: device(), at: 9000 };
        assert_eq!(decide(&facts(Head::Nameless(9000)), &disk(), None, false), Err(refusal));
    }

    #[test]
    fn an_acknowledged_escrow_forbids_formatting() {
        for record in [None, Some(record(false))] {
            let found = decide(&facts(Head::Zero), &disk(), record.as_ref(), true);
            assert_eq!(found, Err(Refusal::Escrowed { device: device() }));
        }
    }

    #[test]
    fn another_volume_than_the_receipts_is_refused() {
        let other = VolumeRecord { id: 6, ..record(true) };
        let refusal = Refusal::OtherVolume { device: device(), recorded: 6, wanted: 7 };
        assert_eq!(decide(&facts(Head::Zero), &disk(), Some(&other), false), Err(refusal));
    }

    #[test]
    fn a_formatted_volume_is_only_ever_opened() {
        let plan = decide(&facts(luks(OURS)), &disk(), Some(&record(true)), true).unwrap();
        assert_eq!(plan, Plan { open: true, format: false, uuid: OURS.into() });
        for head in [Head::Zero, luks("another"), Head::Nameless(0), Head::Foreign("x".into())] {
            let found = decide(&facts(head), &disk(), Some(&record(true)), false);
            assert!(matches!(found, Err(Refusal::HeaderLost { .. })));
        }
    }

    #[test]
    fn a_format_cut_off_goes_on() {
        let decided = |head| decide(&facts(head), &disk(), Some(&record(false)), false).unwrap();
        let again = Plan { open: false, format: true, uuid: OURS.into() };
        assert_eq!(decided(Head::Zero), again);
        assert_eq!(decided(Head::Nameless(4096)), again);
        assert_eq!(decided(luks(OURS)), Plan { open: true, ..again });
    }

    #[test]
    fn what_lies_past_the_header_is_never_formatted_over() {
        let beyond = |head| Facts { beyond: Some(5 << 20), ..facts(head) };
        let decided = |head| decide(&beyond(head), &disk(), Some(&record(false)), false);
        assert_eq!(decided(luks(OURS)).unwrap(), Plan { open: true, format: false, uuid: OURS.into() });
        assert!(matches!(decided(Head::Nameless(4096)), Err(Refusal::NotEmpty { .. })));
    }

    #[test]
    fn a_cut_off_format_needs_leave_all_the_same() {
        let without = DiskSpec { format: None, ..disk() };
        for head in [Head::Zero, Head::Nameless(0), luks(OURS)] {
            let found = decide(&facts(head), &without, Some(&record(false)), false);
            assert_eq!(found, Err(Refusal::NoToken { device: device() }));
        }
    }

    #[test]
    fn every_refusal_names_the_device_and_what_to_do() {
        let refusals = [
            Refusal::Serial { device: device(), found: "8".into(), wanted: 7 },
            Refusal::Unreadable { device: device(), offset: 512, why: "input/output error".into() },
            Refusal::Changed { device: device() },
            Refusal::OursButShut { device: device(), uuid: OURS.into() },
        ];
        for refusal in refusals {
            let text = refusal.to_string();
            assert!(text.contains("/dev/sda") && text.len() > 80, "{text}");
        }
    }
}
