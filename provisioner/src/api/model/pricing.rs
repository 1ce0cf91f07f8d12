//! What things cost. A price that is missing is an empty text, which no sum takes for a number.

use super::tolerant::or_default;
use serde::Deserialize;

/// A price in one location.
#[derive(Debug, Clone, Deserialize)]
pub struct LocationPrice {
    /// The location's name.
    #[serde(default, deserialize_with = "or_default")]
    pub location: String,
    /// The price a month.
    #[serde(default, deserialize_with = "or_default")]
    pub price_monthly: Price,
    /// The price an hour.
    #[serde(default, deserialize_with = "or_default")]
    pub price_hourly: Price,
}

/// An amount in the account's currency.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Price {
    /// Without tax, a decimal number.
    #[serde(default, deserialize_with = "or_default")]
    pub net: String,
}

/// The price list.
#[derive(Debug, Clone, Deserialize)]
pub struct Pricing {
    /// E.g. `EUR`.
    #[serde(default, deserialize_with = "or_default")]
    pub currency: String,
    /// What a GB of volume costs.
    pub volume: Option<VolumePricing>,
    /// What a GB of snapshot costs.
    pub image: Option<VolumePricing>,
    /// What primary IPs cost.
    #[serde(default, deserialize_with = "or_default")]
    pub primary_ips: Vec<PrimaryIpPricing>,
}

/// What storage costs.
#[derive(Debug, Clone, Deserialize)]
pub struct VolumePricing {
    /// A GB for a month.
    #[serde(default, deserialize_with = "or_default")]
    pub price_per_gb_month: Price,
}

/// What primary IPs of one family cost.
#[derive(Debug, Clone, Deserialize)]
pub struct PrimaryIpPricing {
    /// `ipv4` or `ipv6`.
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub family: String,
    /// By location.
    #[serde(default, deserialize_with = "or_default")]
    pub prices: Vec<LocationPrice>,
}
