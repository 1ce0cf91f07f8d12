//! OCI's image layout: one layer, a config, a manifest and an index, each a blob named by its hash.

use crate::recipe::Recipe;
use crate::{Arch, Error, Result, files, layer};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The media type of a manifest, which the registry serves it under.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Writes the layout of a recipe's image to `dir`, with what lies below `root` as its only layer.
pub(crate) fn write(dir: &Path, root: &Path, recipe: &Recipe, arch: Arch, epoch: i64) -> Result<()> {
    files::write(&dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    files::make_dir(&dir.join("blobs/sha256"))?;
    let (layer, diff_id) = write_layer(dir, root, epoch)?;
    let config =
        write_blob(dir, "application/vnd.oci.image.config.v1+json", &config(recipe, arch, epoch, &diff_id))?;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let mut manifest = write_blob(dir, MANIFEST, &manifest)?;
    manifest["platform"] = platform(arch);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    files::write(&dir.join("index.json"), serde_json::to_vec(&index)?, 0o644)
}

/// The digest of the layout's only manifest.
pub(crate) fn read_digest(dir: &Path) -> Result<String> {
    let index: Value = serde_json::from_str(&files::read_text(&dir.join("index.json"))?)?;
    index["manifests"][0]["digest"].as_str().map(str::to_owned).ok_or_else(|| Error::Refused {
        doing: format!("reading the image in {}", dir.display()),
        why: "its index.json names no manifest".into(),
        help: "delete that directory; the next run builds it again".into(),
    })
}

fn platform(arch: Arch) -> Value {
    match arch {
        Arch::Arm64 => json!({ "architecture": "arm64", "os": "linux", "variant": "v8" }),
        Arch::Amd64 => json!({ "architecture": "amd64", "os": "linux" }),
    }
}

fn config(recipe: &Recipe, arch: Arch, epoch: i64, diff_id: &str) -> Value {
    let created = OffsetDateTime::from_unix_timestamp(epoch).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut config = platform(arch);
    config["created"] = json!(created.format(&Rfc3339).unwrap_or_default());
    let run = &recipe.says.run;
    config["config"] = json!({
        "User": format!("{}:{}", run.user.uid, run.user.gid),
        "Env": run.env,
        "Entrypoint": run.entrypoint,
        "Cmd": run.command,
        "Volumes": run.volume.as_ref().map(|path| json!({ path: {} })).unwrap_or_default(),
        "ExposedPorts": run.port.as_ref().map(|port| json!({ port: {} })).unwrap_or_default(),
        "StopSignal": run.stop_signal,
        // Docker's own, beside what OCI specifies.
        "Healthcheck": { "Test": run.healthcheck },
    });
    if let Some(directory) = &run.directory {
        config["config"]["WorkingDir"] = json!(directory);
    }
    config["rootfs"] = json!({ "type": "layers", "diff_ids": [diff_id] });
    config["history"] = json!([{ "created": config["created"], "created_by": made_from(recipe) }]);
    config
}

/// What an image's one layer comes from, for `docker history`.
fn made_from(recipe: &Recipe) -> &'static str {
    match (&recipe.says.go, &recipe.says.build) {
        (Some(_), _) => "Go modules",
        (None, Some(_)) => "pinned downloads",
        (None, None) => "Debian packages",
    }
}

/// The layer's descriptor, and the digest of its uncompressed bytes.
fn write_layer(dir: &Path, root: &Path, epoch: i64) -> Result<(Value, String)> {
    let temporary = dir.join("blobs/layer");
    let file = File::create(&temporary).map_err(Error::io("writing", &temporary))?;
    let compressed = GzEncoder::new(Hashing::new(BufWriter::new(file)), Compression::default());
    let mut plain = Hashing::new(compressed);
    layer::write(root, epoch, &mut plain)?;
    let diff_id = plain.digest();
    let mut compressed = plain.inner.finish().map_err(Error::io("writing", &temporary))?;
    compressed.flush().map_err(Error::io("writing", &temporary))?;
    let (digest, size) = (compressed.digest(), compressed.length);
    let blob = dir.join("blobs").join(digest.replace(':', "/"));
    std::fs::rename(&temporary, &blob).map_err(Error::io("renaming", &temporary))?;
    let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
    Ok((json!({ "mediaType": media_type, "digest": digest, "size": size }), diff_id))
}

fn write_blob(dir: &Path, media_type: &str, content: &Value) -> Result<Value> {
    let bytes = serde_json::to_vec(content)?;
    let digest = format!("sha256:{}", files::hex(&Sha256::digest(&bytes)));
    files::write(&dir.join("blobs").join(digest.replace(':', "/")), &bytes, 0o644)?;
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
}

/// Passes bytes on and hashes them.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", files::hex(&self.hash.clone().finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::ours;

    #[test]
    fn every_descriptor_names_a_blob_that_is_there_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (root, out) = (dir.path().join("root"), dir.path().join("out"));
        files::write(&root.join("bin/sh"), "shell", 0o755).unwrap();
        write(&out, &root, &ours("postgres"), Arch::Arm64, 1_700_000_000).unwrap();
        let digest = read_digest(&out).unwrap();
        let blob = |digest: &str| std::fs::read(out.join("blobs").join(digest.replace(':', "/"))).unwrap();
        let manifest: Value = serde_json::from_slice(&blob(&digest)).unwrap();
        for descriptor in [&manifest["config"], &manifest["layers"][0]] {
            let digest = descriptor["digest"].as_str().unwrap();
            let bytes = blob(digest);
            assert_eq!(format!("sha256:{}", files::hex(&Sha256::digest(&bytes))), digest);
            assert_eq!(descriptor["size"], bytes.len());
        }
        let config: Value =
            serde_json::from_slice(&blob(manifest["config"]["digest"].as_str().unwrap())).unwrap();
        assert_eq!(config["created"], "2023-11-14T22:13:20Z");
        assert_eq!(config["config"]["User"], "999:999");
        assert_eq!(config["config"]["Healthcheck"]["Test"][1], "pg_isready");
        let again = dir.path().join("again");
        write(&again, &root, &ours("postgres"), Arch::Arm64, 1_700_000_000).unwrap();
        assert_eq!(read_digest(&again).unwrap(), digest);
    }
}
