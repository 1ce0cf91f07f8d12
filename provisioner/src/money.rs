//! Monthly prices, exact: Hetzner gives them as decimal texts with up to ten places.

use std::fmt;

const SCALE: i64 = 1_000_000;

/// An amount in the account's currency, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(i64);

impl Money {
    /// Reads a decimal such as `12.4900000000`; what lies beyond a millionth is cut off.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
        let (whole, fraction): (i64, i64) = (whole.parse().ok()?, digits.parse().ok()?);
        whole.checked_mul(SCALE)?.checked_add(fraction).map(Self)
    }

    /// So many times the amount.
    #[must_use]
    pub fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(i64::try_from(factor).unwrap_or(i64::MAX)))
    }

    /// A part of the amount, rounded up, so that a cost is never shown too small.
    #[must_use]
    pub fn divided_by(self, parts: u64) -> Self {
        let parts = i64::try_from(parts).unwrap_or(i64::MAX).max(1);
        Self(self.0.saturating_add(parts - 1) / parts)
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|m| m.0).sum())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = (self.0 + SCALE / 200) / (SCALE / 100);
        f.pad(&format!("{}.{:02}", cents / 100, cents % 100))
    }
}

impl serde::Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn it_reads_hetzners_decimals_and_rounds_to_cents() {
        let shown = |text| Money::parse(text).map(|m| m.to_string());
        assert_eq!(shown("20.9900000000").as_deref(), Some("20.99"));
        assert_eq!(shown("0.0440").as_deref(), Some("0.04"));
        assert_eq!(shown("3").as_deref(), Some("3.00"));
        assert_eq!(shown("x"), None);
        assert_eq!(Money::parse("3").unwrap().divided_by(7), Money::parse("0.428572").unwrap());
        assert_eq!(Money::parse("0.0440").unwrap().times(40).to_string(), "1.76");
    }
}
