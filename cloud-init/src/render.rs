use crate::CloudConfig;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// The most bytes Hetzner takes as user_data (OpenAPI document, `POST /servers`: "limited to 32KiB").
pub const LIMIT: usize = 32_768;
/// Above this many bytes the YAML is compressed; below, an operator can read it in the cloud's console.
pub const COMPRESS_ABOVE: usize = 8_192;

/// How the YAML travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// gzip, then base64: cloud-init's Hetzner data source undoes both.
    GzipBase64,
}

/// What is sent as `user_data`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// The text to send.
    pub text: String,
    /// How it was made.
    pub encoding: Encoding,
}

/// The user-data does not fit even when compressed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rendering user-data: {size} bytes compressed, {LIMIT} are allowed; the largest parts are {}; move them to the server after the first connection",
    describe(.largest)
)]
pub struct TooLarge {
    /// How large it came out.
    pub size: usize,
    /// The largest parts and their uncompressed sizes, largest first.
    pub largest: Vec<(String, usize)>,
}

fn describe(parts: &[(String, usize)]) -> String {
    parts.iter().map(|(name, size)| format!("{name} ({size} bytes)")).collect::<Vec<_>>().join(", ")
}

impl CloudConfig {
    /// The cloud-config as YAML, first line `#cloud-config`.
    pub fn to_yaml(&self) -> String {
        // Strings, booleans and lists of them: there is nothing the serializer could refuse.
        format!("#cloud-config\n{}", serde_saphyr::to_string(&self.document()).unwrap_or_default())
    }

    /// The user-data to send: the same bytes for the same config.
    pub fn render(&self) -> Result<UserData, TooLarge> {
        let yaml = self.to_yaml();
        if yaml.len() <= COMPRESS_ABOVE {
            return Ok(UserData { text: yaml, encoding: Encoding::Plain });
        }
        let text = STANDARD.encode(gzip(yaml.as_bytes()));
        if text.len() <= LIMIT {
            return Ok(UserData { text, encoding: Encoding::GzipBase64 });
        }
        let mut largest = self.sizes();
        largest.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        largest.truncate(3);
        Err(TooLarge { size: text.len(), largest })
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // A Vec takes every byte, and the header's time stays 0, so the bytes are reproducible.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}
