//! Where things lie on the server. Everything on the root disk is free of secrets, except the bootstrap key,
//! which opens the volume only until first boot is done and opens nothing afterwards.

/// The static binary, copied here by the provisioner or baked into the image.
pub const BINARY: &str = "/usr/local/lib/sovereign/firstboot";
/// What makes `firstboot` a command on the server: a line of shell that runs [`BINARY`].
pub const COMMAND: &str = "/usr/local/bin/firstboot";
/// The [`NodeSpec`](crate::NodeSpec).
pub const NODE_SPEC: &str = "/etc/sovereign/node.json";
/// State of firstboot on the root disk.
pub const STATE: &str = "/var/lib/sovereign";
/// The [`Receipt`](crate::Receipt).
pub const RECEIPT: &str = "/var/lib/sovereign/receipt.json";
/// The event stream: one [`Event`](crate::Event) in JSON a line, appended.
pub const EVENTS: &str = "/var/lib/sovereign/events.jsonl";
/// What is pending: a [`Phase`](crate::Phase).
pub const PHASE: &str = "/var/lib/sovereign/phase.json";
/// SHA-256 of all that this server shall be, written when all of it held.
pub const HELD: &str = "/srv/sovereign/held";
/// What the operator's side has acknowledged: one file a gate, holding the value acknowledged.
pub const ACKNOWLEDGED: &str = "/var/lib/sovereign/acknowledged";
/// The sealed escrow bundle, its manifest and the manifest's signature by the lasting host key.
pub const ESCROW_BUNDLE: &str = "/var/lib/sovereign/escrow/bundle.age";
/// The cleartext [`EscrowManifest`](crate::EscrowManifest) of the bundle.
pub const ESCROW_MANIFEST: &str = "/var/lib/sovereign/escrow/manifest.json";
/// `ssh-keygen -Y sign` of the manifest, namespace [`ESCROW_NAMESPACE`].
pub const ESCROW_SIGNATURE: &str = "/var/lib/sovereign/escrow/manifest.json.sig";
/// The namespace of that signature.
pub const ESCROW_NAMESPACE: &str = "sovereign-escrow";
/// Where the LUKS volume is mounted; all data lies below.
pub const DATA: &str = "/srv/sovereign";
/// The name of the opened LUKS mapping, in `/dev/mapper`.
pub const MAPPING: &str = "sovereign";
/// The unit that runs firstboot.
pub const UNIT: &str = "sovereign-firstboot.service";
