//! Every program that the later steps run is there, and every package configured. On a stock image cloud-init installs
//! them while the volume is made.

use super::compose;
use super::preflight::{ThisServer, Which, lacking, wait};
use crate::Cx;
use crate::step::Step;
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
        if !lacking(cx, Which::Rest)?.is_empty() {
            return Ok(None);
        }
        compose::need_second_generation(cx)?;
        Ok(Some(Programs(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        wait(cx, Which::Rest)
    }
}
