use crate::common::ask;
use crate::world::World;
use serde_json::{Value, json};

#[test]
fn a_token_is_needed() {
    let world = World::new();
    for token in ["", "wrong", &"x".repeat(64)] {
        let reply = ask(&world.url(), token, "GET", "/v1/servers", None).unwrap();
        assert_eq!((reply.status, &reply.body["error"]["code"]), (401, &json!("unauthorized")));
        assert_eq!(ask(&world.url(), token, "GET", "/_rehearsal/requests", None).unwrap().status, 401);
    }
    let open = World::with(|config| config.any_token = true);
    assert_eq!(ask(&open.url(), &"x".repeat(64), "GET", "/v1/servers", None).unwrap().status, 200);
}

#[test]
fn a_read_only_token_may_look() {
    let token = "r".repeat(64);
    let world = World::with(|config| {
        config.read_only_token = Some("r".repeat(64));
        config.any_token = true;
    });
    let ask = |method: &str, path: &str| ask(&world.url(), &token, method, path, None).unwrap();
    assert_eq!(ask("GET", "/v1/servers").status, 200);
    for (method, path) in [("POST", "/v1/volumes"), ("PUT", "/v1/servers/1"), ("DELETE", "/v1/servers/1")] {
        assert_eq!(ask(method, path).status, 401, "{method}");
    }
    assert_eq!(ask("POST", "/v1/volumes").body["error"]["code"], "token_readonly");
    assert_eq!(ask("GET", "/_rehearsal/faults").status, 401);
}

#[test]
fn tokens_that_cannot_be_told_apart_are_refused() {
    let pairs = [(None, Some("")), (Some(""), None), (Some("same"), Some("same"))];
    for (token, read_only) in pairs {
        let dir = tempfile::tempdir().unwrap();
        let mut config = crate::paper::config(&dir.path().join("c"));
        (config.token, config.read_only_token) = (token.map(Into::into), read_only.map(Into::into));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let Err(error) = runtime.block_on(rehearsal::start(config)) else {
            panic!("{token:?} {read_only:?}")
        };
        assert!(error.to_string().contains("must differ"), "{error}");
    }
}

#[test]
fn who_has_no_token_uses_up_the_budget_too() {
    let world = World::with(|config| config.rate_limit = 1);
    let nobody = || ask(&world.url(), "", "GET", "/v1/servers", None).unwrap();
    let first = nobody();
    assert_eq!((first.status, first.header("ratelimit-remaining")), (401, Some("0")));
    assert_eq!(nobody().status, 429);
    world.refused(429, "rate_limit_exceeded", "GET", "/v1/servers", Value::Null);
}

#[test]
fn answers_carry_their_headers() {
    let world = World::new();
    let reply = world.ask("GET", "/v1/servers", None);
    assert_eq!(reply.header("ratelimit-limit"), Some("3600"));
    assert!(reply.header("ratelimit-reset").is_some() && reply.header("x-correlation-id").is_some());
    let other = world.ask("GET", "/v1/servers", None);
    assert_ne!(reply.header("x-correlation-id"), other.header("x-correlation-id"));
}

#[test]
fn an_empty_budget_is_told() {
    let world = World::with(|config| config.rate_limit = 2);
    world.get("/v1/servers");
    world.get("/v1/servers");
    world.refused(429, "rate_limit_exceeded", "GET", "/v1/servers", Value::Null);
}

#[test]
fn what_is_not_there_is_told_in_json() {
    let world = World::new();
    for path in
        ["/v1/nothing", "/v1/servers/1", "/v1/servers/x", "/v1/servers/1/actions", "/v1/actions/1", "/"]
    {
        world.refused(404, "not_found", "GET", path, Value::Null);
    }
    world.refused(404, "not_found", "POST", "/v1/servers/1/actions/poweron", Value::Null);
    world.refused(405, "method_not_allowed", "DELETE", "/v1/servers", Value::Null);
    world.refused(410, "deprecated_api_endpoint", "GET", "/v1/actions", Value::Null);
}

#[test]
fn broken_bodies_are_told() {
    let world = World::new();
    for body in ["{", "[]", "\"x\""] {
        let reply = ask(&world.url(), &world.token(), "POST", "/v1/servers", Some(body)).unwrap();
        assert_eq!((reply.status, &reply.body["error"]["code"]), (400, &json!("json_error")), "{body}");
    }
    for body in
        [json!({}), json!({"name": 1, "server_type": [], "image": {}}), json!({"name": "a", "volumes": "x"})]
    {
        world.refused(422, "invalid_input", "POST", "/v1/servers", body);
    }
}
