use anyhow::Result;
pub(crate) fn run_all() -> Result<()> { Ok(()) }
