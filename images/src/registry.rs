//! A container registry for the rehearsed servers: Debian's `docker-registry`, over TLS, on loopback, read-only.
//!
//! Images are [published](Registry::publish) by writing the registry's own file layout, not by pushing: no client is
//! needed, nothing recompresses a layer, so a digest stays what it was, and the registry can refuse every write.
//! A server behind QEMU's user network sees this machine's loopback as 169.254.1.1; the certificate is valid for both.

use crate::oci::MANIFEST;
use crate::{Error, OciLayout, Result, files};
use host::{Cmd, files as durable};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where a port is looked for: the first that is free is kept.
const PORTS: std::ops::Range<u16> = 5443..5543;
/// Where a server finds this machine's loopback.
const FROM_A_SERVER: &str = "169.254.1.1";

/// A registry: its directory and its port.
#[derive(Debug, Clone)]
pub struct Registry {
    directory: PathBuf,
    port: u16,
}

/// Whether [`Registry::ensure`] had to start it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Started {
    /// It was running already.
    Already,
    /// It was started just now.
    Now,
}

impl Registry {
    /// The registry that keeps its images, certificate, log and process id in `directory` and serves on `port`.
    pub fn new(directory: impl Into<PathBuf>, port: u16) -> Self {
        let directory = directory.into();
        // The registry is started once and asked for from many directories.
        Self { directory: std::path::absolute(&directory).unwrap_or(directory), port }
    }

    /// The registry of a directory, on the port it had, since servers know it by that; else on the first that is free.
    ///
    /// # Errors
    /// No port is free, or the directory's note of it says none.
    pub fn at(directory: &Path) -> Result<Self> {
        let kept = directory.join("port");
        let refused = |why: String, help: String| Error::Refused {
            doing: "choosing the registry's port".into(),
            why,
            help,
        };
        if let Some(text) = durable::read(&kept)? {
            let port = String::from_utf8_lossy(&text).trim().parse();
            let port = port
                .map_err(|_| refused(format!("{} names none", kept.display()), "remove that file".into()))?;
            return Ok(Self::new(directory, port));
        }
        let free = PORTS.into_iter().find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.ok_or_else(|| {
            refused(format!("all of {PORTS:?} are taken"), "stop what listens there".into())
        })?;
        durable::write(&kept, port.to_string().as_bytes(), 0o644)?;
        Ok(Self::new(directory, port))
    }

    /// Its name as servers know it, `169.254.1.1:PORT`.
    pub fn host_for_servers(&self) -> String {
        format!("{FROM_A_SERVER}:{}", self.port)
    }

    /// What a compose file on a server pins: `169.254.1.1:PORT/sovereign/postgres@sha256:...`.
    pub fn reference(&self, image: &OciLayout) -> String {
        format!("{}/{}@{}", self.host_for_servers(), image.name, image.digest)
    }

    /// The certificate, in PEM, of the authority that signed the registry's; a server's Docker expects it as
    /// `/etc/docker/certs.d/169.254.1.1:PORT/ca.crt`. There once the registry was started.
    pub fn ca_certificate(&self) -> Result<String> {
        files::read_text(&self.directory.join("ca.crt"))
    }

    /// Makes an image known. Also while the registry runs, and again without harm.
    pub fn publish(&self, image: &OciLayout) -> Result<()> {
        let v2 = self.directory.join("storage/docker/registry/v2");
        let repository = v2.join("repositories").join(&image.name);
        let manifest: Value = serde_json::from_slice(&read_blob(image, &image.digest)?)?;
        let parts = [&manifest["config"]["digest"], &manifest["layers"][0]["digest"]];
        let parts: Vec<&str> = parts.into_iter().filter_map(Value::as_str).collect();
        if parts.len() != 2 || manifest["mediaType"] != MANIFEST {
            return Err(Error::Refused {
                doing: format!("publishing {}", image.name),
                why: format!("{} is no manifest of one layer", image.digest),
                help: "delete the image's directory; the next run builds it again".into(),
            });
        }
        let link = |path: PathBuf, digest: &str| durable::write(&path, digest.as_bytes(), 0o644);
        for digest in parts {
            publish_blob(&v2, image, digest)?;
            link(repository.join("_layers").join(digest.replace(':', "/")).join("link"), digest)?;
        }
        publish_blob(&v2, image, &image.digest)?;
        // Last: with this link the image is there.
        let revision = repository.join("_manifests/revisions").join(image.digest.replace(':', "/"));
        Ok(link(revision.join("link"), &image.digest)?)
    }

    /// Starts it as a process of its own that outlives this one, unless it runs already.
    pub fn ensure(&self) -> Result<Started> {
        files::make_dir(&self.directory.join("storage"))?;
        if self.running().is_some() {
            return Ok(Started::Already);
        }
        if self.answers() {
            return Err(Error::Refused {
                doing: format!("starting the registry on 127.0.0.1:{}", self.port),
                why: "another program has that port".into(),
                help: "stop that program, or choose another port".into(),
            });
        }
        self.make_certificate()?;
        files::write(&self.config(), self.configuration(), 0o644)?;
        let log_path = self.directory.join("registry.log");
        let log = std::fs::File::create(&log_path).map_err(Error::io("writing", &log_path))?;
        let also = log.try_clone().map_err(Error::io("writing", &log_path))?;
        // In a session of its own, so that a Ctrl-C meant for us does not stop it.
        let cmd = Cmd::new("setsid").args(["docker-registry", "serve"]).path(self.config());
        host::find_program("docker-registry")?;
        let mut child = cmd
            .to_std()?
            .stdout(log)
            .stderr(also)
            .spawn()
            .map_err(Error::io("starting", "docker-registry"))?;
        durable::write(&self.pid_file(), child.id().to_string().as_bytes(), 0o644)?;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.answers() {
                return Ok(Started::Now);
            }
            if !matches!(child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = std::fs::read_to_string(&log_path).unwrap_or_default();
        Err(Error::Refused {
            doing: format!("starting the registry on 127.0.0.1:{}", self.port),
            why: host::clean(said.lines().last().unwrap_or("it did not answer within ten seconds")),
            help: format!("see {}", log_path.display()),
        })
    }

    /// Stops it; one that does not run is fine.
    pub fn stop(&self) -> Result<()> {
        if let Some(pid) = self.running() {
            let signal = |signal| rustix::process::kill_process(pid, signal);
            // It may have ended by itself in between.
            let _ = signal(rustix::process::Signal::TERM);
            let start = Instant::now();
            while self.running().is_some() && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(20));
            }
            if self.running().is_some() {
                let _ = signal(rustix::process::Signal::KILL);
            }
        }
        Ok(durable::remove(&self.pid_file())?)
    }

    /// The process, if it is alive and ours: process ids are used again, so its arguments must fit.
    fn running(&self) -> Option<rustix::process::Pid> {
        let pid: i32 = std::fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let config = self.config();
        let ours = String::from_utf8_lossy(&arguments).split('\0').any(|arg| Path::new(arg) == config);
        ours.then(|| rustix::process::Pid::from_raw(pid)).flatten()
    }

    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
    }

    fn config(&self) -> PathBuf {
        self.directory.join("config.yml")
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join("pid")
    }

    fn configuration(&self) -> String {
        let path = |name: &str| Value::String(self.directory.join(name).display().to_string());
        format!(
            "version: 0.1\n\
             log: {{ level: warn, accesslog: {{ disabled: true }} }}\n\
             storage:\n  filesystem: {{ rootdirectory: {} }}\n  maintenance: {{ readonly: {{ enabled: true }} }}\n\
             http:\n  addr: 127.0.0.1:{}\n  tls: {{ certificate: {}, key: {} }}\n",
            path("storage"),
            self.port,
            path("server.crt"),
            path("server.key"),
        )
    }

    /// An authority that signs one certificate and is then forgotten: nobody can sign another with it.
    fn make_certificate(&self) -> Result<()> {
        let [ca_file, certificate_file, key_file] =
            ["ca.crt", "server.crt", "server.key"].map(|name| self.directory.join(name));
        if ca_file.exists() && certificate_file.exists() && key_file.exists() {
            return Ok(());
        }
        let params = |name: &str, names: Vec<String>| -> Result<_> {
            let mut params = CertificateParams::new(names)?;
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_before = rcgen::date_time_ymd(2025, 1, 1);
            params.not_after = rcgen::date_time_ymd(2045, 1, 1);
            Ok(params)
        };
        let mut authority = params("Sovereign rehearsal registry CA", Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?;

        let mut server = params(
            "Sovereign rehearsal registry",
            vec!["127.0.0.1".into(), FROM_A_SERVER.into(), "localhost".into()],
        )?;
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
        durable::write(&key_file, key.serialize_pem().as_bytes(), 0o600)?;
        durable::write(&certificate_file, certificate.pem().as_bytes(), 0o644)?;
        Ok(durable::write(&ca_file, ca.pem().as_bytes(), 0o644)?)
    }
}

fn read_blob(image: &OciLayout, digest: &str) -> Result<Vec<u8>> {
    let path = blob_path(image, digest);
    std::fs::read(&path).map_err(Error::io("reading", &path))
}

fn blob_path(image: &OciLayout, digest: &str) -> PathBuf {
    image.dir.join("blobs").join(digest.replace(':', "/"))
}

fn publish_blob(v2: &Path, image: &OciLayout, digest: &str) -> Result<()> {
    let hex = digest.trim_start_matches("sha256:");
    let to = v2.join("blobs/sha256").join(&hex[..2]).join(hex).join("data");
    if to.exists() {
        return Ok(());
    }
    if let Some(dir) = to.parent() {
        files::make_dir(dir)?;
    }
    // Copied under another name first: a blob is there whole or not at all.
    let part = to.with_extension("part");
    std::fs::copy(blob_path(image, digest), &part).map_err(Error::io("writing", &part))?;
    if format!("sha256:{}", files::sha256(&part)?) != digest {
        files::remove(&part)?;
        return Err(Error::Refused {
            doing: format!("publishing {}", image.name),
            why: format!("the content of {digest} does not have that hash"),
            help: "delete the image's directory; the next run builds it again".into(),
        });
    }
    std::fs::rename(&part, &to).map_err(Error::io("renaming", &part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::tests::ours;
    use crate::{Arch, oci};

    fn image(dir: &Path) -> OciLayout {
        let root = dir.join("root");
        files::write(&root.join("bin/sh"), "shell", 0o755).unwrap();
        let layout = dir.join("layout");
        oci::write(&layout, &root, &ours("postgres"), Arch::Arm64, 1_700_000_000).unwrap();
        let digest = oci::read_digest(&layout).unwrap();
        OciLayout { dir: layout, digest, name: "sovereign/postgres".into(), cached: false }
    }

    #[test]
    fn publishing_twice_is_publishing_once() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let registry = Registry::new(dir.path().join("registry"), 5000);
        registry.publish(&image).unwrap();
        registry.publish(&image).unwrap();
        let hex = &image.digest[7..];
        let v2 = dir.path().join("registry/storage/docker/registry/v2");
        assert!(v2.join("blobs/sha256").join(&hex[..2]).join(hex).join("data").exists());
        let link =
            v2.join("repositories/sovereign/postgres/_manifests/revisions/sha256").join(hex).join("link");
        assert_eq!(files::read_text(&link).unwrap(), image.digest);
        assert_eq!(
            registry.reference(&image),
            format!("169.254.1.1:5000/sovereign/postgres@{}", image.digest)
        );
    }

    #[test]
    fn a_blob_that_is_not_its_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let manifest: Value = serde_json::from_slice(&read_blob(&image, &image.digest).unwrap()).unwrap();
        let layer = blob_path(&image, manifest["layers"][0]["digest"].as_str().unwrap());
        std::fs::write(&layer, "other").unwrap();
        let error = Registry::new(dir.path().join("registry"), 5000).publish(&image).unwrap_err().to_string();
        assert!(error.contains("does not have that hash"), "{error}");
    }

    #[test]
    fn a_port_is_chosen_once() {
        let dir = tempfile::tempdir().unwrap();
        let chosen = Registry::at(dir.path()).unwrap().port;
        let _taken = TcpListener::bind(("127.0.0.1", chosen)).unwrap();
        assert_eq!(Registry::at(dir.path()).unwrap().port, chosen);
        std::fs::write(dir.path().join("port"), "x").unwrap();
        assert!(Registry::at(dir.path()).unwrap_err().to_string().contains("remove that file"));
    }

    #[test]
    fn a_taken_port_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Registry::new(dir.path(), port).ensure().unwrap_err().to_string();
        assert!(error.contains(&port.to_string()) && error.contains("another program"), "{error}");
    }

    #[test]
    fn the_certificate_is_made_once_and_its_key_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new(dir.path(), 5000);
        registry.make_certificate().unwrap();
        let first = registry.ca_certificate().unwrap();
        registry.make_certificate().unwrap();
        assert_eq!(registry.ca_certificate().unwrap(), first);
        let mode = dir.path().join("server.key").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
