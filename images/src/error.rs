use std::path::PathBuf;

/// Why an image could not be built or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program failed, or a file could not be read or written.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The disk is too small for the build.
    #[error(
        "building {what} in {}: {have} MiB free, {need} MiB needed; free some, or set SOVEREIGN_CACHE to a directory on another disk",
        .directory.display()
    )]
    NoSpace {
        /// What was to be built.
        what: String,
        /// The cache directory.
        directory: PathBuf,
        /// What is free, in MiB.
        have: u64,
        /// What the build takes, in MiB.
        need: u64,
    },
    /// Something is not as it must be.
    #[error("{doing}: {why}; {help}")]
    Refused {
        /// The gerund and its object.
        doing: String,
        /// The cause.
        why: String,
        /// The remedy.
        help: String,
    },
    /// A certificate could not be made.
    #[error("making the registry's certificate")]
    Certificate(#[from] rcgen::Error),
    /// A document could not be written or read as JSON.
    #[error("reading or writing JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// An operating-system error with what was being done to what.
    pub(crate) fn io(
        doing: &'static str,
        what: impl AsRef<std::path::Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Host(host::Error::io(doing, what, source))
    }
}
