//! The API against a served cloud without machines; every answer is compared with Hetzner's schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![expect(clippy::needless_pass_by_value, reason = "JSON literals are written in place")]

mod clock;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod faults;
mod firewalls;
mod images;
mod legacy;
mod limits;
mod lists;
mod maintenance;
mod metadata;
#[path = "../common/paper.rs"]
mod paper;
mod primary_ips;
mod protocol;
mod schema;
mod servers;
mod ssh_keys;
mod storage_boxes;
mod volumes;
mod world;
mod zones;
