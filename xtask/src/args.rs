//! Options that several verbs share, and how what they are given is printed.

use anyhow::Result;
use serde::Serialize;

/// Which project.
#[derive(clap::Args)]
pub(crate) struct Name {
    /// The project: its folder below `projects/`.
    #[arg(long, value_name = "NAME")]
    pub(crate) project: String,
}

/// Which project's server, and how it is reached.
#[derive(clap::Args)]
pub(crate) struct Server {
    #[command(flatten)]
    pub(crate) name: Name,
    /// The address to let ssh in from, where the firewall keeps it out; asked for where it is not said.
    #[arg(long, value_name = "ADDRESS", value_parser = provisioner::project::parse_operator)]
    pub(crate) from: Option<std::net::IpAddr>,
}

/// For the `list` of a server's things.
#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) print: Print,
}

/// How to print.
#[derive(clap::Args)]
pub(crate) struct Print {
    /// One JSON document on stdout, nothing else there.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Print {
    /// Prints the one document of `--json`, else what people read.
    pub(crate) fn show<T: Serialize + ?Sized>(
        &self,
        value: &T,
        for_people: impl FnOnce(&T) -> Result<(), host::Error>,
    ) -> Result<()> {
        if self.json { print_json(value) } else { Ok(for_people(value)?) }
    }

    /// Prints the one document of `--json`; without that, nothing.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<()> {
        self.show(value, |_| Ok(()))
    }
}

/// Prints a document.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    Ok(say!("{}", serde_json::to_string_pretty(value)?)?)
}
