//! The audit: the catalogue's items ([`spec::audit`]) judged on this server.
//!
//! What is looked at is gathered once, by a handful of programs and one pass of Docker's API (`gather`); each judgement
//! is a pure function over these `facts`. `firstboot verify` prints it all. First boot itself waits only for what
//! [`crate::steps::verify`] looks at, so that a run with nothing to do stays quick.

mod docker;
mod facts;
mod files;
mod gather;
mod network;
mod runtime;
mod server;

pub(crate) use facts::Facts;

use crate::machine::clock::rfc3339;
use crate::run::Cx;
use spec::{Check, Exception, Verdict, audit};
use std::collections::BTreeMap;

/// What a judgement gives: everything that is wrong, or why nobody could look.
type Found = Result<Vec<String>, String>;
/// One item's judgement.
type Judge = fn(&Facts) -> Found;

fn judges() -> impl Iterator<Item = &'static (&'static str, Judge)> {
    [docker::JUDGES, files::JUDGES, runtime::JUDGES, server::JUDGES, network::JUDGES].into_iter().flatten()
}

/// Looks at every item of the catalogue. Reads only.
pub fn checks(cx: &Cx<'_>) -> Vec<Check> {
    let facts = gather::gather(cx);
    let today = rfc3339(cx.machine().now());
    judged(&facts, &cx.spec.exceptions, today.get(..10).unwrap_or_default())
}

/// Every item judged, the project's exceptions and the product's own applied as of a day.
fn judged(facts: &Facts, exceptions: &[Exception], today: &str) -> Vec<Check> {
    let judges: BTreeMap<&str, Judge> = judges().copied().collect();
    let mut accepted: BTreeMap<String, Exception> =
        audit::accepted().into_iter().map(|exception| (exception.check.clone(), exception)).collect();
    // What the operator wrote stands above what the product ships.
    accepted.extend(exceptions.iter().map(|exception| (exception.check.clone(), exception.clone())));
    let judge = |item: &audit::Item| {
        let found = judges.get(item.id).map_or_else(|| Err("nobody judges it".into()), |judge| judge(facts));
        let verdict = except(verdict(found), accepted.get(item.id), today);
        Check { about: Some(item.about()), ..Check::new(item.title, verdict) }
    };
    let mut checks: Vec<Check> = audit::items().map(judge).collect();
    let unknown = exceptions.iter().filter(|exception| audit::item(&exception.check).is_none());
    checks.extend(unknown.map(|exception| {
        let why = "this firstboot has no such check; correct or remove the exception in project.toml";
        Check::new(format!("the exception for {} is for a check", exception.check), Verdict::Fail(why.into()))
    }));
    checks
}

fn verdict(found: Found) -> Verdict {
    match found {
        Ok(wrong) if wrong.is_empty() => Verdict::Pass,
        Ok(wrong) => Verdict::Fail(wrong.join(", ")),
        Err(why) => Verdict::CouldNotLook(why),
    }
}

/// Accepts a failure where there is an exception for it that still counts. What nobody could look at is never accepted.
fn except(verdict: Verdict, exception: Option<&Exception>, today: &str) -> Verdict {
    match (verdict, exception) {
        (Verdict::Fail(found), Some(exception)) if today <= exception.review.as_str() => {
            Verdict::Excepted { found, reason: exception.reason.clone(), review: exception.review.clone() }
        }
        (Verdict::Fail(found), Some(exception)) => Verdict::Fail(format!(
            "{found}; the exception for it ({}) was to be looked at again by {} and no longer counts: mend it, or set \
             a new day in project.toml's [[exceptions]]",
            exception.reason, exception.review
        )),
        (verdict, _) => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;
    use std::collections::BTreeSet;

    #[test]
    fn every_item_has_one_judge_and_every_judge_an_item() {
        let judged: Vec<&str> = judges().map(|(id, _)| *id).collect();
        let set: BTreeSet<&str> = judged.iter().copied().collect();
        assert_eq!(set.len(), judged.len(), "an item is judged twice");
        assert_eq!(set, audit::items().map(|item| item.id).collect());
    }

    #[test]
    fn no_judge_asks_for_what_nobody_gathered() {
        let fake = Fake::new();
        assert!(matches!(fake.run().unwrap(), crate::flow::boot::Ended::Done));
        for check in checks(&Cx::read_only(&fake).unwrap()) {
            if let Verdict::CouldNotLook(why) = &check.verdict {
                assert!(!why.contains("gathered") && !why.contains("judges"), "{check:?}");
            }
        }
    }

    fn exception(check: &str, review: &str) -> Exception {
        Exception { check: check.into(), reason: "on purpose".into(), review: review.into() }
    }

    #[test]
    fn an_exception_counts_through_its_last_day_and_not_a_day_longer() {
        let failed = || Verdict::Fail("it is off".into());
        let exception = exception("docker-2.2", "2027-03-01");
        for today in ["2026-11-23", "2027-02-28", "2027-03-01"] {
            assert!(matches!(except(failed(), Some(&exception), today), Verdict::Excepted { .. }), "{today}");
        }
        for today in ["2027-03-02", "2028-01-01"] {
            let Verdict::Fail(why) = except(failed(), Some(&exception), today) else { panic!("{today}") };
            assert!(
                why.contains("it is off") && why.contains("2027-03-01") && why.contains("no longer counts")
            );
        }
    }

    #[test]
    fn what_passes_or_could_not_be_looked_at_is_not_excepted() {
        let exception = exception("docker-2.2", "2027-03-01");
        assert_eq!(except(Verdict::Pass, Some(&exception), "2026-01-01"), Verdict::Pass);
        let blind = Verdict::CouldNotLook("x".into());
        assert_eq!(except(blind.clone(), Some(&exception), "2026-01-01"), blind);
    }

    #[test]
    fn an_exception_for_no_check_is_a_failure() {
        let checks = judged(&Facts::default(), &[exception("docker-99.9", "2027-03-01")], "2026-11-23");
        let last = checks.last().unwrap();
        assert!(last.complaint().unwrap().contains("docker-99.9"), "{last:?}");
        assert_eq!(checks.len(), audit::items().count() + 1);
    }

    #[test]
    fn on_a_machine_where_nothing_can_be_looked_at_nothing_passes() {
        for check in judged(&Facts::default(), &[], "2026-11-23") {
            assert!(matches!(check.verdict, Verdict::CouldNotLook(_)), "{check:?}");
        }
    }
}
