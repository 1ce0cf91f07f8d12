//! The stacks run and are healthy; what the node spec no longer names is stopped: `disabled`.
//!
//! Each container carries a digest of its definition and of all that it reads when it starts. What runs is what is wanted
//! when the digests are the same; where they are not, compose makes exactly those containers anew.
//!
//! * `compose` knows where a stack lies, and compose's command line.
//! * `rendered` is one stack as it shall be; `certificate` what it answers with where no public authority vouches for it.

pub(crate) mod certificate;
pub(crate) mod compose;
pub(crate) mod disabled;
mod rendered;

pub(crate) use rendered::labelled;

use super::escrow::Escrowed;
use super::images::Pulled;
use crate::run::{Cx, Step};
use crate::system::units;
use anyhow::{Context as _, Result};
use rendered::Rendered;
use spec::StepName;

/// All stacks are healthy.
#[derive(Debug, Clone, Copy)]
pub struct Running(());

/// See the module.
pub struct Stacks {
    /// The engine has all they run.
    pub pulled: Pulled,
    /// No data is accepted before the escrow is safe.
    pub escrowed: Escrowed,
}

impl Step for Stacks {
    const NAME: StepName = StepName::Stacks;
    type Output = Running;

    fn check(&self, cx: &Cx<'_>) -> Result<Option<Running>> {
        for stack in &cx.spec.stacks {
            if !Rendered::new(cx, stack)?.holds(cx)? {
                return Ok(None);
            }
        }
        Ok(disabled::complaints(cx)?.is_empty().then_some(Running(())))
    }

    fn apply(&self, cx: &Cx<'_>) -> Result<()> {
        disabled::stop_and_remove(cx)?;
        let all: Vec<Rendered<'_>> =
            cx.spec.stacks.iter().map(|stack| Rendered::new(cx, stack)).collect::<Result<_>>()?;
        // First, so that the hardening beside it, which has systemd read its units, finds the links there.
        let names: Vec<String> = all.iter().map(|one| compose::unit(one.stack.name)).collect();
        units::want(cx, names.iter().map(String::as_str))?;
        for one in &all {
            one.put_files(cx).with_context(|| format!("writing the files of stack {}", one.stack.name))?;
        }
        for one in &all {
            if !one.holds(cx)? {
                one.start(cx)?;
            }
        }
        Ok(())
    }
}
