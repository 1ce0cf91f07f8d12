use crate::api::model::Rule;
use std::fmt;

const BEGINNING: &str = "sovereign door: ";
/// How long a command on another machine may plausibly run; what is older was left behind.
const LONGEST: u64 = 12 * 3600;

/// Who opened a door, as its rule's description says it: enough to know whether they are still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    verb: String,
    process: u32,
    /// When that process started, in the kernel's ticks since boot: a process id alone is used again.
    began: u64,
    machine: String,
    /// Unix time, by the cloud's clock.
    opened: u64,
}

impl Tag {
    /// That of this process.
    pub(super) fn new(verb: &str, now: u64) -> Self {
        let process = std::process::id();
        let verb = verb.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
        Self { verb, process, began: began(process).unwrap_or(0), machine: machine(), opened: now }
    }

    /// Reads a rule's description; `None` where the rule is no door.
    pub(super) fn of(rule: &Rule) -> Option<Self> {
        let mut words = rule.description.as_deref()?.strip_prefix(BEGINNING)?.split(' ');
        let mut field = |name: &str| words.next()?.strip_prefix(name).map(str::to_owned);
        Some(Self {
            verb: field("")?,
            process: field("process=")?.parse().ok()?,
            began: field("began=")?.parse().ok()?,
            machine: field("on=")?,
            opened: field("since=")?.parse().ok()?,
        })
    }

    /// Whether nobody is there any more who would close it.
    fn is_left_behind(&self, now: u64) -> bool {
        if self.machine == machine() {
            began(self.process) != Some(self.began)
        } else {
            now.saturating_sub(self.opened) > LONGEST
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, process, began, machine, opened } = self;
        write!(f, "{BEGINNING}{verb} process={process} began={began} on={machine} since={opened}")
    }
}

/// Whether a rule is a door that nobody will close any more. Who opened it cannot be asked where that cannot be read.
pub(super) fn is_left_behind(rule: &Rule, now: u64) -> bool {
    is_door(rule) && Tag::of(rule).is_none_or(|tag| tag.is_left_behind(now))
}

/// Whether a rule's description is that of a door, whoever wrote it.
pub(super) fn is_door(rule: &Rule) -> bool {
    rule.description.as_deref().is_some_and(|text| text.starts_with(BEGINNING))
}

/// This machine's name, and which of its boots this is: process ids begin anew with each.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let plain = |text: &str| -> String {
        text.trim().chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).take(63).collect()
    };
    let boot: String = plain(&read("/proc/sys/kernel/random/boot_id")).chars().take(8).collect();
    format!("{}/{boot}", plain(&read("/proc/sys/kernel/hostname")))
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold spaces and brackets. None for a process that is gone, or
/// is only waited for.
fn began(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(description: Option<String>) -> Rule {
        Rule {
            direction: "in".into(),
            protocol: "tcp".into(),
            port: Some("22".into()),
            source_ips: vec!["203.0.113.7/32".into()],
            description,
        }
    }

    #[test]
    fn a_door_says_whose_it_is_and_fits_into_a_description() {
        let tag = Tag::new("unlock", 1_763_856_000);
        let text = tag.to_string();
        assert!(text.len() <= 255, "{}", text.len());
        assert_eq!(Tag::of(&rule(Some(text))), Some(tag));
        for other in [None, Some("ssh".into()), Some(format!("{BEGINNING}x")), Some(BEGINNING.into())] {
            assert_eq!(Tag::of(&rule(other)), None);
        }
        let unreadable = rule(Some(format!("{BEGINNING}x")));
        assert!(is_door(&unreadable) && !is_door(&rule(Some("ssh".into()))));
        assert!(is_left_behind(&unreadable, 0) && !is_left_behind(&rule(Some("ssh".into())), 0));
    }

    #[test]
    fn a_door_is_left_behind_when_its_process_is_gone() {
        let mine = Tag::new("ssh", 1000);
        assert!(!mine.is_left_behind(1_000_000), "this process lives");
        assert!(
            Tag { began: mine.began + 1, ..mine.clone() }.is_left_behind(1000),
            "its number is used again"
        );
        assert!(Tag { process: u32::MAX, ..mine.clone() }.is_left_behind(1000), "it is gone");
        let far = Tag { machine: "elsewhere/1".into(), ..mine };
        assert!(!far.is_left_behind(1000 + LONGEST) && far.is_left_behind(1001 + LONGEST));
    }
}
