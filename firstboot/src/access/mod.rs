//! Who may open or close what: the keys of the volume, and the doors that the operator comes in by.
//!
//! What opens the data, from below: `store` names every secret and where it lies, `draw` makes one; `slots` gives the keys their keyslots;
//! `sealing` makes the bundle that the operator's side takes, and `reseal` takes every later change through its gate. On
//! these stand `keys` (rotate, revoke), `unattended` (opening without an operator) and `unlock` (with one).
//!
//! Where the operator's side has a say, there is a `gate`; `closing` is a change that undoes itself unless it is confirmed
//! there, and [`acknowledge`](acknowledge()) is that side's word.

mod acknowledge;
pub(crate) mod closing;
mod draw;
pub(crate) mod gate;
pub(crate) mod keys;
pub(crate) mod reseal;
pub(crate) mod sealing;
pub(crate) mod slots;
pub(crate) mod store;
pub(crate) mod unattended;
pub(crate) mod unlock;

pub use acknowledge::acknowledge;
