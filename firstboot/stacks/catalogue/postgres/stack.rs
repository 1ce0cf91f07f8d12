//! PostgreSQL: the database the other stacks keep their data in.

use crate::{DataDir, SecretNeed, Stack};

/// The user the official image and ours run the server as.
const UID: u32 = 999;

/// See `compose.yaml` beside this file.
pub(crate) const STACK: Stack = Stack {
    name: "postgres",
    compose: include_str!("compose.yaml"),
    images: &["postgres"],
    secrets: &[SecretNeed {
        name: "postgres-superuser-password",
        purpose: "the password of PostgreSQL's superuser `postgres`",
        length: 43,
        uid: UID,
    }],
    data: &[DataDir { path: "postgres", uid: UID, gid: UID, mode: 0o700 }],
    config: &[],
    certificate: None,
    ports: &[],
    vpn_ports: &[],
    mail: None,
    records: &[],
};
