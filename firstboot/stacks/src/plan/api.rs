//! Admin APIs: where each is asked, and the documents that it is held to.

use super::{Plan, Planned};
use crate::folder::CONFIG;
use crate::{Error, Text};
use serde_json::Value;
use std::collections::BTreeMap;

impl Plan {
    /// Where the host itself asks a stack's Admin API: `http://ADDRESS:PORT`.
    pub fn api_address(&self, stack: &Planned) -> Option<String> {
        let api = stack.manifest.api.as_ref()?;
        let (_, place) = self.networks_of(&stack.name, &api.service).next()?;
        Some(format!("http://{}:{}", place.address, api.port))
    }

    /// The documents that it is held to, by their files. They may hold secrets, and are to be wiped.
    pub fn documents(
        &self,
        stack: &Planned,
        secret: impl Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<BTreeMap<String, Value>, Error> {
        let is_one = |file: &str| {
            let mut resources = stack.manifest.api.iter().flat_map(|api| &api.resources);
            resources.any(|resource| resource.document.as_str() == file)
        };
        let read = |(file, text): (String, Text)| {
            let document = text.with(&secret).and_then(|text| {
                serde_json::from_slice(&text).map_err(|error| format!("is no JSON: {error}"))
            });
            match document {
                Ok(document) => Ok((file, document)),
                Err(why) => Err(mistake(stack, &file, why)),
            }
        };
        self.config(stack)?.into_iter().filter(|(file, _)| is_one(file)).map(read).collect()
    }

    /// Each document has the parts that are spoken of.
    pub(super) fn check_documents(&self, stack: &Planned) -> Result<(), Error> {
        // In place of a secret, its name: only its form matters here.
        let documents = self.documents(stack, |name| Some(name.into()))?;
        for resource in stack.manifest.api.iter().flat_map(|api| &api.resources) {
            let file = resource.document.as_str();
            let wanted = documents.get(file).map(|document| crate::resources::wanted(resource, document));
            wanted.transpose().map_err(|why| mistake(stack, file, why))?;
        }
        Ok(())
    }
}

fn mistake(stack: &Planned, file: &str, why: String) -> Error {
    Error::file(&stack.name, &format!("{CONFIG}{file}"), None, why)
}
