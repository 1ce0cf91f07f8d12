//! What of a stack is a template besides its configuration: the texts of its compose file, and the words of its commands.
//! None of them holds a secret; a secret is a file.

use super::Plan;
use crate::folder::{COMPOSE, MANIFEST};
use crate::{Error, Mistake};
use serde_json::Value;

impl Plan {
    pub(super) fn fill(&mut self) -> Result<(), Error> {
        for stack in &mut self.stacks {
            stack.manifest.hooks.keep(&stack.options);
            let values = &self.values[&stack.name];
            let text = |file: &str, text: &mut String| fill_text(&stack.name, file, text, values);
            let mut commands = stack.manifest.hooks.each_mut().map(|hook| &mut hook.command);
            let timers = stack.manifest.timers.iter_mut().map(|timer| &mut timer.command);
            let filled = commands
                .by_ref()
                .chain(timers)
                .flatten()
                .try_for_each(|word| text(MANIFEST, word))
                .and_then(|()| fill_value(&mut stack.compose, &|word| text(COMPOSE, word)));
            filled.map_err(|mistake| Error::Files(vec![mistake]))?;
        }
        Ok(())
    }
}

fn fill_value(value: &mut Value, fill: &dyn Fn(&mut String) -> Result<(), Mistake>) -> Result<(), Mistake> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_value(item, fill)),
        Value::Object(map) => map.iter_mut().try_for_each(|(_, below)| fill_value(below, fill)),
        Value::String(text) => fill(text),
        _ => Ok(()),
    }
}

fn fill_text(stack: &str, file: &str, text: &mut String, values: &Value) -> Result<(), Mistake> {
    if !text.contains("{{") && !text.contains("{%") {
        return Ok(());
    }
    let mistake = |why: &str| Mistake {
        stack: stack.into(),
        file: file.into(),
        line: None,
        why: format!("{text:?}: {why}"),
    };
    let filled = crate::template::render(stack, file, text, values).map_err(|error| mistake(&error.why))?;
    if filled.secrets().next().is_some() {
        return Err(mistake("a secret is a file, and has no place here"));
    }
    *text = filled.shown();
    Ok(())
}
