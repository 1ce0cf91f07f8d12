//! What the product itself accepts, each with its reason and the day it is looked at again.

use crate::Exception;

/// Check, reason, review.
const ACCEPTED: &[(&str, &str, &str)] = &[
    (
        "docker-1.1.1",
        "it shares the file system of the encrypted volume with the other data, so that neither runs full while the other \
         has room; it is apart from the system's disk, and a server on which it is not is never ready",
        "2027-11-30",
    ),
    (
        "docker-1.1.4",
        "it is a directory of sockets and states that change with every command in a container: the log would be full \
         of ourselves; containerd's own program, socket and configuration are watched",
        "2027-11-30",
    ),
    (
        "docker-1.1.5",
        "it holds the databases: every write of every container would be a record, and the log would push out what \
         matters; Docker's programs and configuration are watched",
        "2027-11-30",
    ),
    (
        "docker-2.1",
        "a daemon that is not root cannot hand out AppArmor profiles nor networks whose packets the firewall sees",
        "2027-11-30",
    ),
    (
        "docker-2.9",
        "the mapping is incompatible with containers that share a namespace with the host and with containerd's image \
         store; every container of the catalogue runs as a user that is not root instead",
        "2027-11-30",
    ),
    (
        "docker-2.12",
        "nobody but root may speak to the daemon, and no container has its socket: there is nobody to authorise",
        "2027-11-30",
    ),
    (
        "docker-2.13",
        "one server has nowhere to send logs to; Docker keeps them on the encrypted volume, with a limit",
        "2027-11-30",
    ),
    (
        "docker-4.5",
        "content trust was retired by Docker and its servers are being shut down; images are pinned by digest, which \
         nobody can exchange",
        "2027-11-30",
    ),
];

/// The product's own register.
pub fn accepted() -> Vec<Exception> {
    let exception = |check: &str, reason: &str, review: &str| Exception {
        check: check.into(),
        reason: reason.into(),
        review: review.into(),
    };
    ACCEPTED.iter().map(|(check, reason, review)| exception(check, reason, review)).collect()
}

/// Whether a text is a day of the Gregorian calendar as `YYYY-MM-DD`; such texts are ordered as the days are.
pub fn is_day(text: &str) -> bool {
    let shaped = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(at, b)| if at == 4 || at == 7 { b == b'-' } else { b.is_ascii_digit() });
    let number =
        |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    shaped && (1..=last).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_a_check_with_a_reason_and_a_day() {
        for exception in accepted() {
            assert!(crate::audit::item(&exception.check).is_some(), "{}", exception.check);
            assert!(exception.reason.len() > 40 && is_day(&exception.review), "{}", exception.check);
        }
    }

    #[test]
    fn days_are_told_from_what_only_looks_like_one() {
        for day in ["2026-11-23", "2028-02-29", "2000-02-29", "2027-12-31"] {
            assert!(is_day(day), "{day}");
        }
        for other in ["", "2026-11-31", "2027-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-01-00"]
        {
            assert!(!is_day(other), "{other}");
        }
        for other in ["26-11-23", "2026-1-1", "2026/11/23", "2026-11-23T", "+026-11-23", "２026-11-2"] {
            assert!(!is_day(other), "{other}");
        }
    }
}
