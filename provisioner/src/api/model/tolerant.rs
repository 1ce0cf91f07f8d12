//! Decoding that does not mind what Hetzner leaves out.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A value, or the default where there is `null`.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A whole number, also where it is written as `80.0`, which the document calls a `number`; 0 for `null`.
pub(super) fn whole<'de, D: Deserializer<'de>, N: TryFrom<u64> + Default>(from: D) -> Result<N, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(from)? else { return Ok(N::default()) };
    // Every whole number up to 2^53 is exact as a float, and Hetzner's ids and sizes stay below.
    let float = number.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9.1e15).contains(f)).map(|f| f as u64);
    let number_as_u64 = number.as_u64().or(float);
    number_as_u64
        .and_then(|n| N::try_from(n).ok())
        .ok_or_else(|| D::Error::custom(format!("{number} is not a whole number of the size expected here")))
}
