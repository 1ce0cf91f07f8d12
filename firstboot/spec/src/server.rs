//! What the operator chose for the server itself.

use serde::{Deserialize, Serialize};

/// How the volume is opened after a reboot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case", deny_unknown_fields)]
pub enum UnlockSpec {
    /// The server waits locked until the operator sends the key.
    #[default]
    Operator,
    /// The server opens it with the help of Tang servers it can reach, and of nobody else.
    Tang {
        /// How many of the servers must answer (Shamir's secret sharing), 1 to their number.
        threshold: u8,
        /// The servers.
        servers: Vec<TangServer>,
    },
    /// The key lies on the root disk: whoever has that disk has the data.
    Keyfile,
}

/// A Tang server and the key it signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TangServer {
    /// Where it answers, e.g. `http://tang.example.org:7500`.
    pub url: String,
    /// The thumbprint of its signing key, as `tang-show-keys` prints it.
    pub thumbprint: String,
}

/// When the server may restart by itself to finish a security upgrade: daily at this time, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebootWindow {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
}

/// The private network between the server and the operator's devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VpnSpec {
    /// The name the control server is reached by, e.g. `vpn.example.org`.
    pub host: String,
    /// The domain of the names inside the network, e.g. `internal.example.org`; not that of [`Self::host`].
    pub base_domain: String,
    /// The operator's devices, each of which gets a pre-authentication key by way of the escrow.
    pub devices: Vec<String>,
    /// Names of administrators' pages: each, below [`Self::base_domain`], resolves to the server inside the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// A finding of the audit that is accepted, until a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The check's id, e.g. `docker-2.9`.
    pub check: String,
    /// Why it is accepted.
    pub reason: String,
    /// The day it is looked at again, `YYYY-MM-DD`; after it the exception no longer counts.
    pub review: String,
}
