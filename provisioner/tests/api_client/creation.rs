//! Creating and acting where answers get lost.

use crate::server::{Reply, Scene, Seen};
use provisioner::api::model::{Resource as _, Volume};
use provisioner::api::{Client, Error, Made, Repeat};
use serde_json::{Value, json};
use std::sync::Mutex;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);
const DOING: &str = "making a volume";

fn volume() -> Value {
    json!({ "id": 7, "name": "demo-data", "size": 10, "labels": { "ours": "yes" } })
}

fn created() -> Reply {
    Reply::ok(&json!({ "volume": volume(), "action": null }))
}

/// Answers POSTs one after the other with these, the list of volumes with what `there` says about the POSTs so far,
/// and everything about actions with nothing running.
async fn scene(posts: Vec<Reply>, there: impl Fn(usize) -> Vec<Value> + Send + Sync + 'static) -> Scene {
    let posted = Mutex::new(0);
    Scene::new(move |seen: &Seen| {
        let mut posted = posted.lock().unwrap();
        if seen.line.starts_with("POST") {
            *posted += 1;
            posts[(*posted - 1).min(posts.len() - 1)].clone()
        } else if seen.line.contains("actions") {
            Reply::ok(&json!({ "actions": [] }))
        } else {
            Reply::ok(&json!({ "volumes": there(*posted) }))
        }
    })
    .await
}

async fn make(client: &Client) -> Result<Made<Volume>, Error> {
    let look = || async {
        let found = client.list::<Volume>(DOING, "/volumes", "volumes", &[("name", "demo-data")]).await?;
        Ok(found.into_iter().find(|volume| volume.labels().contains_key("ours")))
    };
    client.create_or_adopt(DOING, "/volumes", "volume", &json!({}), LIMIT, look).await
}

fn posts(scene: &Scene) -> usize {
    scene.server.lines().iter().filter(|line| line.starts_with("POST")).count()
}

fn looks(scene: &Scene) -> usize {
    scene.server.lines().iter().filter(|line| *line == "GET /volumes").count()
}

#[test]
fn it_can_be_spawned() {
    fn is_send<T: Send>(_: T) {}
    let client = Client::new("http://127.0.0.1:1", "x", std::sync::Arc::new(|_: &str| {})).unwrap();
    is_send(make(&client));
}

#[tokio::test]
async fn what_is_answered_is_made_and_not_looked_for() {
    let scene = scene(vec![created()], |_| Vec::new()).await;
    let made = make(&scene.client).await.unwrap();
    assert_eq!((made.object.id, made.adopted, posts(&scene), looks(&scene)), (7, false, 1, 0));
}

#[tokio::test]
async fn after_a_doubtful_answer_what_is_there_is_adopted() {
    let doubtful = [
        Reply::lost(),
        Reply::refused(500, "server_error"),
        Reply::refused(504, "timeout"),
        Reply::raw(502, ""),
        Reply::raw(201, "{\"volume\":{\"id\":7"),
        Reply::ok(&json!({ "volume": { "id": 7 } })),
        Reply::refused(409, "uniqueness_error"),
    ];
    for reply in doubtful {
        let scene = scene(vec![reply], |_| vec![volume()]).await;
        let made = make(&scene.client).await.unwrap();
        assert_eq!((made.object.id, made.adopted, posts(&scene), looks(&scene)), (7, true, 1, 1));
        assert!(scene.notices().join("\n").contains("taken up"));
    }
}

#[tokio::test]
async fn what_is_adopted_is_left_to_end_what_it_does() {
    let running = json!({ "id": 3, "command": "create_volume", "status": "running" });
    let scene = Scene::new(move |seen| {
        let ended = json!({ "id": 3, "command": "create_volume", "status": "success" });
        Reply::ok(&match seen.line.as_str() {
            line if line.starts_with("POST") => return Reply::lost(),
            line if line.contains("/volumes/7/actions?") => json!({ "actions": [running] }),
            line if line.contains("/actions?id=3") => json!({ "actions": [ended] }),
            _ => json!({ "volumes": [volume()] }),
        })
    })
    .await;
    assert!(make(&scene.client).await.unwrap().adopted);
    let lines = scene.server.lines();
    assert_eq!(lines, ["POST /volumes", "GET /volumes", "GET /volumes/7/actions", "GET /actions"]);
    assert!(scene.server.seen()[2].line.contains("status=running"));
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_again_three_times_in_all() {
    let again = scene(vec![Reply::lost(), created()], |_| Vec::new()).await;
    assert!(!make(&again.client).await.unwrap().adopted);
    assert_eq!((posts(&again), looks(&again)), (2, 1));

    let never = scene(vec![Reply::lost()], |_| Vec::new()).await;
    let error = make(&never.client).await.unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    assert_eq!((posts(&never), looks(&never)), (3, 3));
}

#[tokio::test]
async fn a_strangers_name_is_an_error_after_one_look() {
    let stranger = json!({ "id": 8, "name": "demo-data", "size": 10, "labels": {} });
    let taken = scene(vec![Reply::refused(409, "uniqueness_error")], move |_| vec![stranger.clone()]).await;
    let error = make(&taken.client).await.unwrap_err();
    assert_eq!((error.code(), posts(&taken), looks(&taken)), (Some("uniqueness_error"), 1, 1));
}

#[tokio::test]
async fn what_is_listed_late_is_adopted_all_the_same() {
    // The first answer is lost, the volume is there but listed only after the second refusal.
    let replies = vec![Reply::lost(), Reply::refused(409, "uniqueness_error")];
    let late = scene(replies, |posted| if posted > 2 { vec![volume()] } else { Vec::new() }).await;
    assert!(make(&late.client).await.unwrap().adopted);
    assert_eq!((posts(&late), looks(&late)), (3, 3));
}

#[tokio::test]
async fn a_clear_refusal_is_not_looked_into() {
    let scene = scene(vec![Reply::refused(412, "resource_unavailable")], |_| vec![volume()]).await;
    let error = make(&scene.client).await.unwrap_err();
    assert_eq!((error.code(), posts(&scene), looks(&scene)), (Some("resource_unavailable"), 1, 0));
}

/// A server with actions: POSTs are answered as told, and whether they begin a rebuild is told, too.
async fn rebuilding(posts: Vec<(bool, Reply)>) -> Scene {
    let old = json!({ "id": 1, "command": "rebuild_server", "status": "error", "error": null });
    let (posted, begun) = (Mutex::new(0), Mutex::new(vec![old]));
    Scene::new(move |seen| {
        let (mut posted, mut begun) = (posted.lock().unwrap(), begun.lock().unwrap());
        if seen.line.starts_with("POST") {
            let (begins, reply) = posts[*posted].clone();
            *posted += 1;
            if begins {
                begun.push(json!({ "id": 10 + *posted, "command": "rebuild_server", "status": "running" }));
            }
            // Somebody else's, which is not ours to follow.
            begun.push(json!({ "id": 20 + *posted, "command": "change_dns_ptr", "status": "running" }));
            return reply;
        }
        let ended = |action: &Value| {
            let mut action = action.clone();
            action["status"] = json!("success");
            action
        };
        let listed = seen.line.starts_with("GET /servers/1/actions?sort=id:desc");
        let all = begun.iter().map(|action| if listed { action.clone() } else { ended(action) });
        Reply::ok(&json!({ "actions": all.collect::<Vec<_>>() }))
    })
    .await
}

async fn rebuild(scene: &Scene) -> Result<Value, Error> {
    let repeat = Repeat::Never("rebuild_server");
    scene.client.act("rebuilding", "/servers/1/actions/rebuild", &json!({}), repeat, LIMIT).await
}

#[tokio::test]
async fn an_action_that_had_begun_is_followed_and_not_begun_twice() {
    for reply in [Reply::lost(), Reply::refused(500, "server_error"), Reply::raw(201, "not JSON")] {
        let scene = rebuilding(vec![(true, reply)]).await;
        assert_eq!(rebuild(&scene).await.unwrap()["action"]["id"], 11);
        assert_eq!(posts(&scene), 1);
    }
}

#[tokio::test]
async fn an_action_that_had_not_begun_is_asked_for_again() {
    let answer = Reply::ok(&json!({ "action": { "id": 12, "status": "running" }, "root_password": null }));
    let scene = rebuilding(vec![(false, Reply::lost()), (true, answer)]).await;
    assert_eq!(rebuild(&scene).await.unwrap()["action"]["id"], 12);
    assert_eq!(posts(&scene), 2);

    let scene = rebuilding(vec![(false, Reply::lost()); 3]).await;
    rebuild(&scene).await.unwrap_err();
    assert_eq!(posts(&scene), 3);
}

#[tokio::test]
async fn an_action_that_may_be_asked_for_twice_is_simply_asked_for() {
    let done = Reply::ok(&json!({ "action": { "id": 1, "command": "start_server", "status": "success" } }));
    let scene = Scene::scripted(vec![Reply::lost(), done]).await;
    let path = "/servers/1/actions/poweron";
    scene.client.act("starting", path, &json!({}), Repeat::Harmless, LIMIT).await.unwrap();
    assert_eq!(scene.server.lines(), [format!("POST {path}"), format!("POST {path}")]);
}
