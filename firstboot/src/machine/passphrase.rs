//! A passphrase of words, for a person who types it at a console.
//!
//! The words are BIP-0039's English ones: common, eight letters at most, no two alike in the first four. Each is drawn
//! by itself, so twelve are 132 random bits. It is no wallet's mnemonic and carries no checksum.

use super::Machine;
use host::{Error, Secret};
use zeroize::Zeroizing;

const LIST: &str = include_str!("../../words/english.txt");
/// Eleven bits each.
const LIST_LEN: usize = 2048;
/// 132 bits.
pub(crate) const PASSPHRASE: usize = 12;

/// Draws `count` words, with one space between them.
pub(crate) fn draw(machine: &dyn Machine, count: usize) -> Result<Secret, Error> {
    let list: Vec<&str> = LIST.split_ascii_whitespace().collect();
    let mut random = Zeroizing::new(vec![0; 2 * count]);
    machine.random(&mut random)?;
    let mut drawn = Zeroizing::new(Vec::with_capacity(9 * count));
    for bytes in random.chunks_exact(2) {
        if !drawn.is_empty() {
            drawn.push(b' ');
        }
        // 2048 divides 65 536: every word is as likely as any other.
        let word = list[usize::from(u16::from_be_bytes([bytes[0], bytes[1]])) % LIST_LEN];
        drawn.extend_from_slice(word.as_bytes());
    }
    Ok(Secret::new(std::mem::take(&mut *drawn)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Here;

    #[test]
    fn the_list_is_the_published_one() {
        let words: Vec<&str> = LIST.split_ascii_whitespace().collect();
        assert_eq!(words.len(), LIST_LEN);
        let as_published = words.join("\n") + "\n";
        assert_eq!(
            crate::machine::digest::sha256(as_published.as_bytes()),
            "2f5eed53a4727b4bf8880d8f3f199efc90e58503646d9ff8eff3a2ed3b24dbda"
        );
    }

    #[test]
    fn a_passphrase_has_at_least_128_bits_and_can_be_typed() {
        assert!(LIST_LEN.is_power_of_two() && LIST_LEN.ilog2() as usize * PASSPHRASE >= 128);
        let list: Vec<&str> = LIST.split_ascii_whitespace().collect();
        let drawn = || draw(&Here::new(), PASSPHRASE).unwrap();
        let one = String::from_utf8(drawn().expose().to_vec()).unwrap();
        assert_eq!(one.split(' ').count(), PASSPHRASE);
        assert!(one.split(' ').all(|word| list.contains(&word)), "{one}");
        assert!(one.as_bytes() != drawn().expose());
    }
}
