use super::create::{check_user_data, find_image};
use crate::api::error::ApiError;
use crate::api::input::{Input, Reference};
use crate::api::{Reply, Shared, actions, created, parse_id, primary_ips, resource};
use crate::cloud::catalog::server_type;
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State};
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use serde_json::Value;

pub(super) async fn act(
    Extract(cloud): Shared,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let id = parse_id("server", &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        let server = resource::find::<Server>(state, id)?.clone();
        let (job, status) = plan(state, id, &server, &action, &mut input)?;
        if job.holds("server", id) {
            state.check_unlocked("server", id)?;
        }
        if let Some(status) = status {
            state.servers.entry(id).and_modify(|server| server.status = status.into());
        }
        let rebuild = matches!(job, Job::RebuildServer { .. });
        if rebuild {
            order_rebuild(state, id, &mut input)?;
        }
        let chain = state.begin([job]);
        let mut body = actions::one(state, chain[0]);
        if rebuild {
            body["root_password"] = Value::Null;
        }
        Ok(body)
    })?;
    created(body)
}

/// The job of an action, and the server's status while it runs where that changes.
fn plan(
    state: &State,
    id: u64,
    server: &Server,
    action: &str,
    input: &mut Input,
) -> Result<(Job, Option<&'static str>), ApiError> {
    let off = server.status == "off";
    Ok(match action {
        // What is on already stays as it is, as at Hetzner.
        "poweron" if off => (Job::StartServer { server: id }, Some("starting")),
        "poweron" => (Job::AlreadyOn { server: id }, None),
        "poweroff" => (Job::StopServer { server: id }, Some("stopping")),
        "reset" => (Job::ResetServer { server: id }, None),
        "reboot" => {
            check_on(id, server)?;
            (Job::RebootServer { server: id }, None)
        }
        "shutdown" => {
            check_on(id, server)?;
            (Job::ShutdownServer { server: id }, None)
        }
        "rebuild" => (Job::RebuildServer { server: id }, Some("rebuilding")),
        "change_protection" => (change_protection(id, server, input)?, None),
        "change_dns_ptr" => (change_dns_ptr(state, id, input)?, None),
        _ => return Err(ApiError::not_found("action", action)),
    })
}

fn check_on(id: u64, server: &Server) -> Result<(), ApiError> {
    if server.status == "off" {
        let message = format!("server {id} is off; power it on first");
        return Err(ApiError::unprocessable("server_not_running", message));
    }
    Ok(())
}

/// Writes the new image and user data into the record, before the machine starts and asks for them.
/// Without new user data the old is used again.
fn order_rebuild(state: &mut State, id: u64, input: &mut Input) -> Result<(), ApiError> {
    let image: Reference = input.required("image");
    let user_data: Option<String> = input.optional("user_data");
    check_user_data(input, user_data.as_deref());
    input.done()?;
    let server = resource::find::<Server>(state, id)?;
    if server.protected {
        return Err(ApiError::protected("server", id));
    }
    let kind = server_type(&server.server_type)
        .ok_or_else(|| ApiError::server(format!("server type {} is gone", server.server_type)))?;
    let image = find_image(state, &image, kind)?;
    state.servers.entry(id).and_modify(|server| {
        server.image = image;
        server.user_data = user_data.or(server.user_data.take());
    });
    Ok(())
}

fn change_protection(id: u64, server: &Server, input: &mut Input) -> Result<Job, ApiError> {
    let delete = input.optional("delete").unwrap_or(server.protected);
    let rebuild = input.optional("rebuild").unwrap_or(server.protected);
    if delete != rebuild {
        input.complain("rebuild", "must be the same as delete");
    }
    input.done()?;
    Ok(Job::ProtectServer { server: id, on: delete })
}

fn change_dns_ptr(state: &State, id: u64, input: &mut Input) -> Result<Job, ApiError> {
    let address: String = input.optional("ip").unwrap_or_default();
    let found = state.ips_of(id).find(|(_, ip)| primary_ips::owns(ip, &address));
    let Some((ip, record)) = found else {
        return Err(ApiError::field("ip", format!("'{address}' is not an address of server {id}")));
    };
    primary_ips::change_dns_ptr(input, ip, record, Some(id))
}
