//! A run of firstboot: its context, what it keeps on disk, and how a step of it is run. It knows no step.
//!
//! * [`Cx`] is what every step is given: what is wanted, what was done, and the means to say so.
//! * `record` is the node spec and the receipt on disk; `phase` says what is pending; `events` is the stream, which
//!   `follow` prints as it grows.
//! * [`step`](mod@step) runs one step, `lanes` two rows of them side by side.

mod context;
pub(crate) mod events;
pub(crate) mod follow;
pub(crate) mod lanes;
pub(crate) mod phase;
pub(crate) mod record;
pub mod step;

pub use context::Cx;
pub use step::Step;
pub(crate) use step::ensure;
