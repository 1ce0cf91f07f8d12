use super::error::ApiError;
use super::input::{Id, Input, Query};
use super::labels::Selector;
use super::listing::Listing;
use super::{Reply, Shared, actions, created, no_content, ok, parse_id};
use crate::cloud::Cloud;
use crate::cloud::job::Job;
use crate::cloud::state::{Firewall, Rule, State, Target, now};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::Uri;
use axum::routing::get;
use rules::parse_rules;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

mod rules;

const MOST_PER_SERVER: usize = 5;

pub(super) fn routes() -> Router<Arc<Cloud>> {
    Router::new()
        .merge(actions::routes_of("firewalls", "firewall"))
        .route("/firewalls", get(list).post(create))
        .route("/firewalls/{id}", get(show).put(update).delete(delete))
        .route("/firewalls/{id}/actions", actions::list_route("firewall"))
        .route("/firewalls/{id}/actions/{action}", actions::one_route("firewall").post(act))
}

fn render(state: &State, id: u64, firewall: &Firewall) -> Value {
    let applied: Vec<_> = firewall.applied_to.iter().map(|target| render_target(state, target)).collect();
    json!({"id": id, "name": firewall.name, "labels": firewall.labels, "created": firewall.created,
        "rules": firewall.rules, "applied_to": applied})
}

fn render_target(state: &State, target: &Target) -> Value {
    match target {
        Target::Server(id) => json!({"type": "server", "server": {"id": id}}),
        Target::LabelSelector(selector) => {
            let servers: Vec<_> = state
                .servers_of(target)
                .iter()
                .map(|id| json!({"type": "server", "server": {"id": id}}))
                .collect();
            json!({"type": "label_selector", "label_selector": {"selector": selector}, "applied_to_resources": servers})
        }
    }
}

fn find(state: &mut State, id: u64) -> Result<&mut Firewall, ApiError> {
    state.firewalls.get_mut(&id).ok_or_else(|| ApiError::not_found("firewall", id))
}

async fn list(Extract(cloud): Shared, uri: Uri) -> Reply {
    let query = Query::parse(uri)?;
    let firewalls: Vec<_> =
        cloud.read(|state| state.firewalls.iter().map(|(id, f)| render(state, *id, f)).collect());
    Listing::new(&query, firewalls)
        .by("name")
        .by_labels()?
        .sorted(&["id", "name", "created"])?
        .page("firewalls")
}

async fn show(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("firewall", &id)?;
    cloud.read(|state| match state.firewalls.get(&id) {
        Some(firewall) => ok(json!({"firewall": render(state, id, firewall)})),
        None => Err(ApiError::not_found("firewall", id)),
    })
}

async fn create(Extract(cloud): Shared, body: Bytes) -> Reply {
    let mut input = Input::parse(&body)?;
    let name = input.name();
    let labels = input.labels().unwrap_or_default();
    let rules = parse_rules(&mut input).unwrap_or_default();
    let targets = parse_targets(&mut input, "apply_to").unwrap_or_default();
    input.done()?;
    let body = cloud.change(|state| {
        check_unique_name(state, &name, None)?;
        let id = state.new_id();
        state.firewalls.insert(id, Firewall { name, labels, created: now(), rules, applied_to: Vec::new() });
        let mut jobs = vec![Job::SetRules { firewall: id }];
        jobs.extend(apply(state, id, targets)?);
        let chain = state.begin(jobs);
        let firewall = state.firewalls.get(&id).map(|firewall| render(state, id, firewall));
        Ok(json!({"firewall": firewall, "actions": state.render_actions(&chain)}))
    })?;
    created(body)
}

async fn update(Extract(cloud): Shared, Path(id): Path<String>, body: Bytes) -> Reply {
    let id = parse_id("firewall", &id)?;
    let mut input = Input::parse(&body)?;
    let (name, labels) = (input.new_name(), input.labels());
    input.done()?;
    let body = cloud.change(|state| {
        if let Some(name) = &name {
            check_unique_name(state, name, Some(id))?;
        }
        let firewall = find(state, id)?;
        firewall.name = name.unwrap_or(std::mem::take(&mut firewall.name));
        firewall.labels = labels.unwrap_or(std::mem::take(&mut firewall.labels));
        let firewall = firewall.clone();
        Ok(json!({"firewall": render(state, id, &firewall)}))
    })?;
    ok(body)
}

async fn delete(Extract(cloud): Shared, Path(id): Path<String>) -> Reply {
    let id = parse_id("firewall", &id)?;
    cloud.change(|state| {
        if !find(state, id)?.applied_to.is_empty() {
            let message =
                format!("firewall with ID '{id}' is still in use; remove it from its resources first");
            return Err(ApiError::unprocessable("resource_in_use", message));
        }
        state.firewalls.remove(&id);
        Ok(())
    })?;
    no_content()
}

async fn act(Extract(cloud): Shared, Path((id, action)): Path<(String, String)>, body: Bytes) -> Reply {
    let id = parse_id("firewall", &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        find(state, id)?;
        let jobs = match action.as_str() {
            "set_rules" => {
                let rules = parse_rules(&mut input);
                if rules.is_none() {
                    input.complain("rules", "missing data for required field");
                }
                input.done()?;
                set_rules(state, id, rules.unwrap_or_default())?
            }
            "apply_to_resources" => {
                let targets = parse_targets(&mut input, "apply_to");
                apply(state, id, required(&mut input, "apply_to", targets)?)?
            }
            "remove_from_resources" => {
                let targets = parse_targets(&mut input, "remove_from");
                remove(state, id, &required(&mut input, "remove_from", targets)?)?
            }
            _ => return Err(ApiError::not_found("action", &action)),
        };
        let chain = state.begin(jobs);
        Ok(json!({"actions": state.render_actions(&chain)}))
    })?;
    created(body)
}

fn check_unique_name(state: &State, name: &str, but: Option<u64>) -> Result<(), ApiError> {
    let taken = state.firewalls.iter().any(|(id, f)| f.name == name && Some(*id) != but);
    if taken {
        Err(ApiError::uniqueness("name", format!("firewall name '{name}' is already used")))
    } else {
        Ok(())
    }
}

fn set_rules(state: &mut State, id: u64, rules: Vec<Rule>) -> Result<Vec<Job>, ApiError> {
    let firewall = find(state, id)?;
    firewall.rules = rules;
    let targets = firewall.applied_to.clone();
    let mut servers: Vec<_> = targets.iter().flat_map(|target| state.servers_of(target)).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut jobs = vec![Job::SetRules { firewall: id }];
    jobs.extend(servers.into_iter().map(|server| Job::ApplyFirewall { firewall: id, server }));
    Ok(jobs)
}

/// Applies a firewall to targets, in the records; the jobs make machines follow.
pub(super) fn apply(state: &mut State, id: u64, targets: Vec<Target>) -> Result<Vec<Job>, ApiError> {
    let mut jobs = Vec::new();
    for target in targets {
        if let Target::Server(server) = target {
            if !state.servers.contains_key(&server) {
                let message = format!("server with ID '{server}' not found");
                return Err(ApiError::unprocessable("firewall_resource_not_found", message));
            }
            let applied = state.firewalls_of(server);
            if applied.len() >= MOST_PER_SERVER && !applied.contains(&id) {
                let message = format!("server {server} has {MOST_PER_SERVER} firewalls, which is the most");
                return Err(ApiError::unprocessable("resource_limit_exceeded", message));
            }
        }
        let firewall = find(state, id)?;
        if firewall.applied_to.contains(&target) {
            let message = format!("firewall {id} is already applied to this resource");
            return Err(ApiError::unprocessable("firewall_already_applied", message));
        }
        firewall.applied_to.push(target.clone());
        jobs.extend(
            state.servers_of(&target).into_iter().map(|server| Job::ApplyFirewall { firewall: id, server }),
        );
    }
    Ok(jobs)
}

/// Removing what is not applied is fine, as it is at Hetzner.
fn remove(state: &mut State, id: u64, targets: &[Target]) -> Result<Vec<Job>, ApiError> {
    let servers: Vec<_> = targets.iter().flat_map(|target| state.servers_of(target)).collect();
    find(state, id)?.applied_to.retain(|target| !targets.contains(target));
    Ok(servers.into_iter().map(|server| Job::RemoveFirewall { firewall: id, server }).collect())
}

#[derive(Deserialize)]
struct TargetInput {
    r#type: String,
    server: Option<ServerInput>,
    label_selector: Option<SelectorInput>,
}

#[derive(Deserialize)]
struct ServerInput {
    id: Id,
}

#[derive(Deserialize)]
struct SelectorInput {
    selector: String,
}

fn parse_targets(input: &mut Input, field: &str) -> Option<Vec<Target>> {
    let mut targets = Vec::new();
    for target in input.optional::<Vec<TargetInput>>(field)? {
        match (target.r#type.as_str(), target.server, target.label_selector) {
            ("server", Some(server), _) => targets.push(Target::Server(server.id.0)),
            ("label_selector", _, Some(SelectorInput { selector })) => match Selector::parse(&selector) {
                Ok(_) => targets.push(Target::LabelSelector(selector)),
                Err(why) => input.complain(field, why),
            },
            _ => {
                input
                    .complain(field, "each needs `type` server or label_selector and the field of that name");
            }
        }
    }
    Some(targets)
}

fn required(input: &mut Input, field: &str, targets: Option<Vec<Target>>) -> Result<Vec<Target>, ApiError> {
    if targets.is_none() && !input.is_wrong(field) {
        input.complain(field, "missing data for required field");
    }
    input.done()?;
    Ok(targets.unwrap_or_default())
}
