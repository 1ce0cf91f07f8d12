use anyhow::Result;
pub(crate) fn session(_: &str, _: &str) -> Result<()> { Ok(()) }
