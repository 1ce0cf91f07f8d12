//! The rescue system: what a server boots once in place of its own, to be repaired or to have its disk written.

use serde::{Deserialize, Serialize};

/// How long it waits for the server's next boot, in seconds.
const PATIENCE: i64 = 60 * 60;

/// A rescue system that waits for the next boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rescue {
    /// When it was ordered, in seconds since 1970.
    ordered: i64,
    /// Who is let in.
    pub(crate) public_keys: Vec<String>,
}

impl Rescue {
    pub(crate) fn order(public_keys: Vec<String>) -> Self {
        Self { ordered: super::clock::now().unix_timestamp(), public_keys }
    }

    /// Whether it still waits at this moment, in seconds since 1970.
    pub(crate) fn is_due(&self, now: i64) -> bool {
        now - self.ordered < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_an_hour() {
        let rescue = Rescue { ordered: 1000, public_keys: Vec::new() };
        assert!(rescue.is_due(1000) && rescue.is_due(4599) && !rescue.is_due(4600));
    }
}
