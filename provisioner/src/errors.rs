//! Errors that carry an exit code of their own.

/// A person has to act before it can go on: exit code 4.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedsOperator(pub String);

impl NeedsOperator {
    /// Refuses where something stands in the way of `doing`, and says what.
    pub(crate) fn unless_clear(doing: &str, obstacles: &[String]) -> Result<(), Self> {
        if obstacles.is_empty() {
            return Ok(());
        }
        let list: String = obstacles.iter().map(|obstacle| format!("\n  {obstacle}")).collect();
        Err(Self(format!("{doing}: not as things stand; nothing was changed:{list}")))
    }
}

/// The exit code an error stands for: 2 where the project file is wrong, 4 where a person must act, else 1.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<NeedsOperator>()
            || cause.downcast_ref::<crate::api::Error>().is_some_and(crate::api::Error::needs_operator)
        {
            return 4;
        }
        if cause.is::<crate::project::Mistakes>() {
            return 2;
        }
    }
    1
}
