use super::create::{check_user_data, find_image};
use super::maintenance;
use super::power::{check_on, switch};
use crate::api::input::{Input, Reference};
use crate::api::resource::Plan;
use crate::api::{primary_ips, resource};
use crate::cloud::catalog::{disk_of, server_type};
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State};
use crate::error::ApiError;
use serde_json::Value;

pub(super) fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
    let server = resource::find::<Server>(state, id)?;
    let off = server.status == "off";
    Ok(match action {
        // What is on already stays as it is, as at Hetzner.
        "poweron" if off => switch(state, id, Job::StartServer { server: id }, "starting"),
        "poweron" => Job::AlreadyOn { server: id }.into(),
        "poweroff" => switch(state, id, Job::StopServer { server: id }, "stopping"),
        "reset" => Job::ResetServer { server: id }.into(),
        "reboot" => {
            check_on(id, server)?;
            Job::RebootServer { server: id }.into()
        }
        "shutdown" => {
            check_on(id, server)?;
            Job::ShutdownServer { server: id }.into()
        }
        "rebuild" => rebuild(state, id, input)?,
        "change_protection" => change_protection(id, server, input)?.into(),
        "change_dns_ptr" => change_dns_ptr(state, id, input)?.into(),
        _ => return maintenance::plan(state, id, action, input),
    })
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
    Ok(switch(state, id, Job::RebuildServer { server: id }, "rebuilding").reply("root_password", Value::Null))
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
