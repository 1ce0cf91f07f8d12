//! Random characters.

use super::Machine;
use host::Error;
use zeroize::Zeroizing;

/// The digits of hexadecimal numbers.
pub(crate) const HEX: &[u8] = b"0123456789abcdef";

/// Random characters of an alphabet, each as likely as any other.
pub(crate) fn draw(machine: &dyn Machine, alphabet: &[u8], len: usize) -> Result<host::Secret, Error> {
    let mut drawn = Zeroizing::new(Vec::with_capacity(len));
    let fair = 256 - 256 % alphabet.len();
    let mut bytes = Zeroizing::new([0; 64]);
    while drawn.len() < len {
        machine.random(&mut *bytes)?;
        let usable = bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair);
        let missing = len - drawn.len();
        drawn.extend(usable.map(|b| alphabet[b % alphabet.len()]).take(missing));
    }
    Ok(host::Secret::new(std::mem::take(&mut *drawn)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Here;

    #[test]
    fn drawn_characters_are_of_the_alphabet_and_never_the_same_twice() {
        let one = draw(&Here::new(), b"0123456789abcdef", 64).unwrap();
        let two = draw(&Here::new(), b"0123456789abcdef", 64).unwrap();
        assert_eq!(one.expose().len(), 64);
        assert!(one.expose().iter().all(u8::is_ascii_hexdigit));
        assert!(one.expose() != two.expose());
    }
}
