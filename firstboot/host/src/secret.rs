use zeroize::Zeroizing;

/// Bytes that open something. They are wiped when dropped and leave only by [`Secret::expose`],
/// which is for a program's stdin, a 0400 file, or the sealing of an escrow bundle.
///
/// There is no `Debug`, no `Display` and no `Serialize`, so a secret cannot reach a log by accident:
///
/// ```compile_fail
/// let s = sovereign_host::Secret::new(b"hunter2".to_vec());
/// println!("{s:?}");
/// ```
///
/// ```compile_fail
/// let s = sovereign_host::Secret::new(b"hunter2".to_vec());
/// let _ = sovereign_host::Cmd::new("true").arg(s);
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes; the caller must not keep a copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}
