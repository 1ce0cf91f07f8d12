use crate::{Invalid, WriteFile};
use serde::Serialize;

/// A throw-away ssh host key: it answers the first connection, is replaced on it, and opens nothing.
#[derive(Clone, Serialize)]
pub struct HostKey {
    /// The private half, OpenSSH's PEM.
    pub ed25519_private: String,
    /// The public half, one line.
    pub ed25519_public: String,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'static str,
    lock_passwd: bool,
    ssh_authorized_keys: &'a [String],
}

/// What one server is told before anyone has spoken to it.
///
/// `root` is the only user: sshd lets it in by key only, and firstboot needs it for everything it does.
pub struct CloudConfig {
    hostname: String,
    authorized_keys: Vec<String>,
    host_key: HostKey,
    files: Vec<WriteFile>,
    packages: Vec<String>,
    commands: Vec<Vec<String>>,
}

impl CloudConfig {
    /// A server of this name that lets in the holders of these keys and answers with this host key.
    pub fn new(hostname: &str, authorized_keys: &[String], host_key: HostKey) -> Result<Self, Invalid> {
        let label = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let well_formed = (1..=63).contains(&hostname.len()) && hostname.bytes().all(label);
        if !well_formed || hostname.starts_with('-') || hostname.ends_with('-') {
            return Err(Invalid::HostName(hostname.into()));
        }
        let key = |k: &&String| !is_public_key(k);
        if let Some(bad) = authorized_keys.iter().chain([&host_key.ed25519_public]).find(key) {
            return Err(Invalid::PublicKey(bad.clone()));
        }
        Ok(Self {
            hostname: hostname.into(),
            authorized_keys: authorized_keys.to_vec(),
            host_key,
            files: Vec::new(),
            packages: Vec::new(),
            commands: Vec::new(),
        })
    }

    /// Writes a file before sshd starts.
    #[must_use]
    pub fn file(mut self, file: WriteFile) -> Self {
        self.files.push(file);
        self
    }

    /// Installs packages; for stock images, a baked one has them.
    pub fn packages(mut self, packages: &[&str]) -> Result<Self, Invalid> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c);
        if let Some(bad) = packages.iter().find(|p| p.is_empty() || !p.bytes().all(plain)) {
            return Err(Invalid::Package((*bad).into()));
        }
        self.packages.extend(packages.iter().map(|p| (*p).to_owned()));
        Ok(self)
    }

    /// Runs a command early at every boot, before files are written; its words, without a shell.
    #[must_use]
    pub fn command(mut self, words: &[&str]) -> Self {
        self.commands.push(words.iter().map(|word| (*word).to_owned()).collect());
        self
    }

    pub(crate) fn document(&self) -> impl Serialize {
        /// The keys are cloud-init's own: <https://docs.cloud-init.io/en/latest/reference/modules.html>.
        #[derive(Serialize)]
        struct Document<'a> {
            hostname: &'a str,
            preserve_hostname: bool,
            disable_root: bool,
            users: [User<'a>; 1],
            ssh_deletekeys: bool,
            ssh_keys: HostKey,
            ssh: Console,
            #[serde(skip_serializing_if = "<[Vec<String>]>::is_empty")]
            bootcmd: &'a [Vec<String>],
            write_files: &'a [WriteFile],
            #[serde(skip_serializing_if = "Option::is_none")]
            package_update: Option<bool>,
            #[serde(skip_serializing_if = "<[String]>::is_empty")]
            packages: &'a [String],
        }
        #[derive(Serialize)]
        struct Console {
            emit_keys_to_console: bool,
        }
        Document {
            hostname: &self.hostname,
            preserve_hostname: false,
            disable_root: false,
            users: [User { name: "root", lock_passwd: true, ssh_authorized_keys: &self.authorized_keys }],
            ssh_deletekeys: true,
            ssh_keys: self.host_key.clone(),
            ssh: Console { emit_keys_to_console: false },
            bootcmd: &self.commands,
            write_files: &self.files,
            package_update: (!self.packages.is_empty()).then_some(true),
            packages: &self.packages,
        }
    }

    pub(crate) fn sizes(&self) -> Vec<(String, usize)> {
        let mut sizes: Vec<_> = self.files.iter().map(WriteFile::size).collect();
        sizes.push(("the authorized keys".into(), self.authorized_keys.iter().map(String::len).sum()));
        sizes.push(("the packages".into(), self.packages.iter().map(String::len).sum()));
        sizes.push(("the commands".into(), self.commands.iter().flatten().map(String::len).sum()));
        sizes.push((
            "the host key".into(),
            self.host_key.ed25519_private.len() + self.host_key.ed25519_public.len(),
        ));
        sizes
    }
}

fn is_public_key(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().is_some_and(|k| {
        k.starts_with("ssh-")
            || k.starts_with("ecdsa-sha2-")
            || k.starts_with("sk-ssh-")
            || k.starts_with("sk-ecdsa-")
    });
    let body = words.next().is_some_and(|b| b.starts_with("AAAA"));
    kind && body && !line.trim_end().chars().any(char::is_control)
}
