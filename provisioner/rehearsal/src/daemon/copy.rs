use crate::Error;
use crate::config::{Config, ImageSource, Machines};
use crate::daemon::{Running, start};
use host::files;
use std::path::Path;

/// A served copy of a cloud's state, without machines: what is done to it happens nowhere. It goes away when this is
/// dropped.
pub struct Copied {
    /// Where it is served.
    pub running: Running,
    _dir: tempfile::TempDir,
}

/// Serves a copy of what a state directory knows, in this process, with these images on offer. The directory need not
/// be there.
pub async fn start_copy(state_dir: &Path, images: Vec<ImageSource>) -> Result<Copied, Error> {
    let dir = tempfile::tempdir().map_err(|e| host::Error::io("making", "a directory for a copy", e))?;
    if let Some(bytes) = files::read(&state_dir.join("state.json"))? {
        files::write(&dir.path().join("state.json"), &bytes, 0o600)?;
    }
    let config = Config { machines: Machines::None, images, ..Config::new(dir.path()) };
    Ok(Copied { running: start(config).await?, _dir: dir })
}
