//! What the lint found, and by which rule.

/// What no stack may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It can be read.
    Readable,
    /// Keys that a stack has a use for, and no others.
    Key,
    /// All capabilities dropped.
    Capabilities,
    /// `no-new-privileges`, and nothing else.
    SecurityOptions,
    /// A read-only root file system.
    ReadOnly,
    /// Limits for memory, processors and processes.
    Limits,
    /// A health check.
    Healthcheck,
    /// Ports only where the project declares them.
    Ports,
    /// Images by digest.
    Digest,
    /// No secret in the environment.
    EnvironmentSecret,
    /// Nothing is taken from the environment of whoever starts it.
    Interpolation,
    /// Not root.
    Root,
    /// Of the server's files only the stack's own.
    Files,
    /// Only networks that the plan has it in.
    Networks,
}

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The service, or empty for the file as a whole.
    pub service: String,
    /// Which rule.
    pub rule: Rule,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.service.is_empty() {
            write!(f, "service {}: ", self.service)?;
        }
        f.write_str(&self.found)
    }
}
