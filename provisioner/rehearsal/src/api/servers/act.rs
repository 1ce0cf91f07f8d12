use super::create::{check_user_data, find_image};
use super::maintenance;
use crate::api::input::{Input, Reference};
use crate::api::resource::LIGHT;
use crate::api::{Reply, Shared, created, parse_id, primary_ips, resource};
use crate::cloud::Cloud;
use crate::cloud::catalog::{disk_of, server_type};
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State};
use crate::error::ApiError;
use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use serde_json::Value;

/// What an action comes to.
pub(super) struct Plan {
    job: Job,
    /// The server's status while the job runs, where that changes.
    status: Option<&'static str>,
    /// What the reply has besides the action.
    reply: Vec<(&'static str, Value)>,
}

impl Plan {
    pub(super) fn new(job: Job) -> Self {
        Self { job, status: None, reply: Vec::new() }
    }

    pub(super) fn status(self, status: &'static str) -> Self {
        Self { status: Some(status), ..self }
    }

    pub(super) fn reply(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.reply.push((field, value.into()));
        self
    }
}

pub(super) async fn act(
    Extract(cloud): Shared,
    Path((id, action)): Path<(String, String)>,
    body: Bytes,
) -> Reply {
    let id = parse_id("server", &id)?;
    let mut input = Input::parse(&body)?;
    let body = cloud.change(|state| {
        resource::find::<Server>(state, id)?;
        if !LIGHT.contains(&action.as_str()) {
            state.check_unlocked("server", id)?;
        }
        let plan = plan(&cloud, state, id, &action, &mut input)?;
        if let Some(status) = plan.status {
            state.servers.entry(id).and_modify(|server| server.status = status.into());
        }
        let mut body = resource::begin(state, plan.job)?;
        for (field, value) in plan.reply {
            body[field] = value;
        }
        Ok(body)
    })?;
    created(body)
}

fn plan(
    cloud: &Cloud,
    state: &mut State,
    id: u64,
    action: &str,
    input: &mut Input,
) -> Result<Plan, ApiError> {
    let server = resource::find::<Server>(state, id)?;
    let off = server.status == "off";
    Ok(match action {
        // What is on already stays as it is, as at Hetzner.
        "poweron" if off => Plan::new(Job::StartServer { server: id }).status("starting"),
        "poweron" => Plan::new(Job::AlreadyOn { server: id }),
        "poweroff" => Plan::new(Job::StopServer { server: id }).status("stopping"),
        "reset" => Plan::new(Job::ResetServer { server: id }),
        "reboot" => {
            check_on(id, server)?;
            Plan::new(Job::RebootServer { server: id })
        }
        "shutdown" => {
            check_on(id, server)?;
            Plan::new(Job::ShutdownServer { server: id })
        }
        "rebuild" => rebuild(state, id, input)?,
        "change_protection" => Plan::new(change_protection(id, server, input)?),
        "change_dns_ptr" => Plan::new(change_dns_ptr(state, id, input)?),
        _ => return maintenance::plan(cloud, state, id, action, input),
    })
}

pub(super) fn check_on(id: u64, server: &Server) -> Result<(), ApiError> {
    if server.status == "off" {
        let message = format!("server {id} is off; power it on first");
        return Err(ApiError::unprocessable("server_not_running", message));
    }
    Ok(())
}

/// Writes the new image and user data into the record, before the machine starts and asks for them.
/// Without new user data the old is used again.
fn rebuild(state: &mut State, id: u64, input: &mut Input) -> Result<Plan, ApiError> {
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
    let image = find_image(state, &image, kind, disk_of(server).unwrap_or(kind.disk))?;
    state.servers.entry(id).and_modify(|server| {
        server.image = image;
        server.user_data = user_data.or(server.user_data.take());
    });
    Ok(Plan::new(Job::RebuildServer { server: id }).status("rebuilding").reply("root_password", Value::Null))
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
