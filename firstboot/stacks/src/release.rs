//! The releases a server may run, and everything in which they differ.

use crate::SERVER_PACKAGES;

/// A release, and what is its own. Whatever is not here is the same on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release {
    /// `ID` in `/etc/os-release`.
    pub id: &'static str,
    /// `VERSION_ID` there.
    pub version: &'static str,
    /// OpenSSH's version: what it can.
    pub openssh: &'static str,
    /// The key exchanges sshd offers, the best one first.
    pub key_exchanges: &'static [&'static str],
    /// Packages of [`SERVER_PACKAGES`] that it does not have, and what carries their programs.
    pub instead: &'static [(&'static str, &'static [&'static str])],
    /// Where it has Compose of the first generation only: its own name among Debian's, and that of the release whose
    /// package is taken instead. That needs nothing of its release but a C library that this one has.
    pub compose: Option<(&'static str, &'static str)>,
    /// Whether its stock image leaves listening for ssh to `ssh.socket`, which reads no change of the port until systemd
    /// reads its units again.
    pub ssh_socket: bool,
    /// Where security upgrades come from, in unattended-upgrades' words.
    pub security: &'static str,
    /// Units of its stock images that a server has no use for.
    pub needless: &'static [&'static str],
}

/// Hybrids of elliptic curves and what a quantum computer does not break, then curves, then large groups.
const EXCHANGES: &[&str] = &[
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group16-sha512",
];
const DEBIAN: &str = "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
const UBUNTU: &str = "origin=Ubuntu,archive=${distro_codename}-security";
/// Ubuntu has Docker's client in the engine's package, and Compose under another name.
const UBUNTU_DOCKER: &[(&str, &[&str])] = &[("docker-cli", &[]), ("docker-compose", &["docker-compose-v2"])];
/// Apport sets where core dumps go at every boot; the rest speaks to others, or to hardware that is not there.
const UBUNTU_NEEDLESS: &[&str] = &[
    "apport.service",
    "apport-autoreport.path",
    "motd-news.timer",
    "ModemManager.service",
    "multipathd.service",
    "multipathd.socket",
    "udisks2.service",
];

/// The table.
pub const RELEASES: [Release; 4] = [
    Release {
        id: "debian",
        version: "12",
        openssh: "9.2",
        key_exchanges: EXCHANGES,
        instead: &[("docker-cli", &[])],
        compose: Some(("bookworm", "trixie")),
        ssh_socket: false,
        security: DEBIAN,
        needless: &[],
    },
    Release {
        id: "debian",
        version: "13",
        openssh: "10.0",
        key_exchanges: &[
            "mlkem768x25519-sha256",
            "sntrup761x25519-sha512",
            "sntrup761x25519-sha512@openssh.com",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "diffie-hellman-group18-sha512",
            "diffie-hellman-group16-sha512",
        ],
        instead: &[],
        compose: None,
        ssh_socket: false,
        security: DEBIAN,
        needless: &[],
    },
    Release {
        id: "ubuntu",
        version: "22.04",
        openssh: "8.9",
        key_exchanges: EXCHANGES,
        instead: UBUNTU_DOCKER,
        compose: None,
        ssh_socket: false,
        security: UBUNTU,
        needless: UBUNTU_NEEDLESS,
    },
    Release {
        id: "ubuntu",
        version: "24.04",
        openssh: "9.6",
        key_exchanges: EXCHANGES,
        instead: UBUNTU_DOCKER,
        compose: None,
        ssh_socket: true,
        security: UBUNTU,
        needless: UBUNTU_NEEDLESS,
    },
];

impl Release {
    /// The release that `/etc/os-release` speaks of, if it is one of these.
    pub fn of(os_release: &str) -> Option<&'static Self> {
        let value = |key: &str| {
            let line = os_release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim().trim_matches(['"', '\'']))
        };
        let (id, version) = (value("ID")?, value("VERSION_ID")?);
        RELEASES.iter().find(|release| release.id == id && release.version == version)
    }

    /// The release of a stock image, by the cloud's name for it: `debian-13`.
    pub fn of_image(name: &str) -> Option<&'static Self> {
        RELEASES.iter().find(|release| release.name() == name)
    }

    /// `debian-13`.
    pub fn name(&self) -> String {
        format!("{}-{}", self.id, self.version)
    }

    /// The package that carries the programs of one of [`SERVER_PACKAGES`] here.
    pub fn carrier(&self, package: &'static str) -> &'static str {
        let other = self.instead.iter().find(|(name, _)| *name == package);
        // What has no package of its own is Docker's client, which comes with the engine.
        other.map_or(package, |(_, others)| others.first().copied().unwrap_or("docker.io"))
    }

    /// The packages a server needs beyond its stock image.
    pub fn packages(&self) -> Vec<&'static str> {
        let replaced = |package: &&'static str| {
            let other = self.instead.iter().find(|(name, _)| name == package);
            other.map_or_else(|| vec![*package], |(_, others)| others.to_vec())
        };
        SERVER_PACKAGES.iter().flat_map(replaced).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_what_it_says_of_itself() {
        for (text, name) in [
            ("NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n", Some("ubuntu-24.04")),
            ("VERSION_ID=\"13\"\nID=debian\n", Some("debian-13")),
            ("ID=debian\nVERSION_ID=11\n", None),
            ("ID=fedora\nVERSION_ID=13\n", None),
            ("ID=debian\n", None),
        ] {
            assert_eq!(Release::of(text).map(Release::name).as_deref(), name, "{text}");
        }
        assert_eq!(Release::of_image("ubuntu-22.04").map(|r| r.openssh), Some("8.9"));
    }

    #[test]
    fn only_packages_that_a_server_needs_are_replaced() {
        for release in &RELEASES {
            assert!(release.instead.iter().all(|(package, _)| SERVER_PACKAGES.contains(package)));
            assert!(release.packages().len() >= SERVER_PACKAGES.len() - 1);
        }
        assert_eq!(Release::of_image("debian-13").unwrap().packages(), SERVER_PACKAGES);
        let carried = |image| {
            let release = Release::of_image(image).unwrap();
            ["docker-cli", "docker-compose", "ufw"].map(|package| release.carrier(package))
        };
        assert_eq!(carried("debian-13"), ["docker-cli", "docker-compose", "ufw"]);
        assert_eq!(carried("debian-12"), ["docker.io", "docker-compose", "ufw"]);
        assert_eq!(carried("ubuntu-24.04"), ["docker.io", "docker-compose-v2", "ufw"]);
    }
}
