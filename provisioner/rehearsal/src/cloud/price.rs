//! Prices in the form that the API gives them.

use serde_json::{Value, json};

/// German VAT, in percent.
pub(crate) const VAT: u64 = 19;
/// An hour costs the month's price divided by this.
const HOURS: u64 = 624;

/// A price from hundredths of a cent, net and gross, in euros.
pub(crate) fn price(net: u64) -> Value {
    let euros = |amount: u64, digits: usize| {
        let unit = 10_u64.pow(digits as u32);
        format!("{}.{:0digits$}", amount / unit, amount % unit)
    };
    json!({"net": euros(net, 4), "gross": euros(net * (100 + VAT), 6)})
}

/// An hour's price, from a month's in cents.
pub(crate) fn hourly(cents: u64) -> Value {
    price((cents * 100).div_ceil(HOURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_decimal_strings() {
        assert_eq!(price(209_900), json!({"net": "20.9900", "gross": "24.978100"}));
        assert_eq!(price(440), json!({"net": "0.0440", "gross": "0.052360"}));
    }
}
