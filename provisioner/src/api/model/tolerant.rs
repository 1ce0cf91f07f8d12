//! Decoding that does not mind what Hetzner leaves out.

use serde::{Deserialize, Deserializer};
use serde_json::Number;

/// A value, or the default where there is `null`.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A whole number, also where it is written as `80.0`, which the document calls a `number`.
pub(super) fn whole<'de, D: Deserializer<'de>, N: TryFrom<u64>>(from: D) -> Result<N, D::Error> {
    whole_of(&Number::deserialize(from)?)
}

/// The same, 0 for `null`.
pub(super) fn whole_or_zero<'de, D: Deserializer<'de>, N: TryFrom<u64> + Default>(
    from: D,
) -> Result<N, D::Error> {
    Option::<Number>::deserialize(from)?.map_or_else(|| Ok(N::default()), |number| whole_of(&number))
}

fn whole_of<N: TryFrom<u64>, E: serde::de::Error>(number: &Number) -> Result<N, E> {
    // Every whole number up to 2^53 is exact as a float, and Hetzner's ids and sizes stay below.
    let float = number.as_f64().filter(|f| f.fract() == 0.0 && (0.0..9.0e15).contains(f)).map(|f| f as u64);
    let whole = number.as_u64().or(float).and_then(|whole| N::try_from(whole).ok());
    whole.ok_or_else(|| E::custom(format!("{number} is not a whole number of the size expected here")))
}
