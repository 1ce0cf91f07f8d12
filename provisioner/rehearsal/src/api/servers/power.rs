//! Whether a server is on, and what it is while it is being switched.

use crate::api::resource::Plan;
use crate::cloud::job::Job;
use crate::cloud::state::{Server, State};
use crate::error::ApiError;

pub(super) fn check_on(id: u64, server: &Server) -> Result<(), ApiError> {
    if server.status == "off" {
        let message = format!("server {id} is off; power it on first");
        return Err(ApiError::unprocessable("server_not_running", message));
    }
    Ok(())
}

/// Does a job during which the server has another status.
pub(super) fn switch(state: &mut State, id: u64, job: Job, status: &str) -> Plan {
    state.servers.entry(id).and_modify(|server| server.status = status.into());
    job.into()
}
