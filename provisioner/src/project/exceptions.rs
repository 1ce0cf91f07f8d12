use super::reader::Document;
use spec::{Exception, audit};

/// How long a reason must at least be to be one.
const REASON: usize = 10;

/// `[[exceptions]]`: findings of the audit that are accepted, each with its reason and the last day on which it is.
/// Whether that day is past is for the audit to say, not for the reader of a file.
pub(super) fn read(document: &mut Document<'_>) -> Vec<Exception> {
    let mut known = std::collections::BTreeSet::new();
    let mut exceptions = Vec::new();
    document.each("exceptions", |section| {
        let check =
            section.text("check", "the id of a check, e.g. \"docker-2.9\", as `verify` prints it", |id| {
                audit::item(id).is_some()
            });
        let reason = section
            .text("reason", "a sentence that says why it is accepted", |text| text.trim().len() >= REASON);
        let review =
            section.text("review", "the day it is looked at again, e.g. \"2027-06-30\"", audit::is_day);
        if !check.is_empty() && !known.insert(check.clone()) {
            section.wrong("check", &format!("names {check} a second time; one exception a check"));
        }
        exceptions.push(Exception { check, reason, review });
    });
    exceptions
}

#[cfg(test)]
mod tests {
    use crate::project::Project;
    use spec::Exception;

    const REST: &str = "[cloud]\nrehearsal = true\n[escrow]\nthrowaway_identity = true\n";

    fn mistakes(exceptions: &str) -> Vec<String> {
        let wrong = Project::parse("demo", &format!("{REST}{exceptions}")).unwrap_err();
        wrong.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_exception_is_read() {
        let text = "[[exceptions]]\ncheck = \"docker-2.9\"\nreason = \"we have reasons\"\nreview = \"2027-06-30\"\n\
                    [[exceptions]]\ncheck = \"host-5.5\"\nreason = \"ssh is on the VPN\"\nreview = \"2027-06-30\"\n";
        let project = Project::parse("demo", &format!("{REST}{text}")).unwrap();
        let exception = |check: &str, reason: &str| Exception {
            check: check.into(),
            reason: reason.into(),
            review: "2027-06-30".into(),
        };
        let wanted = [exception("docker-2.9", "we have reasons"), exception("host-5.5", "ssh is on the VPN")];
        assert_eq!(project.exceptions, wanted);
        assert!(Project::parse("demo", REST).unwrap().exceptions.is_empty());
    }

    #[test]
    fn all_mistakes_are_said_at_once_with_their_lines() {
        let wrong = mistakes(
            "[[exceptions]]\ncheck = \"docker-9.9\"\nreason = \"\"\nreview = \"2027-02-30\"\n[[exceptions]]\nchek = 1\n",
        );
        for (line, words) in [
            ("line 6", "exceptions.check"),
            ("line 7", "exceptions.reason"),
            ("line 8", "exceptions.review"),
            ("line 9", "exceptions.check is needed"),
            ("line 9", "exceptions.reason is needed"),
            ("line 9", "exceptions.review is needed"),
            ("line 10", "exceptions.chek is unknown"),
        ] {
            assert!(
                wrong.iter().any(|m| m.starts_with(line) && m.contains(words)),
                "{line} {words}: {wrong:#?}"
            );
        }
    }

    #[test]
    fn a_check_excepted_twice_and_a_section_that_is_no_list_are_mistakes() {
        let one =
            "[[exceptions]]\ncheck = \"host-5.5\"\nreason = \"ssh is on the VPN\"\nreview = \"2027-06-30\"\n";
        let twice = mistakes(&one.repeat(2));
        assert!(twice.len() == 1 && twice[0].contains("a second time"), "{twice:#?}");
        let single = mistakes(&one.replace("[[exceptions]]", "[exceptions]"));
        assert!(single.iter().any(|m| m.contains("[[exceptions]]")), "{single:#?}");
    }
}
