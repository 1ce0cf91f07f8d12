//! Whether a binary is what the server can run: its architecture, and no need of any library there.

use crate::Arch;
use anyhow::{Context, Result, ensure};

const PT_INTERP: u32 = 3;

/// Refuses a binary that another architecture runs, or that asks for a dynamic loader.
pub(super) fn require_static(elf: &[u8], arch: Arch) -> Result<()> {
    let machine = arch.elf_machine();
    ensure!(elf.get(..6) == Some(b"\x7fELF\x02\x01"), "the result is no 64-bit little-endian ELF file");
    let found = half(elf, 18)?;
    ensure!(found == machine, "the result is for ELF machine {found}, not {machine} ({})", arch.machine());
    let table = usize::try_from(u64::from_le_bytes(field(elf, 32)?))?;
    let (entry_size, entries) = (usize::from(half(elf, 54)?), usize::from(half(elf, 56)?));
    for n in 0..entries {
        let kind = u32::from_le_bytes(field(elf, table.saturating_add(n * entry_size))?);
        ensure!(kind != PT_INTERP, "the result is not static: it asks for a dynamic loader");
    }
    Ok(())
}

fn half(elf: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(field(elf, at)?))
}

fn field<const N: usize>(elf: &[u8], at: usize) -> Result<[u8; N]> {
    let bytes = elf.get(at..).and_then(|rest| rest.first_chunk());
    bytes.copied().context("the result is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut elf = vec![0; 64];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[18..20].copy_from_slice(&machine.to_le_bytes());
        elf[32..40].copy_from_slice(&64u64.to_le_bytes());
        elf[54..56].copy_from_slice(&56u16.to_le_bytes());
        elf[56..58].copy_from_slice(&u16::try_from(segments.len()).unwrap().to_le_bytes());
        for kind in segments {
            elf.extend(kind.to_le_bytes());
            elf.extend([0; 52]);
        }
        elf
    }

    #[test]
    fn only_a_static_binary_of_the_right_architecture_passes() {
        require_static(&file(183, &[1, 1, 6]), Arch::Arm64).unwrap();
        require_static(&file(62, &[1]), Arch::Amd64).unwrap();
        let error = |elf: &[u8], arch| require_static(elf, arch).unwrap_err().to_string();
        assert!(error(&file(62, &[1]), Arch::Arm64).contains("machine 62"));
        assert!(error(&file(183, &[6, PT_INTERP, 1]), Arch::Arm64).contains("dynamic loader"));
        assert!(error(b"#!/bin/sh", Arch::Amd64).contains("no 64-bit"));
        assert!(error(&file(62, &[1, 1])[..100], Arch::Amd64).contains("cut short"));
    }
}
