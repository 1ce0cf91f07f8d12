use super::input::{Id, Input};
use super::resource::{self, Plan, Resource};
use crate::cloud::Cloud;
use crate::cloud::clock::now_text;
use crate::cloud::job::Job;
use crate::cloud::state::{Firewall, Rule, State, Target};
use crate::error::ApiError;
use crate::labels::Selector;
use axum::http::StatusCode;
use rules::parse_rules;
use serde::Deserialize;
use serde_json::{Value, json};

mod rules;

const MOST_PER_SERVER: usize = 5;

impl Resource for Firewall {
    const FILTERS: &'static [&'static str] = &["name"];

    fn unique_name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn render(&self, state: &State, id: u64) -> Value {
        let applied: Vec<_> = self.applied_to.iter().map(|target| render_target(state, target)).collect();
        json!({"id": id, "name": self.name, "labels": self.labels, "created": self.created,
            "rules": self.rules, "applied_to": applied})
    }

    fn update(&mut self, input: &mut Input) {
        resource::rename(&mut self.name, &mut self.labels, input);
    }

    fn create(_: &Cloud, state: &mut State, input: &mut Input) -> Result<Value, ApiError> {
        let name = input.name();
        let labels = input.labels().unwrap_or_default();
        let rules = parse_rules(input).unwrap_or_default();
        let targets = parse_targets(input, "apply_to").unwrap_or_default();
        input.done()?;
        let firewall = Firewall { name, labels, created: now_text(), rules, applied_to: Vec::new() };
        let id = resource::add(state, firewall)?;
        let mut jobs = vec![Job::SetRules { firewall: id }];
        jobs.extend(apply(state, id, targets).map_err(as_creation_says)?);
        let chain = state.begin(jobs);
        let mut body = resource::one::<Firewall>(state, id)?;
        body["actions"] = state.render_actions(&chain).into();
        Ok(body)
    }

    fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
        let jobs = match action {
            "set_rules" => {
                let rules = parse_rules(input);
                if rules.is_none() {
                    input.complain("rules", "missing data for required field");
                }
                input.done()?;
                set_rules(state, id, rules.unwrap_or_default())?
            }
            "apply_to_resources" => {
                let targets = parse_targets(input, "apply_to");
                apply(state, id, required(input, "apply_to", targets)?)?
            }
            "remove_from_resources" => {
                let targets = parse_targets(input, "remove_from");
                remove(state, id, &required(input, "remove_from", targets)?)?
            }
            _ => return Err(ApiError::not_found("action", action)),
        };
        Ok(Plan::list(jobs))
    }

    fn check_unused(&self, id: u64) -> Result<(), ApiError> {
        if self.applied_to.is_empty() {
            return Ok(());
        }
        let message = format!("firewall with ID '{id}' is still in use; remove it from its resources first");
        Err(ApiError::unprocessable("resource_in_use", message))
    }
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

/// The same mistakes have other names where a firewall is made.
fn as_creation_says(error: ApiError) -> ApiError {
    let code = match error.code.as_str() {
        "firewall_already_applied" => "server_already_added".to_owned(),
        _ => error.code,
    };
    let status =
        if code == "firewall_resource_not_found" { StatusCode::UNPROCESSABLE_ENTITY } else { error.status };
    ApiError { status, code, ..error }
}

fn set_rules(state: &mut State, id: u64, rules: Vec<Rule>) -> Result<Vec<Job>, ApiError> {
    let firewall = resource::find_mut::<Firewall>(state, id)?;
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
                return Err(no_such_server(server));
            }
            if state.ips_of(server).next().is_none() {
                let message = format!("server {server} has no public address");
                return Err(ApiError::unprocessable("private_net_only_server", message));
            }
            let applied = state.firewalls_of(server);
            if applied.len() >= MOST_PER_SERVER && !applied.contains(&id) {
                let message = format!("server {server} has {MOST_PER_SERVER} firewalls, which is the most");
                return Err(ApiError::unprocessable("resource_limit_exceeded", message));
            }
        }
        let firewall = resource::find_mut::<Firewall>(state, id)?;
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

fn no_such_server(server: u64) -> ApiError {
    let message = format!("server with ID '{server}' not found");
    ApiError::new(StatusCode::NOT_FOUND, "firewall_resource_not_found", message)
}

/// Removing what is not applied is fine, as it is at Hetzner.
fn remove(state: &mut State, id: u64, targets: &[Target]) -> Result<Vec<Job>, ApiError> {
    let applied = resource::find::<Firewall>(state, id)?.applied_to.clone();
    for target in targets {
        let Target::Server(server) = target else { continue };
        if !state.servers.contains_key(server) {
            return Err(no_such_server(*server));
        }
        if !applied.contains(target) && applied.iter().any(|other| state.servers_of(other).contains(server)) {
            let message =
                format!("firewall {id} is applied to server {server} by a label selector; remove that");
            return Err(ApiError::unprocessable("firewall_managed_by_label_selector", message));
        }
    }
    let servers: Vec<_> = targets.iter().flat_map(|target| state.servers_of(target)).collect();
    resource::find_mut::<Firewall>(state, id)?.applied_to.retain(|target| !targets.contains(target));
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
