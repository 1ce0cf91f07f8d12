use super::client::Client;
use super::error::{Error, clean};
use super::model::Action;
use super::policy::Step;
use super::transport::QUIET;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many actions are asked for at once: the ids stand in the URL.
const BATCH: usize = 25;
/// The first pause between two looks ...
const FIRST: Duration = Duration::from_millis(250);
/// ... and the longest. Between them a pause is this part of what was waited so far, so that no wait is much longer than
/// what it waits for, and a long one asks seldom.
const LONGEST: Duration = Duration::from_secs(2);
const PART: u32 = 8;

/// Which API an action is asked for at, and its id there.
type Key = (&'static str, u64);

/// The actions that are waited for.
#[derive(Default)]
struct Watch {
    open: BTreeMap<Key, Action>,
    /// What was asked for by itself already, since a batch had left it out.
    alone: BTreeSet<Key>,
    failed: Vec<Error>,
}

impl Client {
    /// Waits until every action named in an answer has ended, and looks at each one's error.
    pub async fn finish(&self, doing: &str, answer: &Value, limit: Duration) -> Result<(), Error> {
        self.finish_all(doing, std::slice::from_ref(answer), limit).await
    }

    /// The same for several answers together. All actions are awaited even where one fails; then the first failure is
    /// the error, and it says how many more there were.
    pub async fn finish_all(&self, doing: &str, answers: &[Value], limit: Duration) -> Result<(), Error> {
        let mut watch = Watch::default();
        for action in answers.iter().flat_map(named) {
            let action = serde_json::from_value(action.clone()).map_err(|e| self.garbled(doing, "", &e))?;
            watch.see(doing, key_of(&action), action);
        }
        let start = self.clock.now();
        let mut told = start;
        while !watch.open.is_empty() {
            let now = self.clock.now();
            let so_far = now.saturating_sub(start);
            if so_far > limit {
                watch.failed.push(Error::ActionTimeout {
                    doing: doing.into(),
                    action: watch.commands().join(", "),
                    seconds: limit.as_secs(),
                });
                break;
            }
            if now.saturating_sub(told) >= QUIET {
                told = now;
                let (progress, so_far) = (watch.progress(), so_far.as_secs());
                self.say(&format!("{doing}: {progress}; {so_far} s so far, {} s at most", limit.as_secs()));
            }
            self.clock.sleep((so_far / PART).clamp(FIRST, LONGEST)).await;
            self.look_at(doing, &mut watch).await?;
        }
        watch.verdict()
    }

    /// Asks once for every action that is open.
    async fn look_at(&self, doing: &str, watch: &mut Watch) -> Result<(), Error> {
        let keys: Vec<Key> = watch.open.keys().copied().collect();
        // Keys are sorted, so that those of one API stand together.
        for batch in keys.chunk_by(|a, b| a.0 == b.0).flat_map(|of_one_api| of_one_api.chunks(BATCH)) {
            let ids: Vec<_> = batch.iter().map(|(_, id)| format!("id={id}")).collect();
            let path = format!("{}?{}&per_page=50", batch[0].0, ids.join("&"));
            let answer = self.read_path(doing, &path).await?;
            let mut missing: BTreeSet<Key> = batch.iter().copied().collect();
            for action in self.field::<Vec<Action>>(doing, answer, "actions")? {
                // Only what was asked for: a foreign action would be waited for in vain.
                let key = (batch[0].0, action.id);
                if missing.remove(&key) {
                    watch.see(doing, key, action);
                }
            }
            for missing in missing {
                self.look_at_alone(doing, missing, watch).await?;
            }
        }
        Ok(())
    }

    /// Asks by itself for an action that its batch left out, but only once: after that it is lost.
    async fn look_at_alone(&self, doing: &str, key: Key, watch: &mut Watch) -> Result<(), Error> {
        if watch.alone.insert(key) {
            match self.get::<Action>(doing, &format!("{}/{}", key.0, key.1), "action").await {
                Ok(action) => {
                    watch.see(doing, key, action);
                    return Ok(());
                }
                Err(error) if error.next_step() == Step::Gone => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(action) = watch.open.remove(&key) {
            let (doing, action) = (doing.into(), action.command);
            watch.failed.push(Error::ActionLost { doing, action, id: key.1 });
        }
        Ok(())
    }
}

/// The actions that stand in an answer.
fn named(answer: &Value) -> impl Iterator<Item = &Value> {
    let listed = ["actions", "next_actions"].into_iter().filter_map(|key| answer.get(key)?.as_array());
    answer.get("action").into_iter().chain(listed.flatten()).filter(|action| !action.is_null())
}

/// Actions of Storage Boxes are kept by their own API.
fn key_of(action: &Action) -> Key {
    let is_storage = action.resources.iter().any(|resource| resource.kind.starts_with("storage_box"));
    (if is_storage { "/storage_boxes/actions" } else { "/actions" }, action.id)
}

impl Watch {
    /// Takes in how an action stands. A status nobody knows is taken for running unless the action has an end.
    fn see(&mut self, doing: &str, key: Key, action: Action) {
        match action.status.as_str() {
            "error" => {
                self.open.remove(&key);
                let (code, message) = action.error.map(|e| (e.code, e.message)).unwrap_or_default();
                let or =
                    |text: String, other: &str| if text.is_empty() { other.into() } else { clean(&text) };
                self.failed.push(Error::ActionFailed {
                    doing: doing.into(),
                    action: clean(&action.command),
                    code: or(code, "unknown"),
                    message: or(message, "no reason was given"),
                    others: 0,
                });
            }
            status if status == "success" || (status != "running" && action.finished.is_some()) => {
                self.open.remove(&key);
            }
            _ => {
                self.open.insert(key, action);
            }
        }
    }

    fn commands(&self) -> Vec<String> {
        self.open.values().map(|action| clean(&action.command)).collect()
    }

    fn progress(&self) -> String {
        let each = self.open.values().map(|a| format!("{} {} %", clean(&a.command), a.progress));
        each.collect::<Vec<_>>().join(", ")
    }

    /// The first failure, saying how many more there were.
    fn verdict(mut self) -> Result<(), Error> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut first = self.failed.remove(0);
        if let Error::ActionFailed { others, .. } = &mut first {
            *others = self.failed.len();
        }
        Err(first)
    }
}
