//! The types of storage boxes. Sizes and the limits of bx11 are Hetzner's; ids, limits and prices of the others are
//! estimates from what was published in 2025, so they give bills their form and not their sum.

use crate::cloud::price::{hourly, price};
use serde_json::{Value, json};

const TEBIBYTE: u64 = 1 << 40;
/// Where boxes are.
pub(crate) const LOCATIONS: [&str; 2] = ["fsn1", "hel1"];

/// A type of storage box.
pub(crate) struct BoxType {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    /// In TiB.
    size: u64,
    /// How many snapshots there may be, made by hand; as many again by the plan.
    pub(crate) snapshots: u64,
    /// Net, a month, in cents.
    price: u64,
}

/// How many subaccounts a box of any type may have.
pub(crate) const SUBACCOUNTS: u64 = 100;

pub(crate) const TYPES: [BoxType; 4] = [
    BoxType { id: 1333, name: "bx11", size: 1, snapshots: 10, price: 320 },
    BoxType { id: 1334, name: "bx21", size: 5, snapshots: 20, price: 1090 },
    BoxType { id: 1335, name: "bx31", size: 10, snapshots: 30, price: 2080 },
    BoxType { id: 1336, name: "bx41", size: 20, snapshots: 40, price: 4060 },
];

/// A type by name.
pub(crate) fn box_type(name: &str) -> Option<&'static BoxType> {
    TYPES.iter().find(|kind| kind.name == name)
}

impl BoxType {
    pub(crate) fn render(&self) -> Value {
        let prices = LOCATIONS.map(|location| {
            json!({"location": location, "price_hourly": hourly(self.price), "price_monthly": price(self.price * 100),
                "setup_fee": price(0)})
        });
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(), "size": self.size * TEBIBYTE,
            "snapshot_limit": self.snapshots, "automatic_snapshot_limit": self.snapshots,
            "subaccounts_limit": SUBACCOUNTS, "prices": prices, "deprecation": null,
        })
    }
}
