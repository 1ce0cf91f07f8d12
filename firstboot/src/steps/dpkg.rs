//! What dpkg says of a package, by its own record: a paragraph a package, each with its `Package` before its `Status`.

/// Where it keeps the record.
pub(super) const RECORD: &str = "/var/lib/dpkg/status";

/// Whether this package's scripts have run to their end. Of one that is there for several architectures the first counts.
pub(super) fn configured(record: &str, package: &str) -> bool {
    let mut lines = record.lines();
    if !lines.any(|line| line.strip_prefix("Package: ") == Some(package)) {
        return false;
    }
    // `want flag status`, as `install ok unpacked`; see dpkg(1).
    let status = lines.take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix("Status: "));
    status.is_some_and(|words| words.ends_with(" installed"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Cx, Step as _};
    use crate::steps::packages::Packages;
    use crate::steps::preflight::{Preflight, Which, lacking};
    use crate::testing::Fake;

    const TEXT: &str = "Package: ufw\nStatus: install ok installed\nVersion: 1\n\nPackage: auditd\nEssential: no\n\
        Status: install ok half-configured\nDescription: x\n Status: no\n\nPackage: chrony\nStatus: deinstall ok config-files\n\n\
        Package: docker.io\nStatus: install ok unpacked\n\nPackage: gone\nStatus: purge ok not-installed\n";

    #[test]
    fn only_what_is_configured_counts() {
        assert!(configured(TEXT, "ufw"));
        for package in ["auditd", "chrony", "docker.io", "docker", "gone", "fail2ban"] {
            assert!(!configured(TEXT, package), "{package}");
        }
    }

    #[test]
    fn what_cloud_init_has_not_configured_is_waited_for_and_afterwards_only_programs_count() {
        let fake = Fake::new();
        fake.put(RECORD, TEXT.as_bytes());
        fake.put("/run/cloud-init/instance-data.json", b"{}");
        let cx = Cx::begin(&fake).unwrap();
        let server = Preflight.check(&cx).unwrap().unwrap();
        let packages = Packages { server };
        let waits = lacking(&cx, Which::Rest).unwrap();
        assert!(
            waits.contains(&"docker.io") && waits.contains(&"fail2ban") && !waits.contains(&"ufw"),
            "{waits:?}"
        );
        assert!(packages.check(&cx).unwrap().is_none(), "it went on beside dpkg");
        fake.put("/run/cloud-init/result.json", b"{}");
        assert!(packages.check(&cx).unwrap().is_some());
    }
}
