//! What a recipe says of a Go module, and what the module's own `go.mod` says.

use super::{Argument, Go, Wrong};
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Go {
    /// Refuses one whose pins are not beside the recipe.
    pub(crate) fn check(&self, beside: &BTreeMap<String, Vec<u8>>) -> std::result::Result<(), Wrong> {
        let about = self.module.as_ref().or(self.commands.first()).map_or("", Argument::as_str);
        if let Some(missing) = ["go.mod", "go.sum"].into_iter().find(|name| !beside.contains_key(*name)) {
            return Err(Wrong::new(
                about,
                format!("it is a Go module's, and there is no {missing} beside the recipe"),
            ));
        }
        if self.module.is_some() && self.version(beside).is_empty() {
            return Err(Wrong::new(about, "the go.mod beside the recipe does not require it"));
        }
        Ok(())
    }

    /// The release of Go that `go.mod` asks for.
    pub(crate) fn release(&self, beside: &BTreeMap<String, Vec<u8>>) -> String {
        go_mod(beside).lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default().to_owned()
    }

    /// The version that `go.mod` pins, without the `v`; nothing where no module is named.
    fn version(&self, beside: &BTreeMap<String, Vec<u8>>) -> String {
        let pin = |line: &str| {
            let line = line.trim().trim_start_matches("require ");
            let version = line.strip_prefix(self.module.as_ref()?.as_str())?.strip_prefix(" v")?;
            version.split_whitespace().next().map(str::to_owned)
        };
        go_mod(beside).lines().find_map(pin).unwrap_or_default()
    }

    pub(crate) fn linker_flags(&self, beside: &BTreeMap<String, Vec<u8>>) -> String {
        let version = self.version(beside);
        let stamps = self.stamps.iter().map(|name| format!(" -X {}={version}", name.as_str()));
        format!("-s -w -buildid={}", stamps.collect::<String>())
    }
}

fn go_mod(beside: &BTreeMap<String, Vec<u8>>) -> Cow<'_, str> {
    beside.get("go.mod").map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::ours;

    #[test]
    fn the_version_that_is_said_is_the_one_that_is_pinned() {
        let tailscale = ours("tailscale");
        let go = tailscale.says.go.as_ref().unwrap();
        let version = go.version(&tailscale.beside);
        assert!(go.linker_flags(&tailscale.beside).ends_with(&format!("version.shortStamp={version}")));
        let sums = String::from_utf8_lossy(&tailscale.beside["go.sum"]);
        assert!(
            sums.lines().any(|line| line.starts_with(&format!("tailscale.com v{version} h1:"))),
            "{version}"
        );
        assert!(go.release(&tailscale.beside).starts_with("1."));
    }
}
