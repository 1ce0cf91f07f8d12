//! Questions to the operator, on the terminal.

use anyhow::{Context as _, Result, bail};
use provisioner::NeedsOperator;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

/// Asks for a typed answer on the terminal; `None` where there is no terminal to ask on.
fn ask(question: &str) -> Result<Option<String>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    write!(std::io::stderr(), "{question} ").context("asking on the terminal")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(Some(answer.trim().to_owned()))
}

/// Asks whether to; `None` where there is no terminal to ask on.
pub(crate) fn agreed(question: &str) -> Result<Option<bool>> {
    let answer = ask(&format!("{question} [y/N]"))?;
    Ok(answer.map(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")))
}

/// Has the project's name typed on the terminal: the one way to what cannot be taken back.
pub(crate) fn need_typed(name: &str, what: &str) -> Result<()> {
    match ask(&format!("Type the project's name ({name}) to {what}:"))? {
        Some(typed) if typed == *name => Ok(()),
        Some(_) => bail!("asking for the name of {name}: another was typed; nothing was changed"),
        None => bail!(NeedsOperator(format!(
            "asking for the name of {name}: there is no terminal to type it on, to {what}; nothing was changed"
        ))),
    }
}
