//! Which packages, in which versions, and their files: apt resolves, checks signatures and downloads.

use crate::{Arch, Error, Result, files};
use host::{Cmd, Host, Local};
use std::path::{Path, PathBuf};

const DEBIAN: &str = "http://deb.debian.org/debian";
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package that is not there: what the kernel depends on, and what would run for minutes under emulation.
/// apt and dpkg must both believe in it.
pub(crate) const STAND_IN: &str = "Package: sovereign-initramfs
Status: install ok installed
Priority: optional
Section: kernel
Maintainer: Sovereign <root@localhost>
Architecture: all
Version: 1
Provides: linux-initramfs-tool
Description: initramfs made together with the disk image

";

/// One downloaded package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) file: PathBuf,
    pub(crate) sha256: String,
}

/// apt for one release and architecture, apart from this machine's own apt but for its mirror and proxy.
pub(crate) struct Apt {
    state: PathBuf,
    archives: PathBuf,
}

impl Apt {
    /// Fetches the package lists.
    pub(crate) fn open(cache: &Path, suite: &str, arch: Arch) -> Result<Self> {
        let state = cache.join("apt").join(format!("{suite}-{}", arch.name()));
        let archives = cache.join("packages");
        for dir in [state.join("lists/partial"), state.join("empty/partial"), archives.join("partial")] {
            files::make_dir(&dir)?;
        }
        let sources = sources(&mirrors()?, suite, arch);
        files::write(&state.join("sources.list"), sources, 0o644)?;
        files::write(&state.join("status"), STAND_IN, 0o644)?;

        let path = |name: &str| state.join(name).display().to_string();
        let settings = [
            ("APT::Architecture", arch.name().to_owned()),
            ("APT::Architectures::", arch.name().to_owned()),
            ("APT::Install-Recommends", "false".to_owned()),
            // The cache belongs to the user who builds, not to _apt.
            ("APT::Sandbox::User", "root".to_owned()),
            ("APT::Get::Assume-Yes", "true".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
            ("Debug::NoLocking", "true".to_owned()),
            ("Dir::Etc::SourceList", path("sources.list")),
            ("Dir::Etc::SourceParts", "/dev/null".to_owned()),
            ("Dir::Etc::Preferences", "/dev/null".to_owned()),
            ("Dir::Etc::PreferencesParts", "/dev/null".to_owned()),
            ("Dir::State", state.display().to_string()),
            ("Dir::State::Lists", path("lists")),
            ("Dir::State::Status", path("status")),
            ("Dir::Cache", state.display().to_string()),
        ];
        // In a file, so that an error's command line can be read.
        let settings = settings.map(|(name, value)| format!("{name} \"{value}\";\n")).concat();
        files::write(&state.join("apt.conf"), settings, 0o644)?;
        let apt = Self { state, archives };
        apt.run(&apt.archives, ["update", "-q"])?;
        Ok(apt)
    }

    /// The packages and all they depend on, downloaded.
    pub(crate) fn fetch(&self, wanted: &[&str]) -> Result<Vec<Package>> {
        let install = |flag: &'static str| [&["install", "-q", flag], wanted].concat();
        // Against an empty archive directory apt names all files, not only those it lacks.
        let uris = self.run(&self.state.join("empty"), install("--print-uris"))?;
        let names = uris.lines().filter(|l| l.starts_with('\'')).filter_map(|l| l.split(' ').nth(1));
        let names: Vec<String> = names.map(str::to_owned).collect();
        self.run(&self.archives, install("--download-only"))?;
        files::parallel(&names, |name| self.package(name))
    }

    fn package(&self, file_name: &str) -> Result<Package> {
        let file = self.archives.join(file_name);
        let mut parts = file_name.trim_end_matches(".deb").split('_');
        let (name, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        Ok(Package {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            sha256: files::sha256(&file)?,
            file,
        })
    }

    fn run<'a>(&self, archives: &Path, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let cmd = Cmd::new("apt-get")
            .arg("-c")
            .path(self.state.join("apt.conf"))
            .args(args)
            .arg("-o")
            .arg(format!("Dir::Cache::Archives={}", archives.display()));
        Ok(Local.run(&cmd.proxies_from_parent())?.text())
    }
}

/// The main and the security archive this machine's own apt uses; Debian's default where it uses none.
pub(crate) fn mirrors() -> Result<(String, String)> {
    let cmd = Cmd::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)", "Identifier: Packages"]);
    Ok(choose_mirrors(&Local.run(&cmd)?.text()))
}

fn choose_mirrors(configured: &str) -> (String, String) {
    let find = |end: &str| configured.lines().map(|l| l.trim_end_matches('/')).find(|l| l.ends_with(end));
    let main = find("/debian").unwrap_or(DEBIAN).to_owned();
    let security = find("/debian-security").map_or_else(|| format!("{DEBIAN}-security"), str::to_owned);
    (main, security)
}

fn sources((main, security): &(String, String), suite: &str, arch: Arch) -> String {
    let options = format!("[arch={} signed-by={KEYRING}]", arch.name());
    [(main, suite.to_owned()), (main, format!("{suite}-updates")), (security, format!("{suite}-security"))]
        .map(|(mirror, suite)| format!("deb {options} {mirror} {suite} main\n"))
        .concat()
}

/// Fails when a package that must be there is not.
pub(crate) fn find<'a>(packages: &'a [Package], name: &str) -> Result<&'a Package> {
    packages.iter().find(|p| p.name == name).ok_or_else(|| Error::Refused {
        doing: format!("choosing the package {name}"),
        why: "nothing in the list that apt resolved has that name".into(),
        help: "correct the list of packages that names it".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_machines_own_or_debians() {
        let own = "https://mirror.example/debian/\nhttps://other.example/apt/\nhttps://mirror.example/debian-security\n";
        assert_eq!(
            choose_mirrors(own),
            ("https://mirror.example/debian".into(), "https://mirror.example/debian-security".into())
        );
        assert_eq!(
            choose_mirrors("https://other.example/apt/"),
            (DEBIAN.into(), format!("{DEBIAN}-security"))
        );
    }

    #[test]
    fn sources_name_the_architecture_and_the_keyring() {
        let text = sources(&(DEBIAN.into(), format!("{DEBIAN}-security")), "trixie", Arch::Arm64);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|l| l.starts_with("deb [arch=arm64 signed-by=/usr/share/keyrings/")));
        assert!(text.contains("debian-security trixie-security main"));
    }
}
