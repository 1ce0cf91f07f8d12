//! The operating system, and what is changed of it whoever asks for it: files, units, packages.
//!
//! * `managed` writes files and remembers what it wrote, so that an edit by hand is seen; `drift` shows it.
//! * `FollowUp` is owed to whoever reads a file only when told; `systemd` does the telling.
//! * `units` are the units of ours; `apt` brings packages.

pub(crate) mod apt;
mod follow_up;
pub(crate) mod managed;
pub(crate) mod systemd;
pub(crate) mod units;

pub(crate) use follow_up::FollowUp;
