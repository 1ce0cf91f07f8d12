//! From a project file to a server that is ready, and back from whatever state a crash left.
//!
//! The main job is [`context::Context`]'s: [`prepare`](context::Context::prepare) what must lie on this side,
//! [`observe`](observe::observe) the cloud, [`plan`](plan::plan) (pure), [`apply`](apply::apply),
//! follow [first boot](first_boot::Server), take the [escrow](escrow_folder), [confirm](confirm::confirm) from outside.
//!
//! Nothing is replayed after a crash: names and labels ([`names`]) say what is ours, the project's
//! [`Folder`](project::Folder) says what was set out to be made, and the same list of verbs is walked again.
//!
//! * [`project`]: `project.toml`, every mistake at once; [`opened`]: with its cloud and keys, what verbs begin with.
//! * [`api`]: the thin, tolerant client and the one table of what is done about which answer.
//! * [`plan`]: what changes, as data; [`apply`]: making it, side by side where that is possible; [`dns`]: records.
//! * [`lease`]: throw-away servers, and what is left of them.
//! * [`known_hosts`], [`keys`], [`ssh`]: no connection to a host that is not pinned; [`door`]: the cloud's firewall lets
//!   ssh in for one command.
//! * [`recipients`], [`escrow_folder`]: the offline keys and what is sealed to them.
//! * [`key_slots`]: the volume's keys, changed while the server runs.
//! * [`packages`]: what this machine must have installed for all that.
//! * [`status`], [`unlock`], [`destroy`], [`init`]: the other verbs.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these panic where nobody reads any more; take `host::say`"
)]

pub mod api;
pub mod apply;
mod clock;
pub mod cloud;
pub mod confirm;
pub mod context;
pub mod destroy;
pub mod dns;
pub mod door;
pub mod errors;
pub mod escrow_folder;
pub mod first_boot;
pub mod in_use;
pub mod init;
pub mod journal;
pub mod key_slots;
pub mod keys;
pub mod known_hosts;
pub mod lease;
pub mod money;
pub mod names;
pub mod network;
pub mod node;
pub mod observe;
pub mod opened;
pub mod packages;
pub mod plan;
pub mod project;
pub mod provision;
mod receipt;
pub mod recipients;
pub mod report;
pub mod ssh;
pub mod stacks_there;
pub mod status;
pub mod timeline;
pub mod unlock;
pub mod vpn;
pub mod whereabouts;
mod world;

pub use errors::{NeedsOperator, exit_code};
