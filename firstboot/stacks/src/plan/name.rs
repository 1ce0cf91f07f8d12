//! What a service is called by others.

/// The name a service has for other stacks.
pub(crate) fn name_of(stack: &str, service: &str) -> String {
    format!("{service}.{stack}")
}
