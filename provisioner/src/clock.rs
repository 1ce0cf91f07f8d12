//! The server's clock against this machine's: certificates, one-time passwords and the audit's days all hang on it.

use crate::ssh::Session;
use anyhow::{Context as _, Result, bail};
use host::{Cmd, Host as _};
use spec::{Check, Verdict};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far the clocks may be apart; one-time passwords bear half a minute, a busy emulated server drifts by seconds.
const LIMIT: Duration = Duration::from_secs(300);

/// Whether the clocks agree, as a check.
pub(crate) fn agrees(session: &Session) -> Check {
    let verdict = match ahead(session) {
        Ok(ahead) => complaint(ahead).map_or(Verdict::Pass, Verdict::Fail),
        Err(error) => Verdict::CouldNotLook(format!("{error:#}")),
    };
    Check::new("the server's clock agrees with this machine's", verdict)
}

/// Refuses to set a server up by a wrong clock: certificates would be too old or not valid yet, and what is recorded
/// would be of another time.
pub(crate) fn refuse_wrong(session: &Session) -> Result<()> {
    if let Some(complaint) = complaint(ahead(session)?) {
        bail!("comparing the clocks: {complaint}");
    }
    Ok(())
}

/// By how many seconds the server's clock is ahead; negative when it is behind. What the connection took counts for
/// neither side.
fn ahead(session: &Session) -> Result<i64> {
    let now = || -> Result<i64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).context("reading this machine's clock")?;
        Ok(i64::try_from(since.as_secs())?)
    };
    let before = now()?;
    let said = session.run(&Cmd::new("date").args(["+%s"]))?;
    let there = said.line().and_then(|seconds| seconds.parse().ok());
    let there = there.with_context(|| format!("reading the server's clock: {:?}", said.text()))?;
    Ok(apart(before, there, now()?))
}

fn apart(before: i64, there: i64, after: i64) -> i64 {
    there - there.clamp(before, after.max(before))
}

fn complaint(ahead: i64) -> Option<String> {
    if ahead.unsigned_abs() <= LIMIT.as_secs() {
        return None;
    }
    let (days, hours) = (ahead.unsigned_abs() / 86_400, ahead.unsigned_abs() / 3600);
    let amount = match (days, hours) {
        (0, 0) => format!("{} s", ahead.unsigned_abs()),
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} days"),
    };
    let which = if ahead > 0 { "ahead of" } else { "behind" };
    Some(format!(
        "the server's clock is {amount} {which} this machine's; where this machine's is right, set the server's with \
         `cargo xtask ssh --project NAME -- chronyc makestep`, then try again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_connection_took_counts_for_neither_side() {
        assert_eq!(apart(100, 100, 100), 0);
        assert_eq!(apart(100, 107, 110), 0);
        assert_eq!(apart(100, 90, 110), -10);
        assert_eq!(apart(100, 130, 110), 20);
        assert_eq!(apart(100, 100, 90), 0, "this machine's own clock was set back meanwhile");
    }

    #[test]
    fn a_year_in_either_direction_is_said_and_a_busy_machines_drift_is_not() {
        let year = 365 * 86_400;
        assert!(complaint(year).unwrap().contains("365 days ahead of this machine's"));
        assert!(complaint(-year).unwrap().contains("365 days behind this machine's"));
        assert!(complaint(-7200).unwrap().contains("2 h behind"));
        assert!(complaint(301).unwrap().contains("301 s ahead"));
        assert_eq!(complaint(300), None);
        assert_eq!(complaint(-300), None);
    }
}
