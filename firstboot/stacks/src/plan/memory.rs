//! Whether the stacks fit into a server's memory.

use super::Plan;

/// What the system, the engine and the page cache need at least, in MiB.
const SYSTEM: u64 = 768;

impl Plan {
    /// Why these stacks do not fit into so many MiB, with the numbers; nothing where they do.
    pub fn lacks_memory(&self, there: u64) -> Option<String> {
        let needed = self.memory.mib() + SYSTEM;
        let each: Vec<String> = self
            .stacks
            .iter()
            .map(|stack| format!("{} {}", stack.name, stack.manifest.memory.mib()))
            .collect();
        (needed > there).then(|| {
            format!(
                "the stacks may use {} MiB ({}) and the system needs {SYSTEM}, together {needed} MiB, and there are {there}; \
                 take a larger server type or fewer stacks",
                self.memory.mib(),
                each.join(", ")
            )
        })
    }
}
