//! The network: what the kernel refuses, and what listens.

use super::Judge;
use super::server::kernel;

/// Every text that is looked at.
pub(super) const TEXTS: &[&str] = &[
    UFW,
    "/proc/sys/net/ipv4/tcp_syncookies",
    "/proc/sys/net/ipv4/conf/all/rp_filter",
    "/proc/sys/net/ipv4/conf/default/rp_filter",
    "/proc/sys/net/ipv4/conf/all/accept_redirects",
    "/proc/sys/net/ipv4/conf/default/accept_redirects",
    "/proc/sys/net/ipv4/conf/all/send_redirects",
    "/proc/sys/net/ipv4/conf/default/send_redirects",
    "/proc/sys/net/ipv4/conf/all/accept_source_route",
    "/proc/sys/net/ipv4/conf/default/accept_source_route",
    "/proc/sys/net/ipv6/conf/all/accept_redirects",
    "/proc/sys/net/ipv6/conf/default/accept_redirects",
];

const UFW: &str = "/etc/ufw/ufw.conf";

pub(super) const JUDGES: &[(&str, Judge)] = &[
    ("host-4.6", |f| {
        let mut wrong = Vec::new();
        for at in ["all", "default"] {
            for (name, values) in [
                ("ipv4/conf/{}/rp_filter", &[1, 2][..]),
                ("ipv4/conf/{}/accept_redirects", &[0]),
                ("ipv4/conf/{}/send_redirects", &[0]),
                ("ipv4/conf/{}/accept_source_route", &[0]),
                ("ipv6/conf/{}/accept_redirects", &[0]),
            ] {
                wrong.extend(kernel(f, &[(&format!("net/{}", name.replace("{}", at)), values)])?);
            }
        }
        Ok(wrong)
    }),
    ("host-4.7", |f| kernel(f, &[("net/ipv4/tcp_syncookies", &[1])])),
    ("host-6.1", |f| {
        let on = f.needed(UFW)?.lines().any(|line| line.trim() == "ENABLED=yes");
        let mut wrong = if on { vec![] } else { vec![format!("{UFW} does not say ENABLED=yes")] };
        if !f.unit("ufw.service")?.enabled {
            wrong.push("ufw.service is not started at boot".into());
        }
        Ok(wrong)
    }),
    ("host-6.2", |f| f.undeclared.clone()),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::facts::{Facts, Unit};

    #[test]
    fn every_setting_of_the_network_counts_for_all_and_for_what_comes() {
        let mut facts = Facts::default();
        let judge = JUDGES[0].1;
        for path in TEXTS.iter().filter(|path| path.contains("/conf/")) {
            let right = if path.ends_with("rp_filter") { "1\n" } else { "0\n" };
            facts.texts.insert((*path).into(), Ok(Some(right.into())));
        }
        assert_eq!(judge(&facts), Ok(vec![]));
        for path in facts.texts.keys().cloned().collect::<Vec<_>>() {
            let right = facts.texts.insert(path.clone(), Ok(Some("7\n".into()))).unwrap();
            assert_eq!(judge(&facts).unwrap().len(), 1, "{path}");
            facts.texts.insert(path, right);
        }
    }

    #[test]
    fn the_firewall_must_be_on_in_its_file_and_started_at_boot() {
        for (conf, enabled, wrong) in [("ENABLED=yes\n", true, 0), ("ENABLED=no\n", true, 1), ("", false, 2)]
        {
            let unit = Unit { there: true, active: true, enabled };
            let mut facts =
                Facts { units: Ok([("ufw.service".to_owned(), unit)].into()), ..Facts::default() };
            facts.texts.insert(UFW.into(), Ok(Some(conf.into())));
            assert_eq!(JUDGES[2].1(&facts).unwrap().len(), wrong, "{conf}");
        }
    }
}
