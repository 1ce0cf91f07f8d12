//! The cloud's clock: the real one, or one that stands still until it is moved.
//!
//! On a virtual clock whatever takes time is a sleep with a moment at which it is due. To move the clock is to go
//! from one such moment to the next, and to let at each of them all work be done until everything sleeps again:
//! an action that follows another begins at the moment the first has ended, however far the clock is moved.

use crate::config::Clock as Wanted;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use tokio::sync::{oneshot, watch};

/// How far a request moves the clock that is moved by requests, in milliseconds.
const STEP: u64 = 500;
/// The longest real time that one moment of a virtual clock waits for its work: machines take their own time.
const PATIENCE: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// The clock of the cloud that a task works for.
    static CLOCK: Clock;
}

/// The present on the clock of the cloud that this task works for.
pub(crate) fn now() -> OffsetDateTime {
    CLOCK.try_with(Clock::now).unwrap_or_else(|_| OffsetDateTime::now_utc())
}

/// The same, as the API writes it.
pub(crate) fn now_text() -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]+00:00");
    now().format(&format).unwrap_or_default()
}

/// A clock; copies of it are the same clock.
#[derive(Clone)]
pub(crate) struct Clock {
    started: Instant,
    stopped: Option<Arc<Virtual>>,
}

/// What stands still.
struct Virtual {
    inner: Mutex<Inner>,
    /// How many tasks do something now, instead of waiting for the clock.
    working: watch::Sender<usize>,
    /// Only one at a time moves the clock.
    moving: tokio::sync::Mutex<()>,
}

struct Inner {
    /// In Unix milliseconds.
    now: u64,
    started: u64,
    /// Whether requests move it.
    auto: bool,
    /// Those who wait until a moment ...
    asleep: BTreeMap<Key, oneshot::Sender<()>>,
    /// ... or until the clock is moved.
    ticking: BTreeMap<Key, oneshot::Sender<()>>,
    next: u64,
}

/// A moment, and a number that is nobody else's.
type Key = (u64, u64);

impl Clock {
    /// A virtual clock goes on from where an earlier one stopped, and never from the past.
    pub(crate) fn new(wanted: Wanted, last: Option<u64>) -> Self {
        let stopped = match wanted {
            Wanted::Real => None,
            Wanted::Virtual { auto } => {
                let started = real_millis().max(last.unwrap_or(0));
                let inner = Inner {
                    now: started,
                    started,
                    auto,
                    asleep: BTreeMap::new(),
                    ticking: BTreeMap::new(),
                    next: 0,
                };
                Some(Arc::new(Virtual {
                    inner: Mutex::new(inner),
                    working: watch::Sender::new(0),
                    moving: tokio::sync::Mutex::default(),
                }))
            }
        };
        Self { started: Instant::now(), stopped }
    }

    /// Runs a task of the cloud whose clock this is.
    pub(crate) fn scope<F: Future>(&self, task: F) -> impl Future<Output = F::Output> + use<F> {
        CLOCK.scope(self.clone(), task)
    }

    /// Does something for the cloud whose clock this is.
    pub(crate) fn scope_now<T>(&self, work: impl FnOnce() -> T) -> T {
        CLOCK.sync_scope(self.clone(), work)
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        let nanos = i128::from(self.unix_millis()) * 1_000_000;
        OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    pub(crate) fn unix_millis(&self) -> u64 {
        self.virtual_millis().unwrap_or_else(real_millis)
    }

    /// The present of a virtual clock, to be kept.
    pub(crate) fn virtual_millis(&self) -> Option<u64> {
        self.stopped.as_ref().map(|clock| clock.lock().now)
    }

    /// Whether requests move it; `None` on the real clock.
    pub(crate) fn is_auto(&self) -> Option<bool> {
        self.stopped.as_ref().map(|clock| clock.lock().auto)
    }

    /// How much time has passed since the cloud was started.
    pub(crate) fn elapsed(&self) -> Duration {
        match &self.stopped {
            None => self.started.elapsed(),
            Some(clock) => {
                let inner = clock.lock();
                Duration::from_millis(inner.now - inner.started)
            }
        }
    }

    /// Says that a task works from now on, until this is dropped.
    pub(crate) fn work(&self) -> Working {
        if let Some(clock) = &self.stopped {
            clock.add(1);
        }
        Working { clock: self.clone() }
    }

    /// Lets requests move a virtual clock, or not; false on the real clock.
    pub(crate) fn set_auto(&self, auto: bool) -> bool {
        self.stopped.as_ref().map(|clock| clock.lock().auto = auto).is_some()
    }

    /// Moves a virtual clock and waits until what fell due is done; false on the real clock.
    pub(crate) async fn advance(&self, by: Duration) -> bool {
        let Some(clock) = &self.stopped else { return false };
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        clock.advance(|inner| inner.now.saturating_add(by)).await;
        true
    }

    /// Moves a clock that requests move by what a client that polls would have waited: to the next moment at which
    /// something falls due where it asks for actions, else by half a second.
    pub(crate) async fn poll(&self, path: &str) {
        let Some(clock) = self.stopped.as_ref().filter(|clock| clock.lock().auto) else { return };
        let actions = path.split('/').any(|part| part == "actions");
        clock
            .advance(|inner| match inner.asleep.first_key_value() {
                Some(((due, _), _)) if actions => *due,
                _ => inner.now + STEP,
            })
            .await;
    }
}

impl Virtual {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tasks: usize) {
        self.working.send_modify(|working| *working += tasks);
    }

    fn subtract(&self) {
        self.working.send_modify(|working| *working -= 1);
    }

    /// Waits until every task waits for the clock.
    async fn quiesce(&self) {
        let _ = tokio::time::timeout(PATIENCE, self.working.subscribe().wait_for(|n| *n == 0)).await;
    }

    async fn advance(&self, target: impl FnOnce(&Inner) -> u64) {
        let _one_at_a_time = self.moving.lock().await;
        // What was begun just now gets as far as to its first sleep.
        self.quiesce().await;
        let target = target(&self.lock());
        while self.wake_next(target) {
            self.quiesce().await;
        }
        {
            let mut inner = self.lock();
            inner.now = target;
            let ticking = std::mem::take(&mut inner.ticking);
            self.wake(ticking);
        }
        self.quiesce().await;
    }

    /// Goes to the next moment at which something is due and wakes all of it; false where there is none up to the target.
    fn wake_next(&self, target: u64) -> bool {
        let mut inner = self.lock();
        let Some(((due, _), _)) = inner.asleep.first_key_value() else { return false };
        let due = *due;
        if due > target {
            return false;
        }
        let later = inner.asleep.split_off(&(due.saturating_add(1), 0));
        let woken = std::mem::replace(&mut inner.asleep, later);
        inner.now = inner.now.max(due);
        self.wake(woken);
        true
    }

    /// Wakes sleepers; from this moment on they count as working. This is done under the lock, so that one that
    /// gives up its sleep finds either its place or that it was counted.
    fn wake(&self, sleepers: BTreeMap<Key, oneshot::Sender<()>>) {
        self.add(sleepers.len());
        for sleeper in sleepers.into_values() {
            let _ = sleeper.send(());
        }
    }
}

/// A task that works, and may sleep on the clock.
pub(crate) struct Working {
    clock: Clock,
}

impl Working {
    /// Sleeps on the clock.
    pub(crate) async fn sleep(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let Some(clock) = &self.clock.stopped else { return tokio::time::sleep(time).await };
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Asleep::until(clock, |inner| (inner.now.saturating_add(millis), &mut inner.asleep)).await;
    }

    /// Sleeps for the time on the real clock, and on a virtual one until it has been moved.
    pub(crate) async fn tick(&self, period: Duration) {
        let Some(clock) = &self.clock.stopped else { return tokio::time::sleep(period).await };
        Asleep::until(clock, |inner| (0, &mut inner.ticking)).await;
    }

    /// Waits for something that does not come by itself, which counts as sleep.
    pub(crate) async fn wait<T>(&self, something: impl Future<Output = T>) -> T {
        let _idle = self.clock.stopped.as_deref().map(|clock| {
            clock.subtract();
            Idle(clock)
        });
        something.await
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock.stopped {
            clock.subtract();
        }
    }
}

/// A task that waits for something; it works again when this is dropped.
struct Idle<'a>(&'a Virtual);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.add(1);
    }
}

/// A place among those who wait for the clock.
struct Asleep<'a> {
    clock: &'a Virtual,
    key: Key,
}

impl<'a> Asleep<'a> {
    async fn until(
        clock: &'a Virtual,
        place: impl FnOnce(&mut Inner) -> (u64, &mut BTreeMap<Key, oneshot::Sender<()>>),
    ) {
        let (wake, woken) = oneshot::channel();
        let asleep = {
            let mut inner = clock.lock();
            inner.next += 1;
            let number = inner.next;
            let (due, places) = place(&mut inner);
            places.insert((due, number), wake);
            Self { clock, key: (due, number) }
        };
        clock.subtract();
        let _ = woken.await;
        drop(asleep);
    }
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        let mut inner = self.clock.lock();
        // Who is not woken but gives up is at work again; who was woken was counted by the one who woke.
        if inner.asleep.remove(&self.key).is_some() || inner.ticking.remove(&self.key).is_some() {
            self.clock.add(1);
        }
    }
}

fn real_millis() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(unix.as_millis()).unwrap_or(u64::MAX)
}
