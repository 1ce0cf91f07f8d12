//! Throw-away servers: what they are made like, what they may cost, and how what is left of them is found.
//!
//! A lease is labels: whose it is and when it ends, by the cloud's own clock. What carries them belongs to no project, and
//! what belongs to a project never carries them, so [`leased`] can be trusted with everything it finds.

mod command;
mod reap;
mod run;

pub use reap::{Leased, Swept, forget_folders, leased, remove, sweep};
pub use run::{Ended, Order, default_project, run};

use crate::api::Client;
use crate::errors::NeedsOperator;
use crate::money::Money;
use crate::network::Network;
use crate::plan::{Change, Plan};
use crate::project::{ImageSource, Lease, Project};
use crate::world::World;
use anyhow::{Result, bail};
use futures_util::FutureExt as _;
use spec::VpnSpec;
use stacks::Plan as StackPlan;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The shortest and the longest lease.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 3600);
/// How far this machine's clock and the cloud's may be apart.
const MOST_APART: Duration = Duration::from_secs(300);
/// The longest value a label may have (OpenAPI document, "Labels").
const LONGEST_LABEL: usize = 63;

/// Reads how long a lease is: `90s`, `30m`, `2h`, `1d`.
pub fn parse_ttl(text: &str) -> Result<Duration, String> {
    let seconds = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)]
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor));
    let ttl = seconds.map(Duration::from_secs);
    ttl.filter(|ttl| TTL.contains(ttl))
        .ok_or_else(|| "must be a time such as 90s, 30m, 2h or 1d, from one minute to seven days".into())
}

impl Lease {
    /// A lease that begins at `start`, which [`time()`] gives.
    pub fn new(owner: &str, start: u64, ttl: Duration) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
        let owner: String = owner.chars().map(plain).take(LONGEST_LABEL).collect();
        let owner = owner.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let owner = if owner.is_empty() { "unknown" } else { owner };
        Self { owner: owner.into(), expires: start + ttl.as_secs() }
    }
}

/// A name that no other throw-away server has.
pub fn new_name() -> Result<String> {
    Ok(format!("e-{}", crate::journal::random_hex(4)?))
}

/// The present by which leases begin and end, in seconds of Unix time: the cloud's, as everybody's machine is told it.
///
/// # Errors
/// Where this machine's clock says something else: one of the two is wrong, and servers are removed by them.
pub async fn time(client: &Client) -> Result<u64> {
    // Any answer says it.
    let _: Vec<serde::de::IgnoredAny> =
        client.list("asking the cloud for its time", "/locations", "locations", &[]).await?;
    agreed(client)
}

/// The same by the cloud's last answer.
fn agreed(client: &Client) -> Result<u64> {
    compared(client.cloud_time()?, client.now())
}

fn compared(cloud: Duration, here: Duration) -> Result<u64> {
    let apart = cloud.abs_diff(here);
    if apart > MOST_APART {
        let which = if here > cloud { "ahead of" } else { "behind" };
        bail!(NeedsOperator(format!(
            "comparing clocks: this machine's is {} s {which} the cloud's, and leases begin and end by them; set it right \
             (`timedatectl set-ntp true`), then try again; nothing was changed",
            apart.as_secs()
        )));
    }
    Ok(cloud.as_secs())
}

/// A throw-away server's project: named and leased anew, with an identity that is thrown away with it, and without what
/// would outlive it. `whole`: with the volume and the stacks that `like` has; else a server with nothing on it.
pub fn project(like: &Project, name: &str, lease: Lease, whole: bool) -> Project {
    Project {
        name: name.into(),
        lease: Some(lease),
        protect: false,
        // Its one command connects when it likes, so there is no door to open and close.
        ssh_from: Network::everybody().to_vec(),
        snapshot_before_rebuild: false,
        recipients: Vec::new(),
        throwaway_identity: whole,
        dns: None,
        // Its control server is its own; nobody else's devices are in that network.
        vpn: like.vpn.clone().filter(|_| whole).map(|vpn| VpnSpec { devices: Vec::new(), ..vpn }),
        storage_box: None,
        volume_gb: like.volume_gb.filter(|_| whole),
        stacks: if whole { like.stacks.clone() } else { Vec::new() },
        plan: if whole { like.plan.clone() } else { StackPlan::default() },
        images: if whole { like.images.clone() } else { ImageSource::Pins(Default::default()) },
        ..like.clone()
    }
}

/// What all throw-away servers together may be and what one of them may cost.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    /// How many may be there at once, this one included.
    pub servers: usize,
    /// What one may cost for as long as its lease lasts, net.
    pub cost: Money,
}

/// Refuses a lease that would go beyond the ceiling. `plan` is what would be made, in `world`, for `ttl`.
pub async fn check_ceiling(
    client: &Client,
    ceiling: Ceiling,
    world: &World,
    plan: &Plan,
    ttl: Duration,
) -> Result<Money> {
    let there = leased(client).await?.into_iter().filter(|found| found.kind == "server").count();
    if there >= ceiling.servers {
        bail!(NeedsOperator(format!(
            "leasing a server: {there} are there already and {} is the most; wait for one to end, remove expired ones with `cargo xtask reap`, or raise --max-servers",
            ceiling.servers
        )));
    }
    let cost = cost(world, plan, ttl);
    if cost > ceiling.cost {
        bail!(NeedsOperator(format!(
            "leasing a server: it would cost up to {cost} {} and {} is the most; take a cheaper type, a shorter --ttl, or raise --max-cost",
            plan.currency, ceiling.cost
        )));
    }
    Ok(cost)
}

/// What the dearest place of a plan costs for this long. Hetzner bills begun hours, the month's price at the most.
fn cost(world: &World, plan: &Plan, ttl: Duration) -> Money {
    let hours = ttl.as_secs().div_ceil(3600);
    let places = plan.changes.iter().filter_map(|planned| match &planned.change {
        Change::CreateServer { places, .. } => Some(places),
        _ => None,
    });
    let hourly = places.flatten().filter_map(|place| {
        let kind = world.server_types.iter().find(|kind| kind.name == place.server_type)?;
        let price = kind.prices.iter().find(|price| price.location == place.location)?;
        Money::parse(&price.price_hourly.net)
    });
    let server = hourly.max().unwrap_or_default().times(hours);
    // Addresses and volumes have a monthly price in the plan; a begun month is no more than that.
    let others = plan.changes.iter().filter(|planned| !matches!(planned.change, Change::CreateServer { .. }));
    let share = |monthly: Money| monthly.times(hours).divided_by(HOURS_A_MONTH);
    [server].into_iter().chain(others.filter_map(|planned| planned.monthly.map(share))).sum()
}

/// Hetzner's month, in hours, as its prices an hour have it: fewer hours cost more each, so this is on the safe side.
const HOURS_A_MONTH: u64 = 624;

/// How guarded work ended.
#[derive(Debug)]
pub enum End<T, B> {
    /// By itself.
    Done(Result<T>),
    /// It was broken off.
    Broken(B),
}

/// Does `work` until it ends, fails, panics, or `broken` ends first; then, whatever it was, removes what was made.
/// Gives back how the work ended, and how its removal did.
pub async fn guarded<T, B>(
    work: impl Future<Output = Result<T>>,
    broken: impl Future<Output = B>,
    remove: impl AsyncFnOnce() -> Result<()>,
) -> (End<T, B>, Result<()>) {
    let ended = tokio::select! {
        done = AssertUnwindSafe(work).catch_unwind() => {
            End::Done(done.unwrap_or_else(|_| bail!("the work panicked; what it had made is removed")))
        }
        broken = broken => End::Broken(broken),
    };
    (ended, remove().await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::model::Labels;
    use crate::names::{Names, is_leased};

    fn demo() -> Project {
        let text = "[cloud]\nrehearsal = true\n[dns]\nzone = \"example.org\"\n[storage_box]\n[escrow]\nthrowaway_identity = true\n[stacks]\nenabled = [\"postgres\"]\n";
        Project::parse("demo", text).unwrap()
    }

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(parse_ttl("90s").unwrap().as_secs(), 90);
        assert_eq!(parse_ttl("2h").unwrap().as_secs(), 7200);
        for wrong in
            ["", "2", "h", "0h", "8d", "-1h", "1.5h", "99999999999999999999d", "18446744073709551615d"]
        {
            assert!(parse_ttl(wrong).unwrap_err().contains("30m"), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_leased_or_removed_by_clocks_that_do_not_agree() {
        let at = Duration::from_secs;
        assert_eq!(compared(at(1_000_000), at(1_000_300)).unwrap(), 1_000_000, "the cloud's counts");
        assert_eq!(compared(at(1_000_000), at(999_700)).unwrap(), 1_000_000);
        for (here, words) in [(1_086_400, "86400 s ahead of"), (999_699, "301 s behind")] {
            let refused = compared(at(1_000_000), at(here)).unwrap_err();
            assert!(refused.is::<NeedsOperator>() && refused.to_string().contains(words), "{refused}");
        }
    }

    #[test]
    fn an_owner_is_always_a_label() {
        for (owner, label) in
            [("ci@build.example", "ci-build.example"), ("", "unknown"), ("--", "unknown"), ("Zoë", "Zo")]
        {
            assert_eq!(Lease::new(owner, 0, Duration::from_secs(60)).owner, label);
        }
        assert!(Lease::new(&"x".repeat(100), 0, Duration::from_secs(60)).owner.len() <= LONGEST_LABEL);
    }

    #[test]
    fn a_lease_and_a_project_never_take_each_other_for_their_own() {
        let project_labels = Names::of(&demo()).labels();
        let leased = project(&demo(), "demo", Lease::new("ci", 1000, Duration::from_secs(60)), true);
        let lease_labels = Names::of(&leased).labels();
        assert!(!is_leased(&project_labels) && is_leased(&lease_labels));
        assert!(!Names::of(&demo()).own(&lease_labels), "the same name on both sides");
        assert!(!Names::of(&leased).own(&project_labels));
        // Somebody put both on one resource: it is the project's in doubt, and nothing is removed.
        let both: Labels = project_labels.into_iter().chain(lease_labels).collect();
        assert!(!is_leased(&both));
    }

    #[test]
    fn what_would_outlive_a_lease_is_not_made() {
        let whole = project(&demo(), "e-1", Lease::new("ci", 1000, Duration::from_secs(60)), true);
        assert!(whole.dns.is_none() && whole.storage_box.is_none() && !whole.protect);
        assert_eq!((whole.volume_gb, whole.stacks.len()), (Some(40), 1));
        let bare = project(&demo(), "e-1", Lease::new("ci", 1000, Duration::from_secs(60)), false);
        assert_eq!((bare.volume_gb, bare.stacks.len()), (None, 0));
    }

    #[tokio::test]
    async fn what_was_made_is_removed_however_the_work_ends() {
        async fn run(work: impl Future<Output = Result<u8>>, broken: bool) -> (End<u8, ()>, bool) {
            let removed = std::cell::Cell::new(false);
            let breaks = async move {
                if !broken {
                    std::future::pending::<()>().await;
                }
            };
            let (ended, removal) = guarded(work, breaks, async || {
                removed.set(true);
                Ok(())
            })
            .await;
            removal.unwrap();
            (ended, removed.get())
        }
        let forever = std::future::pending::<Result<u8>>;
        assert!(matches!(run(async { Ok(7) }, false).await, (End::Done(Ok(7)), true)));
        assert!(matches!(run(async { bail!("no") }, false).await, (End::Done(Err(_)), true)));
        assert!(matches!(run(async { panic!("a bug") }, false).await, (End::Done(Err(_)), true)));
        assert!(matches!(run(forever(), true).await, (End::Broken(()), true)));
    }
}
