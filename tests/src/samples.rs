//! Container images for trials: those of our stacks, and those below `tests/images`.

use anyhow::{Context as _, Result};
use images::recipe::{self, Recipe};
use images::{Arch, OciLayout};

/// The recipe of that name.
pub fn recipe(name: &str) -> Result<Recipe> {
    let workspace = images::toolchain::workspace()?;
    let all = recipe::list(&[&workspace.join("firstboot/stacks/catalogue"), &workspace])?;
    all.into_iter()
        .find(|recipe| recipe.name == name)
        .with_context(|| format!("there is no recipe of an image {name}"))
}

/// An image for this machine's own architecture, from the cache or built.
pub fn native(name: &str) -> Result<OciLayout> {
    let recipe = recipe(name)?;
    images::container_image(&crate::cache()?, &recipe, Arch::of_this_machine()?, &images::Silent)
        .with_context(|| format!("building the container image {name}"))
}
