//! Waiting for actions.

use crate::server::{Reply, Scene, Seen, Server, TOKEN, access};
use provisioner::api::{Client, Error};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);

fn action(id: u64, status: &str) -> Value {
    json!({ "id": id, "command": format!("command_{id}"), "status": status, "progress": 40 })
}

fn failed(id: u64) -> Value {
    json!({ "id": id, "command": format!("command_{id}"), "status": "error",
        "error": { "code": "resource_unavailable", "message": "no room" } })
}

/// The ids a batch asks for.
fn ids(seen: &Seen) -> Vec<u64> {
    let query = seen.line.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter_map(|pair| pair.strip_prefix("id=")?.parse().ok()).collect()
}

fn batch(actions: &[Value]) -> Reply {
    Reply::ok(&json!({ "actions": actions }))
}

fn answer(ids: impl IntoIterator<Item = u64>) -> Value {
    json!({ "actions": ids.into_iter().map(|id| action(id, "running")).collect::<Vec<_>>() })
}

#[tokio::test]
async fn many_are_asked_for_in_batches_until_all_have_ended() {
    // Every action ends with the third look at it.
    let looks = Mutex::new(std::collections::BTreeMap::<u64, u32>::new());
    let scene = Scene::new(move |seen| {
        let mut looks = looks.lock().unwrap();
        let state = |id: u64, looks: u32| action(id, if looks < 3 { "running" } else { "success" });
        let each = ids(seen).into_iter().map(|id| {
            let looks = looks.entry(id).and_modify(|n| *n += 1).or_insert(1);
            state(id, *looks)
        });
        batch(&each.collect::<Vec<_>>())
    })
    .await;
    let answers =
        [answer(1..=40), json!({ "action": action(41, "running"), "next_actions": [action(42, "success")] })];
    scene.client.finish_all("making much", &answers, LIMIT).await.unwrap();
    let asked: Vec<_> = scene.server.seen().iter().map(|seen| ids(seen).len()).collect();
    assert_eq!(asked, [25, 16, 25, 16, 25, 16]);
}

#[tokio::test]
async fn all_are_awaited_even_where_one_fails_at_once() {
    let looks = Mutex::new(0);
    let scene = Scene::new(move |seen| {
        *looks.lock().unwrap() += 1;
        let late = *looks.lock().unwrap() > 4;
        let state = |id| match id {
            1 => failed(1),
            2 if late => failed(2),
            id => action(id, if late { "success" } else { "running" }),
        };
        batch(&ids(seen).into_iter().map(state).collect::<Vec<_>>())
    })
    .await;
    let error = scene.client.finish("making three", &answer(1..=3), LIMIT).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("command_1") && said.contains("1 more failed, too"), "{said}");
    assert!(error.needs_operator(), "it is out of stock");
    assert_eq!(scene.server.seen().len(), 5, "the others were awaited");
}

#[tokio::test]
async fn an_action_that_had_failed_already_is_an_error() {
    let scene = Scene::scripted(vec![batch(&[])]).await;
    let error = scene.client.finish("making", &json!({ "action": failed(1) }), LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::ActionFailed { .. }), "{error}");
    assert!(scene.server.seen().is_empty());
    let nothing = json!({ "action": null, "next_actions": null, "server": {} });
    scene.client.finish("making", &nothing, LIMIT).await.unwrap();
    scene.client.finish("making", &Value::Null, LIMIT).await.unwrap();
}

#[tokio::test]
async fn one_that_a_batch_leaves_out_is_asked_for_by_itself_once() {
    let alone = |reply: Reply| {
        move |seen: &Seen| if ids(seen).is_empty() { reply.clone() } else { batch(&[action(9, "running")]) }
    };
    let single = |status: &str| Reply::ok(&json!({ "action": action(1, status) }));

    let scene = Scene::new(alone(single("success"))).await;
    scene.client.finish("making", &answer([1]), LIMIT).await.unwrap();
    assert_eq!(scene.server.lines(), ["GET /actions", "GET /actions/1"]);

    for (reply, lines) in [(single("running"), 3), (Reply::refused(404, "not_found"), 2)] {
        let scene = Scene::new(alone(reply)).await;
        let error = scene.client.finish("making", &answer([1]), LIMIT).await.unwrap_err();
        assert!(matches!(error, Error::ActionLost { id: 1, .. }), "{error}");
        assert_eq!(scene.server.lines().len(), lines);
    }
}

#[tokio::test]
async fn progress_is_said_every_ten_seconds_and_the_wait_ends() {
    let scene =
        Scene::new(|seen| batch(&ids(seen).into_iter().map(|id| action(id, "running")).collect::<Vec<_>>()))
            .await;
    let limit = Duration::from_secs(60);
    let error = scene.client.finish("making two", &answer(1..=2), limit).await.unwrap_err();
    assert!(error.to_string().contains("command_1, command_2 was still running after 60 s"), "{error}");
    let notices = scene.notices();
    assert!((4..=6).contains(&notices.len()), "{notices:?}");
    assert!(notices[0].contains("command_1 40 %, command_2 40 %; 1") && notices[0].contains("60 s at most"));
    let slept = scene.clock.slept();
    // Often at first, and as the wait grows an eighth of it.
    assert_eq!(slept[..3], [250; 3].map(Duration::from_millis));
    assert!(slept.is_sorted() && slept.len() < 60, "{slept:?}");
    assert!(slept.iter().all(|pause| *pause <= Duration::from_secs(2)));
}

#[tokio::test]
async fn a_status_nobody_knows_is_over_when_it_has_an_end() {
    let odd = |finished: Value| json!({ "id": 1, "status": "brand-new-value", "finished": finished });
    let scene =
        Scene::scripted(vec![batch(&[odd(Value::Null)]), batch(&[odd(json!("2026-11-22T00:00:00Z"))])]).await;
    scene.client.finish("making", &answer([1]), LIMIT).await.unwrap();
    assert_eq!(scene.server.seen().len(), 2);
}

#[tokio::test]
async fn a_storage_boxs_actions_are_asked_for_at_its_api() {
    let done =
        |seen: &Seen| batch(&ids(seen).into_iter().map(|id| action(id, "success")).collect::<Vec<_>>());
    let (cloud, storage) = (Server::start(done).await, Server::start(done).await);
    let storage_access = access(&storage.url, TOKEN);
    let client =
        Client::serving(access(&cloud.url, TOKEN), Some(storage_access), Arc::new(|_: &str| {})).unwrap();
    let of_box = json!({ "id": 7, "command": "create", "status": "running",
        "resources": [{ "id": 1, "type": "storage_box" }] });
    // The same id at both is two actions.
    client.finish("making both", &json!({ "actions": [of_box, action(7, "running")] }), LIMIT).await.unwrap();
    assert_eq!(storage.lines(), ["GET /storage_boxes/actions"]);
    assert_eq!(cloud.lines(), ["GET /actions"]);
    let asked: BTreeSet<u64> = storage.seen().iter().flat_map(ids).collect();
    assert_eq!(asked, [7].into());
}
