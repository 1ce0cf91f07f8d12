//! What is on sale: locations, server types, prices. Taken from the price list of September 2026 where it is
//! known; it gives plans and sums their form, the real API has the last word on money.

use super::price::{VAT, hourly, price};
use super::state::{Server, State};
use crate::config::Architecture;
use serde_json::{Value, json};

/// A place servers stand in.
pub(crate) struct Location {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    city: &'static str,
    country: &'static str,
    zone: &'static str,
    latitude: f64,
    longitude: f64,
    description: &'static str,
}

/// A kind of server.
pub(crate) struct ServerType {
    pub(crate) id: u64,
    pub(crate) name: &'static str,
    pub(crate) architecture: Architecture,
    pub(crate) cores: u32,
    /// In GB.
    pub(crate) memory: u32,
    /// In GB.
    pub(crate) disk: u64,
    category: &'static str,
    /// Net, a month, in cents.
    price: u64,
    /// Where it can be ordered.
    locations: &'static [&'static str],
    /// Where it once could.
    withdrawn: &'static [&'static str],
}

const EUROPE: &[&str] = &["fsn1", "nbg1", "hel1"];
const WORLD: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];
const OVERSEAS: &[&str] = &["ash", "hil", "sin"];
const TERABYTE: u64 = 1_000_000_000_000;

pub(crate) const LOCATIONS: [Location; 6] = [
    Location {
        id: 1,
        name: "fsn1",
        city: "Falkenstein",
        country: "DE",
        zone: "eu-central",
        latitude: 50.47612,
        longitude: 12.370071,
        description: "Falkenstein DC Park 1",
    },
    Location {
        id: 2,
        name: "nbg1",
        city: "Nuremberg",
        country: "DE",
        zone: "eu-central",
        latitude: 49.452102,
        longitude: 11.076665,
        description: "Nuremberg DC Park 1",
    },
    Location {
        id: 3,
        name: "hel1",
        city: "Helsinki",
        country: "FI",
        zone: "eu-central",
        latitude: 60.169855,
        longitude: 24.938379,
        description: "Helsinki DC Park 1",
    },
    Location {
        id: 4,
        name: "ash",
        city: "Ashburn, VA",
        country: "US",
        zone: "us-east",
        latitude: 39.045821,
        longitude: -77.487073,
        description: "Ashburn, VA",
    },
    Location {
        id: 5,
        name: "hil",
        city: "Hillsboro, OR",
        country: "US",
        zone: "us-west",
        latitude: 45.54222,
        longitude: -122.951924,
        description: "Hillsboro, OR",
    },
    Location {
        id: 6,
        name: "sin",
        city: "Singapore",
        country: "SG",
        zone: "ap-southeast",
        latitude: 1.283333,
        longitude: 103.833333,
        description: "Singapore",
    },
];

const fn kind(
    id: u64,
    name: &'static str,
    architecture: Architecture,
    (cores, memory, disk): (u32, u32, u64),
    category: &'static str,
    price: u64,
    locations: &'static [&'static str],
) -> ServerType {
    ServerType { id, name, architecture, cores, memory, disk, category, price, locations, withdrawn: &[] }
}

impl ServerType {
    const fn withdrawn_from(mut self, locations: &'static [&'static str]) -> Self {
        self.withdrawn = locations;
        self
    }
}

/// The last two are of the generations that Hetzner deprecated in October 2025: `cpx11` in Europe alone, `cx22` everywhere.
/// Their ids are those of the hcloud projects' examples, their prices estimates.
pub(crate) const SERVER_TYPES: [ServerType; 12] = [
    kind(45, "cax11", Architecture::Arm, (2, 4, 40), "cost_optimized", 599, EUROPE),
    kind(93, "cax21", Architecture::Arm, (4, 8, 80), "cost_optimized", 1099, EUROPE),
    kind(94, "cax31", Architecture::Arm, (8, 16, 160), "cost_optimized", 2099, EUROPE),
    kind(95, "cax41", Architecture::Arm, (16, 32, 320), "cost_optimized", 4099, EUROPE),
    kind(109, "cpx22", Architecture::X86, (2, 4, 80), "regular_purpose", 1949, WORLD),
    kind(110, "cpx32", Architecture::X86, (4, 8, 160), "regular_purpose", 3549, WORLD),
    kind(111, "cpx42", Architecture::X86, (8, 16, 320), "regular_purpose", 6949, WORLD),
    kind(114, "cx23", Architecture::X86, (2, 4, 40), "cost_optimized", 549, EUROPE),
    kind(115, "cx33", Architecture::X86, (4, 8, 80), "cost_optimized", 849, EUROPE),
    kind(116, "cx43", Architecture::X86, (8, 16, 160), "cost_optimized", 1599, EUROPE),
    kind(22, "cpx11", Architecture::X86, (2, 2, 40), "regular_purpose", 449, OVERSEAS).withdrawn_from(EUROPE),
    kind(104, "cx22", Architecture::X86, (2, 4, 40), "cost_optimized", 379, &[]).withdrawn_from(EUROPE),
];

pub(crate) fn location(name: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|location| location.name == name)
}

pub(crate) fn server_type(name: &str) -> Option<&'static ServerType> {
    SERVER_TYPES.iter().find(|kind| kind.name == name)
}

/// The size of a server's disk, in GB.
pub(crate) fn disk_of(server: &Server) -> Option<u64> {
    server.kept_disk.or(server_type(&server.server_type).map(|kind| kind.disk))
}

impl Location {
    pub(crate) fn render(&self) -> Value {
        json!({"id": self.id, "name": self.name, "description": self.description, "country": self.country,
            "city": self.city, "latitude": self.latitude, "longitude": self.longitude, "network_zone": self.zone})
    }

    pub(crate) fn zone(&self) -> &'static str {
        self.zone
    }
}

/// A location by name, rendered; every name in the state is one of the table's.
pub(crate) fn render_location(name: &str) -> Value {
    location(name).map_or(Value::Null, Location::render)
}

impl ServerType {
    pub(crate) fn is_sold_in(&self, location: &str) -> bool {
        self.locations.contains(&location)
    }

    pub(crate) fn is_in_stock(&self, state: &State, location: &str) -> bool {
        self.is_sold_in(location) && !state.sold_out.contains(&stock_key(self.name, location))
    }

    /// Whether it can be ordered nowhere any more.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.locations.is_empty()
    }

    /// The locations that know it, be it from the past.
    fn known_in(&self) -> impl Iterator<Item = &'static Location> {
        LOCATIONS.iter().filter(|l| self.is_sold_in(l.name) || self.withdrawn.contains(&l.name))
    }

    pub(crate) fn render(&self, state: &State) -> Value {
        let locations = self.known_in().map(|location| {
            let available = self.is_in_stock(state, location.name);
            json!({"id": location.id, "name": location.name, "available": available, "recommended": available,
                "deprecation": deprecation(!self.is_sold_in(location.name))})
        });
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(), "cores": self.cores,
            "memory": self.memory, "disk": self.disk, "deprecated": self.is_withdrawn(),
            "deprecation": deprecation(self.is_withdrawn()),
            "prices": self.prices(), "storage_type": "local", "cpu_type": "shared", "category": self.category,
            "architecture": self.architecture.name(), "locations": locations.collect::<Vec<_>>(),
        })
    }

    fn prices(&self) -> Vec<Value> {
        self.known_in()
            .map(|location| {
                json!({"location": location.name, "price_hourly": hourly(self.price), "price_monthly": price(self.price * 100),
                    "included_traffic": self.included_traffic(location.name), "price_per_tb_traffic": price(10_000)})
            })
            .collect()
    }

    /// In bytes a month.
    pub(crate) fn included_traffic(&self, location: &str) -> u64 {
        if EUROPE.contains(&location) { 20 * TERABYTE } else { TERABYTE }
    }
}

/// The deprecation of what was withdrawn, with the dates that the live API gave in 2026; none is null.
fn deprecation(is_withdrawn: bool) -> Value {
    match is_withdrawn {
        true => json!({"announced": "2025-10-16T06:00:00Z", "unavailable_after": "2025-12-31T23:59:59Z"}),
        false => Value::Null,
    }
}

/// How a type in a location is named in the list of what is sold out.
pub(crate) fn stock_key(server_type: &str, location: &str) -> String {
    format!("{server_type}/{location}")
}

/// The whole price list.
pub(crate) fn pricing() -> Value {
    let everywhere = |cents: u64| -> Vec<Value> {
        let row = |l: &Location| json!({"location": l.name, "price_hourly": hourly(cents), "price_monthly": price(cents * 100)});
        LOCATIONS.iter().map(row).collect()
    };
    let types: Vec<_> = SERVER_TYPES
        .iter()
        .filter(|kind| !kind.is_withdrawn())
        .map(|kind| json!({"id": kind.id, "name": kind.name, "prices": kind.prices()}))
        .collect();
    let floating: Vec<_> = [("ipv4", 300), ("ipv6", 100)]
        .iter()
        .map(|(kind, cents)| json!({"type": kind, "prices": everywhere(*cents)}))
        .collect();
    json!({
        "currency": "EUR", "vat_rate": format!("{VAT}.00"),
        "primary_ips": [{"type": "ipv4", "prices": everywhere(50)}, {"type": "ipv6", "prices": everywhere(0)}],
        "floating_ip": {"price_monthly": price(30_000)},
        "floating_ips": floating,
        "image": {"price_per_gb_month": price(110)},
        "volume": {"price_per_gb_month": price(440)},
        "server_backup": {"percentage": "20.00"},
        "server_types": types,
        "load_balancer_types": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arm_is_sold_in_europe_only() {
        let cax31 = server_type("cax31").unwrap();
        assert!(cax31.is_sold_in("fsn1") && !cax31.is_sold_in("ash"));
        let mut sold_out = State::default();
        sold_out.sold_out.insert(stock_key("cax31", "fsn1"));
        assert!(!cax31.is_in_stock(&sold_out, "fsn1") && cax31.is_in_stock(&sold_out, "nbg1"));
    }
}
