//! What is done to a server besides switching it: the rescue system, copies of its disk, another type, passwords.

use super::create::{check_stock, find_keys, find_type};
use super::password;
use super::power::{check_on, switch};
use crate::api::input::{Input, Reference};
use crate::api::resource::{self, Plan, Resource as _};
use crate::cloud::catalog::{disk_of, location, server_type};
use crate::cloud::images;
use crate::cloud::job::Job;
use crate::cloud::rescue::Rescue;
use crate::cloud::state::{Image, Server, State};
use crate::error::ApiError;

pub(super) fn plan(state: &mut State, id: u64, action: &str, input: &mut Input) -> Result<Plan, ApiError> {
    let server = resource::find::<Server>(state, id)?;
    Ok(match action {
        "enable_rescue" => enable_rescue(state, id, server, input)?,
        "disable_rescue" => Job::DisableRescue { server: id }.into(),
        "create_image" => create_image(state, id, input)?,
        "change_type" => change_type(state, id, input)?,
        "enable_backup" => Job::SwitchBackup { server: id, on: true }.into(),
        "disable_backup" => Job::SwitchBackup { server: id, on: false }.into(),
        "reset_password" => {
            check_on(id, server)?;
            Plan::from(Job::ResetPassword { server: id }).reply("root_password", password(state.new_id()))
        }
        // Nothing listens there: `.invalid` is the name of no host.
        "request_console" => Plan::from(Job::RequestConsole { server: id })
            .reply("wss_url", format!("wss://console.invalid/?server_id={id}&token={}", state.new_id()))
            .reply("password", password(state.new_id())),
        "attach_iso" => {
            let iso: Reference = input.required("iso");
            input.done()?;
            return Err(ApiError::not_found("iso", iso.text()));
        }
        "detach_iso" => Job::DetachIso { server: id }.into(),
        "attach_to_network" | "detach_from_network" | "change_alias_ips" => {
            return Err(ApiError::absent("private networks"));
        }
        "add_to_placement_group" | "remove_from_placement_group" => {
            return Err(ApiError::absent("placement groups"));
        }
        _ => return Err(ApiError::not_found("action", action)),
    })
}

fn enable_rescue(state: &State, id: u64, server: &Server, input: &mut Input) -> Result<Plan, ApiError> {
    let kind = input.optional("type").unwrap_or_else(|| "linux64".to_owned());
    if kind != "linux64" {
        input.complain("type", "must be linux64");
    }
    let keys: Vec<Reference> = input.optional("ssh_keys").unwrap_or_default();
    input.done()?;
    let rescue = Rescue::order(find_keys(state, &keys)?);
    let architecture = server_type(&server.server_type).map(|kind| kind.architecture);
    if architecture.is_none_or(|architecture| images::bootable(state, architecture).next().is_none()) {
        let message =
            format!("the rescue system of server {id} would be a system image, of which none is offered");
        return Err(ApiError::unprocessable("unsupported_error", message));
    }
    Ok(Plan::from(Job::EnableRescue { server: id, rescue }).reply("root_password", password(id)))
}

fn create_image(state: &mut State, id: u64, input: &mut Input) -> Result<Plan, ApiError> {
    let kind = input.optional("type").unwrap_or_else(|| "snapshot".to_owned());
    if !["snapshot", "backup"].contains(&kind.as_str()) {
        input.complain("type", "must be snapshot or backup");
    }
    let description: Option<String> = input.optional("description");
    let labels = input.labels().unwrap_or_default();
    if kind == "backup" && resource::find::<Server>(state, id)?.backup_window.is_none() {
        input.complain("type", "backups are not enabled for the server; enable_backup does that");
    }
    input.done()?;
    if kind == "snapshot" {
        let snapshots = state.images.values().filter(|image| image.kind == kind && !image.deleted);
        state.limits.check("snapshots", snapshots.count())?;
    }
    let image = state.new_id();
    let copy = images::copy_of(state, image, id)
        .ok_or_else(|| ApiError::server(format!("the image of server {id} is gone")))?;
    let copy = Image {
        description: description.unwrap_or_else(|| format!("{kind} {}", copy.created)),
        labels,
        bound_to: (kind == "backup").then_some(id),
        kind,
        ..copy
    };
    let rendered = copy.render(state, image);
    state.images.insert(image, copy);
    Ok(Plan::from(Job::CreateImage { server: id, image }).reply("image", rendered))
}

fn change_type(state: &mut State, id: u64, input: &mut Input) -> Result<Plan, ApiError> {
    let server = resource::find::<Server>(state, id)?;
    let wanted: Reference = input.required("server_type");
    let upgrade_disk: bool = input.required("upgrade_disk");
    input.done()?;
    let kind = find_type(&wanted)?;
    if server.status != "off" {
        let message = format!("server {id} must be off to change its type; power it off first");
        return Err(ApiError::unprocessable("server_not_stopped", message));
    }
    let unfit = |why: String| Err(ApiError::unprocessable("invalid_server_type", why));
    let (present, disk) = (server_type(&server.server_type), disk_of(server).unwrap_or_default());
    if present.is_none_or(|present| present.name == kind.name || present.architecture != kind.architecture) {
        let name = &server.server_type;
        return unfit(format!("server {id} is a {name}; {} is the same or another architecture", kind.name));
    }
    if kind.disk < disk {
        return unfit(format!("server {id} has a disk of {disk} GB, {} one of {} GB", kind.name, kind.disk));
    }
    let place = location(&server.location);
    check_stock(state, kind, place.ok_or_else(|| ApiError::server("the server's location is gone"))?)?;
    let job = Job::ChangeType { server: id, server_type: kind.name.into(), upgrade_disk };
    Ok(switch(state, id, job, "migrating"))
}
