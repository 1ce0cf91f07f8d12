//! Every program that the later steps run is there, and every package configured. On a stock image cloud-init installs
//! them while the volume is made.

use super::docker_compose;
use super::preflight::{ThisServer, Which, lacking, wait};
use crate::run::{Cx, Step};
use anyhow::Result;
use spec::StepName;

/// All programs are there.
#[derive(Debug, Clone, Copy)]
pub struct Programs(());

/// See the module.
pub struct Packages {
    /// It is the right server.
    pub server: ThisServer,
}

impl Step for Packages {
    const NAME: StepName = StepName::Packages;
    type Output = Programs;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Programs>> {
        let holds = lacking(cx, Which::Rest)?.is_empty() && docker_compose::is_second_generation(cx)?;
        Ok(holds.then_some(Programs(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        wait(cx, Which::Rest)?;
        if !docker_compose::is_second_generation(cx)? {
            docker_compose::bring_second_generation(cx)?;
        }
        Ok(())
    }
}
