use super::client::Client;
use super::error::Error;
use super::model::{Action, Subject};
use super::policy::{POSTS, Step, Tries, jitter};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// What a creation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made<T> {
    /// The object as it was when it was begun, or found; its actions have ended since.
    pub object: T,
    /// Whether it was there already, made by a request whose answer was lost or by an earlier run.
    pub adopted: bool,
}

/// What asking for an action twice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat<'a> {
    /// Nothing more than asking once, as for `poweron`.
    Harmless,
    /// Harm, as for `rebuild` and `create_image`. The action's command, by which it is looked for, is not always
    /// called as the path: `rebuild_server`, `create_image`, `reset_server`.
    Never(&'a str),
}

impl Client {
    /// Creates something and waits until it is there: POST `body` to `path`, and take the object below `key`.
    ///
    /// Where the answer is lost, or says that the name is taken, `look` says whether it is there and ours; then it is
    /// adopted, once it does nothing any more, and else created again, three times at the most. `limit` is for the
    /// actions. The error is the cloud's own where `look` finds nothing.
    pub async fn create_or_adopt<T, Looked>(
        &self,
        doing: &str,
        path: &str,
        key: &str,
        body: &Value,
        limit: Duration,
        look: impl Fn() -> Looked,
    ) -> Result<Made<T>, Error>
    where
        T: DeserializeOwned + Subject,
        Looked: Future<Output = Result<Option<T>, Error>>,
    {
        self.create_or_adopt_noted(doing, path, key, body, limit, look, |_| {}).await
    }

    /// The same; `noted` is told of the object as soon as it is there, before its actions have ended.
    #[expect(clippy::too_many_arguments, reason = "a request has that many parts")]
    pub async fn create_or_adopt_noted<T, Looked>(
        &self,
        doing: &str,
        path: &str,
        key: &str,
        body: &Value,
        limit: Duration,
        look: impl Fn() -> Looked,
        noted: impl Fn(&T),
    ) -> Result<Made<T>, Error>
    where
        T: DeserializeOwned + Subject,
        Looked: Future<Output = Result<Option<T>, Error>>,
    {
        let mut doubt = Doubt::default();
        loop {
            let created = match self.create(doing, path, body).await {
                // An answer that cannot be read leaves as much doubt as none.
                Ok(answer) => self.field::<T>(doing, answer.clone(), key).map(|object| (object, answer)),
                Err(error) => Err(error),
            };
            let error = match created {
                Ok((object, answer)) => {
                    noted(&object);
                    self.finish(doing, &answer, limit).await?;
                    return Ok(Made { object, adopted: false });
                }
                Err(error) => error,
            };
            let error = doubt.pause_for_a_look(self, error).await?;
            if let Some(object) = look().await? {
                noted(&object);
                self.say(&format!("{doing}: it is there and ours, so that it is taken up"));
                if let Some(actions) = object.actions_path(path) {
                    self.finish_running(doing, &actions, limit).await?;
                }
                return Ok(Made { object, adopted: true });
            }
            doubt.may_ask_again(self, error).await?;
        }
    }

    /// Begins an action by POST and waits until it has ended. Gives back the answer, or after a lost one
    /// `{"action": ...}` with the action that was found.
    pub async fn act(
        &self,
        doing: &str,
        path: &str,
        body: &Value,
        repeat: Repeat<'_>,
        limit: Duration,
    ) -> Result<Value, Error> {
        let answer = match repeat {
            Repeat::Harmless => self.change(doing, Method::POST, path, Some(body)).await?,
            Repeat::Never(command) => self.begin_once(doing, path, body, command).await?,
        };
        self.finish(doing, &answer, limit).await?;
        Ok(answer)
    }

    /// Begins an action that must not be begun twice: after a lost answer the resource's actions say whether one of
    /// that command is there that was not before.
    async fn begin_once(&self, doing: &str, path: &str, body: &Value, command: &str) -> Result<Value, Error> {
        let before: BTreeSet<u64> = self.begun(doing, path, command).await?.iter().map(|a| a.id).collect();
        let mut doubt = Doubt::default();
        loop {
            let error = match self.create(doing, path, body).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let error = doubt.pause_for_a_look(self, error).await?;
            let begun = self.begun(doing, path, command).await?;
            if let Some(action) = begun.into_iter().find(|action| !before.contains(&action.id)) {
                self.say(&format!("{doing}: {command} had begun, so that it is followed"));
                return Ok(json!({ "action": action }));
            }
            doubt.may_ask_again(self, error).await?;
        }
    }

    /// The resource's latest actions of a command. `path` is that of the action: `/servers/1/actions/rebuild`.
    async fn begun(&self, doing: &str, path: &str, command: &str) -> Result<Vec<Action>, Error> {
        let resource = path.split_once("/actions/").map_or(path, |(resource, _)| resource);
        let latest = format!("{resource}/actions?sort=id:desc&per_page=50");
        let answer = self.read_path(doing, &latest).await?;
        let mut actions = self.field::<Vec<Action>>(doing, answer, "actions")?;
        actions.retain(|action| action.command == command);
        Ok(actions)
    }

    /// Waits for what a resource is doing; says whether there was anything. `actions` is the path of its actions.
    pub async fn finish_running(&self, doing: &str, actions: &str, limit: Duration) -> Result<bool, Error> {
        let running = self.list::<Value>(doing, actions, "actions", &[("status", "running")]).await?;
        self.finish(doing, &json!({ "actions": running }), limit).await.map(|()| !running.is_empty())
    }
}

/// How often it was unclear whether something was done.
#[derive(Default)]
struct Doubt {
    posts: u32,
    tries: Tries,
    /// Whether a request of this run may have made what is in the way now.
    may_be_mine: bool,
}

impl Doubt {
    /// Gives the error back once a look is of use, or as the outcome where none is.
    async fn pause_for_a_look(&mut self, client: &Client, error: Error) -> Result<Error, Error> {
        self.posts += 1;
        match error.next_step() {
            // The cloud may still be at it, so give it a moment.
            Step::LookFirst => {
                self.may_be_mine = true;
                self.back_off(client, error, "looking whether it was done").await
            }
            Step::Adopt => Ok(error),
            _ => Err(error),
        }
    }

    /// Whether it is asked for again, now that nothing was found.
    async fn may_ask_again(&mut self, client: &Client, error: Error) -> Result<(), Error> {
        let taken = error.next_step() == Step::Adopt;
        if self.posts >= POSTS || (taken && !self.may_be_mine) {
            return Err(error);
        }
        if taken {
            // The name is taken, perhaps by what is ours and not listed yet.
            self.back_off(client, error, "trying again").await?;
        }
        Ok(())
    }

    async fn back_off(&mut self, client: &Client, error: Error, what: &str) -> Result<Error, Error> {
        let Some(wait) = self.tries.pause(Step::LookFirst, client.clock.now(), None, jitter()) else {
            return Err(error);
        };
        client.say(&format!(
            "{error}; {what} in {:.0} s ({} of {POSTS} at the most)",
            wait.as_secs_f64(),
            self.posts
        ));
        client.clock.sleep(wait).await;
        Ok(error)
    }
}
