//! The server's receipt of what was confirmed last, in the project folder.

use crate::project::Folder;
use anyhow::{Context as _, Result};
use host::files;
use spec::Receipt;

const RECEIPT: &str = "receipt.json";

/// The one on file.
pub(crate) fn filed(folder: &Folder) -> Result<Option<Receipt>> {
    let json = files::read(&folder.file(RECEIPT))?;
    json.map(|json| Receipt::from_json(&json)).transpose().context("opening the receipt on file")
}

/// Whether this very one is on file.
pub(crate) fn is_filed(folder: &Folder, receipt: &Receipt) -> Result<bool> {
    Ok(files::read(&folder.file(RECEIPT))?.is_some_and(|filed| filed == receipt.to_json()))
}

/// Files one.
pub(crate) fn file(folder: &Folder, receipt: &Receipt) -> Result<()> {
    Ok(files::write(&folder.file(RECEIPT), &receipt.to_json(), 0o644)?)
}
