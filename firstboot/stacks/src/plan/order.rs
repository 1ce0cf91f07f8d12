//! What is needed comes first.

use super::Planned;
use crate::Error;
use crate::manifest::Word;

impl Planned {
    /// The stacks that have to be up before it, each once.
    pub fn needs(&self) -> Vec<&str> {
        let m = &self.manifest;
        let mut needs: Vec<&str> =
            m.needs.iter().chain(m.imports.iter().map(|import| &import.stack)).map(Word::as_str).collect();
        needs.sort_unstable();
        needs.dedup();
        needs
    }
}

/// Puts the stacks in an order in which each comes after what it needs; else as they were.
pub(super) fn in_order(stacks: Vec<Planned>) -> Result<Vec<Planned>, Error> {
    let names: Vec<String> = stacks.iter().map(|stack| stack.name.clone()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        return Err(Error::Clash(format!("stack {} is enabled twice", twice.1)));
    }
    for stack in &stacks {
        if let Some(missing) = stack.needs().into_iter().find(|need| !names.iter().any(|name| name == need)) {
            return Err(Error::Clash(format!(
                "stack {} needs stack {missing}: add \"{missing}\" to stacks.enabled",
                stack.name
            )));
        }
    }
    let mut waiting = stacks;
    let mut ordered: Vec<Planned> = Vec::new();
    while !waiting.is_empty() {
        let is_ready =
            |stack: &Planned| stack.needs().iter().all(|need| ordered.iter().any(|done| done.name == *need));
        let Some(at) = waiting.iter().position(is_ready) else {
            let circle: Vec<_> = waiting.iter().map(|stack| stack.name.as_str()).collect();
            return Err(Error::Clash(format!("stacks {} need one another in a circle", circle.join(", "))));
        };
        ordered.push(waiting.remove(at));
    }
    Ok(ordered)
}
