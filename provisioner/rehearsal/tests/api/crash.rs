use crate::world::{World, names};
use serde_json::{Value, json};

#[test]
fn the_state_outlives_the_daemon() {
    let mut world = World::new();
    let volume = world.volume("v");
    let server = world.server("a");
    let before: Vec<Value> = ["servers", "volumes", "primary_ips", "images", "servers/actions"]
        .iter()
        .map(|plural| world.get(&format!("/v1/{plural}")))
        .collect();
    let token = world.token();
    world.restart();
    let after: Vec<Value> = ["servers", "volumes", "primary_ips", "images", "servers/actions"]
        .iter()
        .map(|plural| world.get(&format!("/v1/{plural}")))
        .collect();
    assert_eq!(before, after);
    assert_eq!(token, world.token());
    assert!(world.volume("w") > server.max(volume), "ids are never used again");
}

#[test]
fn interrupted_actions_are_finished() {
    let mut world = World::with(|config| config.action_ms = 400);
    let body = json!({"name": "a", "server_type": "cax11", "image": "debian-13", "location": "fsn1"});
    let made = world.post("/v1/servers", body);
    world.restart();
    let server = made["server"]["id"].as_u64().unwrap();
    assert_eq!(world.get(&format!("/v1/servers/{server}"))["server"]["status"], "initializing");
    assert_eq!(world.wait(&made)["status"], "success");
    world.until(server, "running");
    let gone = world.ask("DELETE", &format!("/v1/servers/{server}"), None);
    world.restart();
    assert_eq!(world.wait(&gone.body)["status"], "success");
    assert_eq!(names(&world.get("/v1/servers"), "servers"), "");
}

#[test]
fn a_state_that_cannot_be_written_changes_nothing() {
    let world = World::new();
    world.volume("v");
    let state = world.config.state_dir.join("state.json");
    // A directory in its place makes the rename fail, for root too.
    let kept = state.with_extension("kept");
    std::fs::rename(&state, &kept).unwrap();
    std::fs::create_dir_all(state.join("in-the-way")).unwrap();
    let error = world.refused(
        500,
        "server_error",
        "POST",
        "/v1/volumes",
        json!({"name": "w", "size": 10, "location": "fsn1"}),
    );
    assert!(error["message"].as_str().unwrap().contains("nothing was changed"), "{error}");
    assert_eq!(names(&world.get("/v1/volumes"), "volumes"), "v");
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&kept, &state).unwrap();
    world.volume("w");
}

#[test]
fn only_one_daemon_serves_a_directory() {
    let world = World::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Err(error) = runtime.block_on(rehearsal::start(world.config.clone())) else { panic!("two daemons") };
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
}
