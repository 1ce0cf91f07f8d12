//! One request and its answers.

use crate::server::{Reply, START, Scene, Server, TOKEN, access};
use provisioner::api::{Client, Limits, Step};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn thing() -> Reply {
    Reply::ok(&json!({ "thing": { "id": 1 } }))
}

async fn get(scene: &Scene) -> Result<Value, provisioner::api::Error> {
    scene.client.get::<Value>("reading a thing", "/things/1", "thing").await
}

#[tokio::test]
async fn a_conflict_is_asked_again_six_times_within_a_minute() {
    let scene = Scene::scripted(vec![Reply::refused(409, "conflict")]).await;
    let error = scene.client.create("making a thing", "/things", &json!({})).await.unwrap_err();
    assert_eq!(scene.server.seen().len(), 6);
    assert!(scene.slept() <= SECOND * 60, "{:?}", scene.clock.slept());
    assert!(error.to_string().contains("(asked 6 times in "), "{error}");
    assert!(!error.needs_operator());
}

#[tokio::test]
async fn a_lock_is_waited_for_and_spoken_of_now_and_then() {
    let mut replies = vec![Reply::refused(423, "locked"); 60];
    replies.push(thing());
    let scene = Scene::scripted(replies).await;
    scene.client.create("attaching a volume", "/x", &json!({})).await.unwrap();
    assert!(scene.slept() > SECOND * 200 && scene.slept() < SECOND * 300, "{:?}", scene.slept());
    let notices = scene.notices();
    let first = &notices[0];
    for part in ["attaching a volume", "locked", "waiting for the action that runs there", "600 s at most"] {
        assert!(first.contains(part), "{part} is not in {first}");
    }
    assert!((10..=30).contains(&notices.len()), "{} notices", notices.len());
    let endless = Scene::scripted(vec![Reply::refused(423, "locked")]).await;
    endless.client.create("attaching a volume", "/x", &json!({})).await.unwrap_err();
    assert!((SECOND * 590..=SECOND * 600).contains(&endless.slept()), "{:?}", endless.slept());
}

#[tokio::test]
async fn what_may_have_been_done_is_sent_again_only_where_that_is_harmless() {
    let doubtful = [
        Reply::refused(500, "server_error"),
        Reply::refused(504, "timeout"),
        Reply::raw(502, "<html>Bad Gateway"),
        Reply::lost(),
        Reply::raw(200, "{\"thing\":").short(),
        Reply::raw(200, "not JSON"),
    ];
    for reply in doubtful {
        let scene = Scene::scripted(vec![reply.clone(), reply.clone(), thing()]).await;
        get(&scene).await.unwrap();
        assert_eq!(scene.server.seen().len(), 3);
        let scene = Scene::scripted(vec![reply]).await;
        let error = scene.client.create("making a thing", "/things", &json!({})).await.unwrap_err();
        assert_eq!((scene.server.seen().len(), error.next_step()), (1, Step::LookFirst), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_for_good_is_not_asked_again() {
    for (status, code, step) in [
        (422, "invalid_input", Step::Stop),
        (412, "resource_unavailable", Step::OtherPlace),
        (403, "resource_limit_exceeded", Step::Operator),
        (409, "uniqueness_error", Step::Adopt),
    ] {
        let scene = Scene::scripted(vec![Reply::refused(status, code)]).await;
        let error = get(&scene).await.unwrap_err();
        assert_eq!((error.next_step(), scene.server.seen().len()), (step, 1), "{code}");
    }
}

#[tokio::test]
async fn what_is_gone_is_deleted_but_a_wrong_url_is_not() {
    let scene = Scene::scripted(vec![Reply::refused(404, "not_found")]).await;
    assert_eq!(scene.client.delete("removing a thing", "/things/1").await.unwrap(), Value::Null);
    let scene = Scene::scripted(vec![Reply::raw(404, "404 page not found")]).await;
    scene.client.delete("removing a thing", "/things/1").await.unwrap_err();
}

#[tokio::test]
async fn too_many_requests_wait_as_the_headers_say() {
    let scene = Scene::scripted(vec![
        Reply::refused(429, "rate_limit_exceeded").left(0, START),
        thing().left(30, START + SECOND * 21),
    ])
    .await;
    get(&scene).await.unwrap();
    assert_eq!(scene.clock.slept(), [SECOND * 21]);
    let notices = scene.notices().join("\n");
    assert!(notices.contains("waiting for the project's budget of requests to refill"), "{notices}");
    assert_eq!(scene.client.budget().unwrap().remaining, 30);

    let without_headers = Scene::scripted(vec![Reply::refused(429, "rate_limit_exceeded")]).await;
    get(&without_headers).await.unwrap_err();
    assert!(without_headers.slept() <= SECOND * 1800);
    assert!(without_headers.server.seen().len() <= 20);
}

#[tokio::test]
async fn the_last_requests_are_left_to_others() {
    let scene = Scene::new(|_| thing().left(5, START)).await;
    get(&scene).await.unwrap();
    assert!(scene.clock.slept().is_empty(), "nothing was known before the first answer");
    get(&scene).await.unwrap();
    let clone = scene.client.clone();
    assert_eq!(scene.clock.slept(), [SECOND * 16]);
    clone.get::<Value>("reading", "/things/1", "thing").await.unwrap();
    assert_eq!(scene.clock.slept().len(), 2, "a clone knows what the first has seen");
    let spoke = scene.notices().join("\n");
    assert!(spoke.contains("5 of the project's 3600 requests an hour are left"), "{spoke}");
}

#[tokio::test]
async fn a_client_and_its_clones_send_so_many_requests_and_no_more() {
    let limits = Limits { requests: 5, ..Limits::default() };
    let scene = Scene::limited(limits, |_| thing()).await;
    for _ in 0..5 {
        scene.client.clone().get::<Value>("reading", "/x", "thing").await.unwrap();
    }
    let error = get(&scene).await.unwrap_err();
    assert!(error.to_string().contains("5 requests were sent"), "{error}");
    assert_eq!((scene.server.seen().len(), error.next_step()), (5, Step::Stop));
}

#[tokio::test]
async fn an_answer_too_large_or_too_slow_is_none() {
    let small = Limits { answer: 1000, ..Limits::default() };
    let quick = Limits { request: Duration::from_millis(300), ..Limits::default() };
    for (limits, reply, said) in [
        (small, Reply::raw(200, vec![b'['; 1001]), "larger than 1000 bytes"),
        (small, Reply::raw(422, vec![b' '; 1001]), "larger than 1000 bytes"),
        (quick, Reply::trickling(), "no whole answer within"),
    ] {
        let scene = Scene::limited(limits, move |_| reply.clone()).await;
        let error = scene.client.create("making a thing", "/things", &json!({})).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(error.next_step(), Step::LookFirst);
    }
}

#[tokio::test]
async fn answers_of_any_shape_are_errors_and_no_panic() {
    let deep = "[".repeat(100_000);
    for body in ["null", "[]", "3", "\"x\"", "{\"thing\":7}", "{\"thing\":{\"id\":\"x\"}}", "\u{0}", &deep] {
        let scene = Scene::scripted(vec![Reply::raw(200, body)]).await;
        let read = scene.client.get::<provisioner::api::model::Server>("reading", "/x", "thing").await;
        assert!(read.is_err(), "{body:.20}");
        let finished = scene.client.list::<Value>("listing", "/x", "things", &[]).await;
        assert!(finished.is_err(), "{body:.20}");
    }
}

#[tokio::test]
async fn the_token_is_sent_but_never_said() {
    let echo = json!({ "error": { "code": "unauthorized", "message": format!("unknown token {TOKEN}") } });
    let scene = Scene::scripted(vec![Reply::raw(401, echo.to_string())]).await;
    let error = get(&scene).await.unwrap_err();
    let said = format!("{error} {error:?}");
    assert!(!said.contains(TOKEN) && said.contains("(the token is from HCLOUD_TOKEN)"), "{said}");
    assert!(error.needs_operator());
    assert!(scene.server.seen()[0].headers.contains(&format!("Bearer {TOKEN}")));
}

#[tokio::test]
async fn a_token_that_cannot_be_hetzners_is_hinted_at() {
    let server = Server::start(|_| Reply::refused(401, "unauthorized")).await;
    for (token, hint) in [
        ("short".to_owned(), "from HCLOUD_TOKEN has 5 characters, Hetzner's have 64"),
        (format!("{}ä", "x".repeat(63)), "has characters that Hetzner's never have"),
        ("two\nlines".to_owned(), "no HTTP header can carry the token"),
    ] {
        let client = Client::serving(access(&server.url, &token), None, Arc::new(|_: &str| {})).unwrap();
        let error = client.get::<Value>("reading", "/x", "x").await.unwrap_err();
        assert!(error.to_string().contains(hint) && error.needs_operator(), "{error}");
        assert!(!error.to_string().contains(&token), "{error}");
    }
    assert!(Client::new("no url", TOKEN, Arc::new(|_: &str| {})).err().unwrap().needs_operator());
}

#[tokio::test]
async fn a_redirection_gets_no_token() {
    let elsewhere = Server::start(|_| thing()).await;
    let target = format!("{}/x", elsewhere.url);
    let scene = Scene::new(move |_| Reply::raw(302, "").header("Location", &target)).await;
    get(&scene).await.unwrap_err();
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn storage_boxes_are_asked_for_at_their_own_api() {
    let (cloud, storage) = (Server::start(|_| thing()).await, Server::start(|_| thing()).await);
    let token = "f".repeat(64);
    let storage_access = access(&storage.url, &token);
    let client =
        Client::serving(access(&cloud.url, TOKEN), Some(storage_access), Arc::new(|_: &str| {})).unwrap();
    client.get::<Value>("reading", "/storage_boxes/1", "thing").await.unwrap();
    client.get::<Value>("reading", "/storage_box_types/1", "thing").await.unwrap();
    client.get::<Value>("reading", "/servers/1", "thing").await.unwrap();
    assert_eq!(cloud.lines(), ["GET /servers/1"]);
    assert_eq!(storage.lines(), ["GET /storage_boxes/1", "GET /storage_box_types/1"]);
    assert!(storage.seen().iter().all(|seen| seen.headers.contains(&token)));
    assert!(cloud.seen().iter().all(|seen| seen.headers.contains(TOKEN)));
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_not_in_circles() {
    let page =
        |next: Value| Reply::ok(&json!({ "things": [1], "meta": { "pagination": { "next_page": next } } }));
    let scene = Scene::scripted(vec![page(json!(2)), page(json!(3)), page(json!(1))]).await;
    let all = scene.client.list::<u64>("listing", "/things", "things", &[("name", "a b/ä")]).await.unwrap();
    assert_eq!(all.len(), 3);
    let last = &scene.server.seen()[2].line;
    assert_eq!(last, "GET /things?page=3&per_page=50&name=a%20b%2F%C3%A4");
}

#[tokio::test]
async fn a_body_is_sent_as_json_and_an_empty_answer_is_null() {
    let scene = Scene::scripted(vec![Reply::raw(204, "")]).await;
    let body = json!({ "labels": { "a": "b" } });
    let answer = scene.client.change("labelling", Method::PUT, "/things/1", Some(&body)).await.unwrap();
    assert_eq!((answer, &scene.server.seen()[0].body), (Value::Null, &body));
}

#[tokio::test]
async fn nothing_the_cloud_says_steers_the_operators_terminal() {
    let steering = "\u{1b}[2J\u{9b}m\u{202e}x";
    let thing = json!({ "thing": { "id": 1, "name": steering, "labels": { steering: steering } } });
    let details = json!({ "fields": [{ "name": steering, "messages": [steering] }] });
    let refused = json!({ "error": { "code": steering, "message": steering, "details": details } });
    let failed = Reply::raw(422, refused.to_string()).header("x-correlation-id", "c");
    let scene = Scene::scripted(vec![Reply::ok(&thing), failed]).await;
    let read = get(&scene).await.unwrap();
    let error = get(&scene).await.unwrap_err();
    assert_eq!(read["name"], "\u{fffd}[2J\u{fffd}m\u{fffd}x");
    for text in [read["labels"].to_string(), error.to_string(), format!("{error:?}")] {
        assert!(text.contains("[2J"), "{text}");
        for part in ["\u{1b}", "\\u{1b}", "\\u001b", "\u{9b}", "\u{202e}", "\\u{202e}"] {
            assert!(!text.contains(part), "{text}");
        }
    }
}
