//! What is done about an answer: one table, which the client, whoever creates something, the exit code and
//! `docs/errors.md` all read. Every wait is bounded in count and in time.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The code of an answer that is not in Hetzner's shape, as a gateway's.
pub const BARE: &str = "http";

/// How often something is created or begun at the most, with a look between.
pub const POSTS: u32 = 3;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing was done: ask again.
    Again(Wait),
    /// It may have been done: look, and only then ask again.
    LookFirst,
    /// Nothing was done and nothing will be for minutes: ask a few times more, then say so.
    Later,
    /// There is one of that name: look whether it is ours.
    Adopt,
    /// It cannot be had there: another type or location, or a person who decides.
    OtherPlace,
    /// There is none: for a deletion that is what was wanted.
    Gone,
    /// A person has to act before it can go on.
    Operator,
    /// Asking again is no use.
    Stop,
}

/// What asking again waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Another change to the same thing, which is over at once.
    Change,
    /// Another action on the same thing, which may take minutes.
    Lock,
    /// The project's budget of requests.
    Budget,
}

/// How long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// How often one request is sent at the most.
    pub tries: u32,
    /// How long after the first refusal it is last sent.
    pub total: Duration,
    /// The first pause; each is twice the one before.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Step {
    /// How long the request itself is tried again, where that is any use.
    pub const fn bound(self) -> Option<Bound> {
        let (tries, total, first, longest) = match self {
            Self::Again(Wait::Change) => (6, 60, 1, 20),
            Self::Again(Wait::Lock) => (200, 600, 1, 5),
            Self::Again(Wait::Budget) => (20, 1800, 1, 60),
            Self::LookFirst => (6, 120, 1, 20),
            Self::Later => (5, 300, 15, 120),
            _ => return None,
        };
        let seconds = Duration::from_secs;
        Some(Bound { tries, total: seconds(total), first: seconds(first), longest: seconds(longest) })
    }

    /// What Sovereign does, for people.
    pub fn does(self) -> String {
        let (times, minutes) = self.bound().map_or((0, 0), |bound| (bound.tries, bound.total.as_secs() / 60));
        match self {
            Self::Again(Wait::Change) | Self::Later => {
                format!("asks again, up to {times} times within {minutes} min, then stops")
            }
            Self::Again(Wait::Lock) => format!("waits for the other action to end, {minutes} min at most"),
            Self::Again(Wait::Budget) => {
                format!("waits as the answer's headers say, {minutes} min at most")
            }
            Self::LookFirst => format!(
                "looks whether it was done, and asks again where it was not: {POSTS} times at most, or up to {times} \
                 times within {minutes} min where asking twice is harmless"
            ),
            Self::Adopt => {
                "takes up the one that is there if it carries the project's labels, else stops".into()
            }
            Self::OtherPlace => {
                "stops with exit code 4, unless the project names another type or location to try".into()
            }
            Self::Gone => "is content where it was to be removed, else stops".into(),
            Self::Operator => "stops with exit code 4".into(),
            Self::Stop => "stops".into(),
        }
    }

    /// What is waited for, for people.
    pub(super) fn waits_for(self) -> &'static str {
        match self {
            Self::Again(Wait::Lock) => "waiting for the action that runs there to end",
            Self::Again(Wait::Budget) => "waiting for the project's budget of requests to refill",
            Self::Later => "waiting for the cloud to be available again",
            _ => "trying again",
        }
    }
}

/// One kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Hetzner's error code; [`BARE`] where the answer had none.
    pub code: &'static str,
    /// The HTTP status it comes with, where that is documented.
    pub status: Option<u16>,
    /// What is done about it.
    pub step: Step,
    /// What it means.
    pub means: &'static str,
    /// What a person does about it; empty where nothing can be done.
    pub remedy: &'static str,
}

const fn row(code: &'static str, status: u16, step: Step, means: &'static str, remedy: &'static str) -> Row {
    let status = if status == 0 { None } else { Some(status) };
    Row { code, status, step, means, remedy }
}

/// All kinds of answer that are known. What is in no row stops, or is looked up first where the status is 5xx.
#[rustfmt::skip]
pub const TABLE: [Row; 44] = [
    row("json_error", 400, Step::Stop, "the request was not understood", "update Sovereign; if that does not help, report it"),
    row("unauthorized", 401, Step::Operator, "the token is unknown", "set HCLOUD_TOKEN to a token of the right Hetzner project"),
    row("token_readonly", 401, Step::Operator, "the token may only read", "make a token with read and write permission"),
    row("forbidden", 403, Step::Operator, "the token or the account may not do that", "make a token with read and write permission, and look in the Cloud Console whether the account is restricted"),
    row("resource_limit_exceeded", 403, Step::Operator, "the account may not have more of that kind", "ask Hetzner in the Cloud Console to raise the account's limit, or remove what is not needed"),
    row("maintenance", 403, Step::Later, "it is under maintenance", "try again in some minutes; status.hetzner.com says how long it takes"),
    row("not_found", 404, Step::Gone, "there is no such thing", "it was removed by somebody else meanwhile: run the same command again"),
    row("method_not_allowed", 405, Step::Stop, "the API has no such call", "check HCLOUD_ENDPOINT, and update Sovereign"),
    row("uniqueness_error", 409, Step::Adopt, "there is one of that name, or with the same key", "something that is not this project's has that name: rename one of them"),
    row("conflict", 409, Step::Again(Wait::Change), "it was changed by somebody else at the same moment", "run the same command again"),
    row("deprecated_api_endpoint", 410, Step::Stop, "the API has dropped this call", "update Sovereign"),
    row("resource_unavailable", 412, Step::OtherPlace, "it is out of stock or switched off there", "it is out of stock there: name another type or location in project.toml, or try later"),
    row("primary_ip_version_mismatch", 412, Step::Stop, "the address is of the other IP version", "report it"),
    row("invalid_input", 422, Step::Stop, "a value is not allowed", "correct the field in project.toml that it names"),
    row("unsupported_error", 422, Step::Stop, "that kind of thing cannot do that", "update Sovereign; if that does not help, report it"),
    row("service_error", 422, Step::Stop, "a service behind the API failed", "run the same command again; if it stays, ask Hetzner's support with the correlation id"),
    row("placement_error", 422, Step::OtherPlace, "there is no room for it there", "there is no room for it there: name another type or location in project.toml, or try later"),
    row("no_space_left_in_location", 0, Step::OtherPlace, "there is no volume space left there", "there is no volume space left there: name another location in project.toml, or try later"),
    row("locked", 423, Step::Again(Wait::Lock), "another action runs on it", "look in the Cloud Console what runs on it, and run the same command again afterwards"),
    row("protected", 423, Step::Operator, "it is protected against that", "it is protected: `destroy` lifts that for a typed name only"),
    row("resource_locked", 0, Step::Operator, "Hetzner has locked it", "ask Hetzner's support"),
    row("rate_limit_exceeded", 429, Step::Again(Wait::Budget), "the project's budget of requests (3600 an hour, for everybody together) is used up", "find out what else uses the project's API, and run the same command again later"),
    row("server_error", 500, Step::LookFirst, "the cloud failed", "run the same command again; if it stays, ask Hetzner's support with the correlation id"),
    row("bad_gateway", 502, Step::LookFirst, "the cloud's gateway got no answer", "run the same command again"),
    row("unavailable", 503, Step::Later, "a service is not available", "try again in some minutes; status.hetzner.com says how long it takes"),
    row("robot_unavailable", 0, Step::Later, "a service behind the API is not available", "try again in some minutes; status.hetzner.com says how long it takes"),
    row("timeout", 504, Step::LookFirst, "the cloud was too slow", "run the same command again"),
    row(BARE, 500, Step::LookFirst, "the cloud or a proxy failed", "check HCLOUD_ENDPOINT and the proxy, and run the same command again"),
    row(BARE, 502, Step::LookFirst, "the gateway got no answer", "run the same command again"),
    row(BARE, 503, Step::LookFirst, "the gateway is overloaded", "run the same command again"),
    row(BARE, 504, Step::LookFirst, "the gateway got no answer in time", "run the same command again"),
    row("resource_in_use", 0, Step::Stop, "something else still uses it", "run the same command again; if it stays, remove it from what the Cloud Console says uses it"),
    row("must_be_unassigned", 0, Step::Stop, "the address is still assigned", "take the address off its server first: it must be off for that"),
    row("server_not_stopped", 0, Step::Stop, "the server must be off for that", "shut the server down first"),
    row("primary_ip_assigned", 0, Step::Stop, "the address belongs to another server", "take the address off its server first: it must be off for that"),
    row("primary_ip_already_assigned", 0, Step::Stop, "the address belongs to another server", "take the address off its server first: it must be off for that"),
    row("primary_ip_datacenter_mismatch", 0, Step::Stop, "the address is in another location", "name the location of the address in project.toml"),
    row("server_has_ipv4", 0, Step::Stop, "the server has an IPv4 address already", "take the other address off the server first"),
    row("server_has_ipv6", 0, Step::Stop, "the server has an IPv6 network already", "take the other network off the server first"),
    row("volume_already_attached", 0, Step::Stop, "the volume is attached to a server already", "detach it there first, if that server does not need it"),
    row("invalid_server_type", 0, Step::Stop, "the server cannot be of that type", "name another server type in project.toml"),
    row("server_already_added", 0, Step::Stop, "the firewall is on that server already", "run the same command again"),
    row("firewall_already_applied", 0, Step::Stop, "the firewall is on that server already", "run the same command again"),
    row("incorrect_zone_mode", 0, Step::Stop, "the DNS zone is kept elsewhere (secondary)", "make the zone a primary one, or keep its records where its primary is"),
];

/// The row of an answer.
pub fn find(status: u16, code: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.code == code && (code != BARE || row.status == Some(status)))
}

/// What is done about an answer.
pub fn step(status: u16, code: &str) -> Step {
    match find(status, code) {
        Some(row) => row.step,
        None if status == 429 => Step::Again(Wait::Budget),
        None if status >= 500 || status == 408 => Step::LookFirst,
        None => Step::Stop,
    }
}

/// What asking for something twice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing more than asking once: GET, PUT, DELETE, power on.
    Once,
    /// It may be done twice: the creation of something.
    Twice,
}

impl Effect {
    /// Whether the request may be sent again without a look.
    pub(super) fn allows(self, step: Step) -> bool {
        match step {
            Step::Again(_) | Step::Later => true,
            Step::LookFirst => self == Self::Once,
            _ => false,
        }
    }
}

/// How often and since when one request was refused, by what was to be done about it.
#[derive(Default)]
pub(super) struct Tries(BTreeMap<Step, (u32, Duration)>);

impl Tries {
    /// How long to wait before the request is sent again, or `None` when its bound is reached. `asked` is a wait
    /// that the answer asked for, `jitter` a number from 0 to 1.
    pub(super) fn pause(
        &mut self,
        step: Step,
        now: Duration,
        asked: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        let bound = step.bound()?;
        let (count, since) = self.0.entry(step).or_insert((0, now));
        *count += 1;
        let doubled = bound.first * 2u32.saturating_pow(*count - 1).min(1 << 16);
        let wait = asked.unwrap_or_else(|| doubled.min(bound.longest).mul_f64(0.75 + jitter / 4.0));
        (*count < bound.tries && now.saturating_sub(*since) + wait <= bound.total).then_some(wait)
    }

    /// How often it was refused.
    pub(super) fn count(&self) -> u32 {
        self.0.values().map(|(count, _)| count).sum()
    }
}

/// A number from 0 to 1, so that two who were refused together do not come back together.
pub(super) fn jitter() -> f64 {
    // The standard library's hash keys are the one source of randomness at hand that needs no further crate.
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn known(step: Step) -> Vec<&'static str> {
        TABLE.iter().filter(|row| row.step == step && row.code != BARE).map(|row| row.code).collect()
    }

    #[test]
    fn what_is_asked_again_is_what_did_nothing() {
        assert_eq!(known(Step::Again(Wait::Change)), ["conflict"]);
        assert_eq!(known(Step::Again(Wait::Lock)), ["locked"]);
        assert_eq!(known(Step::Again(Wait::Budget)), ["rate_limit_exceeded"]);
        assert_eq!(known(Step::LookFirst), ["server_error", "bad_gateway", "timeout"]);
        assert_eq!(known(Step::Later), ["maintenance", "unavailable", "robot_unavailable"]);
        assert_eq!(known(Step::Adopt), ["uniqueness_error"]);
        assert_eq!(known(Step::Gone), ["not_found"]);
        assert_eq!(
            known(Step::OtherPlace),
            ["resource_unavailable", "placement_error", "no_space_left_in_location"]
        );
    }

    #[test]
    fn answers_in_no_row_stop_unless_they_may_have_been_done() {
        let rows = [
            (502, BARE, Step::LookFirst),
            (599, BARE, Step::LookFirst),
            (500, "brand_new", Step::LookFirst),
            (408, BARE, Step::LookFirst),
            (429, BARE, Step::Again(Wait::Budget)),
            (404, BARE, Step::Stop),
            (302, BARE, Step::Stop),
            (422, "brand_new", Step::Stop),
        ];
        for (status, code, expected) in rows {
            assert_eq!(step(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn a_code_has_one_row() {
        let mut keys: Vec<_> = TABLE.iter().map(|row| (row.code, row.status)).collect();
        keys.sort_unstable();
        keys.dedup_by(|a, b| a.0 == b.0 && (a.0 != BARE || a.1 == b.1));
        assert_eq!(keys.len(), TABLE.len());
    }

    #[test]
    fn only_what_cannot_be_done_twice_is_sent_again_unseen() {
        for effect in [Effect::Once, Effect::Twice] {
            for wait in [Wait::Change, Wait::Lock, Wait::Budget] {
                assert!(effect.allows(Step::Again(wait)));
            }
            assert!(effect.allows(Step::Later));
            assert_eq!(effect.allows(Step::LookFirst), effect == Effect::Once);
            for step in [Step::Adopt, Step::OtherPlace, Step::Gone, Step::Operator, Step::Stop] {
                assert!(!effect.allows(step), "{step:?}");
            }
        }
    }

    /// All pauses until it gives up, when every refusal comes at once.
    fn pauses(step: Step, jitter: f64) -> Vec<Duration> {
        let (mut tries, mut now, mut all) = (Tries::default(), SECOND * 1000, Vec::new());
        while let Some(wait) = tries.pause(step, now, None, jitter) {
            all.push(wait);
            now += wait;
        }
        all
    }

    #[test]
    fn every_wait_is_bounded_in_count_and_time() {
        for row in TABLE {
            for jitter in [0.0, 1.0] {
                let pauses = pauses(row.step, jitter);
                let Some(bound) = row.step.bound() else {
                    assert!(pauses.is_empty(), "{}", row.code);
                    continue;
                };
                assert!(!pauses.is_empty() && pauses.len() < bound.tries as usize, "{}", row.code);
                assert!(pauses.iter().sum::<Duration>() <= bound.total, "{}", row.code);
                assert!(pauses.iter().all(|p| *p <= bound.longest), "{}", row.code);
            }
        }
    }

    #[test]
    fn a_lock_is_waited_for_longer_than_a_conflict() {
        let sum = |wait| pauses(Step::Again(wait), 1.0).iter().sum::<Duration>();
        assert_eq!(pauses(Step::Again(Wait::Change), 1.0), [1, 2, 4, 8, 16].map(|n| SECOND * n));
        assert!(sum(Wait::Lock) > SECOND * 590 && sum(Wait::Change) < SECOND * 60);
        assert_eq!(pauses(Step::Again(Wait::Lock), 1.0)[..4], [1, 2, 4, 5].map(|n| SECOND * n));
    }

    #[test]
    fn kinds_are_counted_apart_and_asked_waits_are_kept() {
        let mut tries = Tries::default();
        for _ in 0..3 {
            tries.pause(Step::LookFirst, SECOND, None, 1.0).unwrap();
        }
        assert_eq!(tries.pause(Step::Again(Wait::Change), SECOND, None, 1.0), Some(SECOND));
        let asked = tries.pause(Step::Again(Wait::Budget), SECOND, Some(SECOND * 33), 0.5);
        assert_eq!((asked, tries.count()), (Some(SECOND * 33), 5));
        let too_long = tries.pause(Step::Again(Wait::Budget), SECOND, Some(SECOND * 1801), 0.5);
        assert_eq!(too_long, None);
    }

    #[test]
    fn jitter_varies_within_its_range() {
        let drawn: Vec<f64> = (0..64).map(|_| jitter()).collect();
        assert!(drawn.iter().all(|j| (0.0..=1.0).contains(j)));
        assert!(drawn.iter().any(|j| *j != drawn[0]));
    }
}
