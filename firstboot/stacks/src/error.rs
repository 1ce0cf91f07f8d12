use crate::finding::Finding;
use std::fmt;

/// Something wrong in a stack's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The stack.
    pub stack: String,
    /// The file, inside its folder.
    pub file: String,
    /// The line, where it can be told.
    pub line: Option<usize>,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stack {}, {}", self.stack, self.file)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// Why there is no plan, or a stack could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such stack.
    #[error("looking up stack {name}: there is no such stack; there are: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Mistakes in stacks' folders.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<Mistake>),
    /// What the project chose for a stack cannot be.
    #[error("stacks.{stack}.{option}: {why}")]
    Option {
        /// The stack.
        stack: String,
        /// What was chosen.
        option: String,
        /// What is wrong.
        why: String,
    },
    /// Stacks that do not go together.
    #[error("planning the stacks: {0}")]
    Clash(String),
    /// An image without a pinned reference, or a reference for no image.
    #[error("rendering stack {stack}: {why}; pin it by digest in the project")]
    Images {
        /// The stack.
        stack: String,
        /// What is wrong.
        why: String,
    },
    /// A compose file could not be read or written.
    #[error("rendering stack {stack}: {why}")]
    Compose {
        /// The stack.
        stack: String,
        /// What is wrong.
        why: String,
    },
    /// The rendered stack breaks a rule.
    #[error("checking stack {stack}: {}", .findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint {
        /// The stack.
        stack: String,
        /// Each broken rule.
        findings: Vec<Finding>,
    },
}

impl Error {
    /// A mistake in one file.
    pub(crate) fn file(stack: &str, file: &str, line: Option<usize>, why: String) -> Self {
        Self::Files(vec![Mistake { stack: stack.into(), file: file.into(), line, why }])
    }
}
