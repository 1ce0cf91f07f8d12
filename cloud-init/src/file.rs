use crate::Invalid;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A file that cloud-init writes before sshd starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteFile {
    path: String,
    permissions: String,
    owner: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    content: String,
}

impl WriteFile {
    /// A file of root's at an absolute path. Text stays readable in the user-data; other bytes become base64.
    pub fn new(path: &str, mode: u32, content: &[u8]) -> Result<Self, Invalid> {
        if !path.starts_with('/') || path.contains("/../") || path.ends_with('/') {
            return Err(Invalid::Path(path.into()));
        }
        let plain = |c: char| c == '\n' || c == '\t' || (!c.is_control() && c != '\u{feff}');
        let text = std::str::from_utf8(content).ok().filter(|text| text.chars().all(plain));
        let (encoding, content) = match text {
            Some(text) => (None, text.to_owned()),
            None => (Some("b64"), STANDARD.encode(content)),
        };
        Ok(Self {
            path: path.into(),
            permissions: format!("{mode:04o}"),
            owner: "root:root",
            encoding,
            content,
        })
    }

    pub(crate) fn size(&self) -> (String, usize) {
        (format!("the file {}", self.path), self.content.len())
    }
}
