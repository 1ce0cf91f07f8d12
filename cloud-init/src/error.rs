/// Why a value cannot go into a cloud-config.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not an RFC 1123 label.
    #[error("{0:?} is no host name: 1 to 63 of a-z, 0-9 and -, neither first nor last a -")]
    HostName(String),
    /// Not an absolute path.
    #[error("{0:?} is no absolute path of a file")]
    Path(String),
    /// Not a line of `authorized_keys`.
    #[error("{0:?} is no public ssh key: expected `ssh-ed25519 AAAA…`")]
    PublicKey(String),
    /// Not a Debian package name.
    #[error("{0:?} is no package name: a-z, 0-9, + - and .")]
    Package(String),
}
